"""What version of this program wrote a file, and what is done with files of other versions.

A file of an older version is taken over: its tables are changed in one transaction. One of a newer version is left whole, since
nobody knows here what it holds; the store refuses to open.
"""

from collections.abc import Iterator
from pathlib import Path

from proxy.store.sqlite.schema import APPLICATION_ID, CREATE_NOTED_SINCE, CREATE_PURGES, SCHEMA_VERSION

# What makes a file of a version one of the next.
_STEPS = {1: (CREATE_PURGES, CREATE_NOTED_SINCE)}
OLDEST = min(_STEPS)
_HEADER_BYTES = 100


def is_of_this_store(path: Path) -> bool:
    """Tell whether the header of a file says that any version of this program wrote it. Raises OSError."""
    return _is_ours(_header_of(path))


def newer_than_this(path: Path) -> str | None:
    """Return, in a few words, that a newer version of this program wrote a file, or None if none did. Raises OSError."""
    header = _header_of(path)
    version = _version_in(header)
    if not _is_ours(header) or version <= SCHEMA_VERSION:
        return None
    return f"it was written by a newer version of this program (schema {version}; this one knows up to {SCHEMA_VERSION})"


def reason_against(path: Path) -> str | None:
    """Return why this store cannot use the file, in a few words, or None if it can. An empty file is one that was just begun.

    Reads the file's header and changes nothing. Raises OSError.
    """
    header = _header_of(path)
    if not header:
        return None
    if len(header) < _HEADER_BYTES or not header.startswith(b"SQLite format 3\0"):
        return "it is not an SQLite database"
    if not _is_ours(header):
        return "it is another program's database"
    if (version := _version_in(header)) < OLDEST:
        return f"no version of this program wrote it (schema {version})"
    return newer_than_this(path)


def steps_from(version: int) -> Iterator[str]:
    """Yield the statements that make a file of a version, from OLDEST on, one of SCHEMA_VERSION. For that there are none."""
    for older in range(version, SCHEMA_VERSION):
        yield from _STEPS[older]
        yield f"PRAGMA user_version = {older + 1}"


def _header_of(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEADER_BYTES)


def _is_ours(header: bytes) -> bool:
    return header.startswith(b"SQLite format 3\0") and int.from_bytes(header[68:72], "big") == APPLICATION_ID


def _version_in(header: bytes) -> int:
    return int.from_bytes(header[60:64], "big", signed=True)
