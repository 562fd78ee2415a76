"""Unknown parameters are dropped and logged: one of them may be a new parameter of the upstream."""

import structlog

from proxy.core.question.form import shown
from proxy.core.question.query import Query

_MOST_NAMES = 100
_log = structlog.get_logger()


class UnknownParameters:
    """Counts the requests that had unknown parameters, and logs each name once (the first hundred of them)."""

    def __init__(self) -> None:
        self.requests = 0
        self._seen: set[str] = set()

    def note(self, query: Query) -> None:
        """Count one request and log the names that are new."""
        if not query.unknown:
            return
        self.requests += 1
        for name in map(shown, query.unknown):
            if name in self._seen or len(self._seen) >= _MOST_NAMES:
                continue
            self._seen.add(name)
            _log.warning(
                "parameter.dropped",
                route=query.route.name,
                parameter=name,
                hint="name it in upstream.extra_params if the upstream knows it, in upstream.ignored_params if not",
            )
