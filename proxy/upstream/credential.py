"""The shared key: from the environment, or from a file that is read again when it changes."""

from dataclasses import dataclass, field
from pathlib import Path

import structlog

from proxy.config import KeySource
from proxy.core.access.key import read_key
from proxy.core.freshness.namespace import fingerprint
from proxy.errors import ConfigError
from proxy.file_watch import FileStamp, stamp_of

_LONGEST = 10_000
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """The secret, and its fingerprint, which may be shown."""

    secret: str = field(repr=False)
    fingerprint: str


# No key has this fingerprint: those of keys are hexadecimal digits.
KEYLESS = Key(secret="", fingerprint="no-key")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadKey:
    """A key as it was read. `path`: its file, None where it has none; `stamp`: the file's before it was read."""

    key: Key
    path: Path | None = None
    stamp: FileStamp = None


def read_source(source: KeySource | None) -> ReadKey:
    """Read a key. Raises ConfigError where its source holds no usable one.

    `source` is None where the upstream is never asked, and no key tells whose answers are served.
    """
    if source is None:
        return ReadKey(key=KEYLESS)
    if source.path is None:
        return ReadKey(key=_key_from(source.value or "", "PLUTO_API_KEY"))
    stamp = stamp_of(source.path)
    return ReadKey(key=_read_file(source.path), path=source.path, stamp=stamp)


class Credential:
    """Has the shared key that is in use, KEYLESS where there is none.

    If its file becomes unreadable or empty, for example half-way through a rotation, that is logged once and the last good key
    stays. The file is then read at each call until it can be used: what was wrong may end without a change of the file.
    """

    def __init__(self, read: ReadKey) -> None:
        self._read = read
        self._trouble: str | None = None

    def renew(self, read: ReadKey) -> None:
        """Use a key that was read a moment ago. If its file has changed since, the next call of `current` sees it."""
        before, self._read, self._trouble = self._read.key, read, None
        if read.key != before:
            _log.info("key.rotated", fingerprint=read.key.fingerprint)

    def current(self) -> Key:
        """Return the key. Reads its file again if the file has changed, which costs one `stat` for each call."""
        path = self._read.path
        if path is not None:
            if (stamp := stamp_of(path)) != self._read.stamp:
                self._reread(path, stamp)
            else:
                self._trouble = None
        return self._read.key

    def _reread(self, path: Path, stamp: FileStamp) -> None:
        try:
            key = _read_file(path)
        except ConfigError as exc:
            # The stamp stays that of the key in use.
            if self._trouble != str(exc):
                self._trouble = str(exc)
                _log.error("key.kept", reason=self._trouble, fingerprint=self._read.key.fingerprint)
            return
        self.renew(ReadKey(key=key, path=path, stamp=stamp))


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
