"""The shared key: from the environment, or from a file that is read again when it changes."""

import os
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from proxy.config import KeySource
from proxy.core.access.key import read_key
from proxy.core.freshness.namespace import fingerprint
from proxy.errors import ConfigError

_LONGEST = 10_000
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """The secret, and its fingerprint, which may be shown."""

    secret: str = field(repr=False)
    fingerprint: str


# No key has this fingerprint: those of keys are hexadecimal digits.
KEYLESS = Key(secret="", fingerprint="no-key")


class Credential:
    """Has the shared key that is in use, KEYLESS where there is none.

    The constructor raises ConfigError if the source holds no usable key. If the file becomes unreadable or empty later, for
    example half-way through a rotation, that is logged and the last good key stays.
    """

    def __init__(self, source: KeySource | None) -> None:
        """`source` is None where the upstream is never asked, and no key tells whose answers are served."""
        self._path = None if source is None else source.path
        self._state = self._file_state()
        if source is None:
            self._key = KEYLESS
        else:
            self._key = _key_from(source.value or "", "PLUTO_API_KEY") if self._path is None else _read_file(self._path)

    def current(self) -> Key:
        """Return the key. Reads its file again if the file has changed, which costs one `stat` for each call."""
        if self._path is not None and (state := self._file_state()) != self._state:
            self._state = state
            self._reread(self._path)
        return self._key

    def _reread(self, path: Path) -> None:
        try:
            key = _read_file(path)
        except ConfigError as exc:
            _log.error("key.kept", reason=str(exc), fingerprint=self._key.fingerprint)
            return
        if key != self._key:
            self._key = key
            _log.info("key.rotated", fingerprint=key.fingerprint)

    def _file_state(self) -> tuple[int, ...] | None:
        if self._path is None:
            return None
        try:
            found = os.stat(self._path)  # noqa: PTH116 -- once per request: without the cost of a Path
        except OSError:
            return None
        return (found.st_mtime_ns, found.st_size, found.st_ino, found.st_ctime_ns)


def _read_file(path: Path) -> Key:
    try:
        # Reading a named pipe or a terminal could block for good. A shell's `<(...)` is a pipe too, but its other end is open.
        if path.exists() and not path.is_file() and path.parent != Path("/dev/fd"):
            raise ConfigError([f"PLUTO_API_KEY_FILE: {path} is not a file"])
        # Some editors begin a file with a byte order mark.
        with path.open(encoding="utf-8-sig") as file:
            text = file.read(_LONGEST + 1)
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "not a text file in UTF-8"
        raise ConfigError([f"PLUTO_API_KEY_FILE: {path} cannot be read: {reason}"]) from None
    if len(text) > _LONGEST:
        raise ConfigError([f"PLUTO_API_KEY_FILE: {path}: it holds more than a key"])
    return _key_from(text, f"PLUTO_API_KEY_FILE: {path}")


def _key_from(text: str, source: str) -> Key:
    try:
        secret = read_key(text)
    except ValueError as exc:
        raise ConfigError([f"{source}: {exc}"]) from None
    return Key(secret=secret, fingerprint=fingerprint(secret))
