"""Warnings about the cache file, of which each is logged once until the store has recovered."""

from pathlib import Path

import structlog

_log = structlog.get_logger()


class Warned:
    """Knows which warnings were logged."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._logged: set[tuple[str, str]] = set()

    def once(self, event: str, kind: str, **values: object) -> None:
        """Log a warning once for each event and kind, until `forget`."""
        if (event, kind) not in self._logged:
            self._logged.add((event, kind))
            _log.warning(event, kind=kind, path=str(self._path), **values)

    def forget(self) -> None:
        """Forget what was logged: the store has recovered."""
        self._logged.clear()
