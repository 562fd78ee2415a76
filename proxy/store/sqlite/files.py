"""The cache file as a file: its directory and mode, its lock, and setting aside a file that cannot be used.

Every function here blocks: call it in a thread.
"""

import fcntl
import os
import re
import stat
from datetime import UTC, datetime
from pathlib import Path

from proxy.errors import StoreError
from proxy.store.sqlite.versions import is_of_this_store, newer_than_this, reason_against

# What SQLite keeps beside a database. These files belong to it and are renamed and removed with it.
COMPANIONS = ("-wal", "-shm", "-journal")

# A disk that damages file after file must not be filled with them. So many files are set aside at most, and so many quotas of
# bytes.
MOST_SET_ASIDE = 16
MOST_QUOTAS_SET_ASIDE = 4
# The time in the names that set_aside() gives, and a number if there are several of one second.
_STAMP = re.compile(r"(\d{8}T\d{6}Z)(?:-(\d+))?")


class TooManySetAsideError(Exception):
    """Too many files were set aside: an operator must look at them and remove them before another one is."""


class LockLostError(Exception):
    """The lock file that is held no longer lies at its path, so that another process may hold the one that does."""


class InUseError(StoreError):
    """Another process holds the lock."""


Inodes = tuple[tuple[int, int] | None, ...]
"""Device and inode of a database, its write-ahead log, and the log's index; None for a file that does not exist."""


def prepare_directory(directory: Path) -> bool:
    """Make the directory and its missing parents, with mode 0700. Return whether others than its owner may read in it.

    Raises StoreError if others may write in it (without the sticky bit), since they could replace the file; OSError.
    """
    missing = [parent for parent in (directory, *directory.parents) if not parent.exists()]
    for parent in reversed(missing):
        parent.mkdir(mode=0o700, exist_ok=True)
    mode = directory.stat().st_mode
    if mode & (stat.S_IWGRP | stat.S_IWOTH) and not mode & stat.S_ISVTX:
        raise StoreError(
            f"the directory {directory} may be written by others (mode {stat.S_IMODE(mode):04o}), "
            "who could exchange the cache file: chmod it to 0700 or set cache.path to a file elsewhere"
        )
    return bool(mode & (stat.S_IRGRP | stat.S_IXGRP | stat.S_IROTH | stat.S_IXOTH))


def prepare_file(path: Path, *, broken: str | None, now_s: float, max_bytes: int) -> tuple[Path, str] | None:
    """Make sure that a file that this store may open lies at `path`, with mode 0600: the one there, or a new and empty one.

    A file that is not of this store is set aside first, and so is one that is damaged: `broken` says how. Return the new path
    of such a file, and the reason. Raises StoreError if something that is not a file lies there, or a file of a newer version;
    TooManySetAsideError; OSError.
    """
    aside = None
    if _lies_at(path):
        if (newer := newer_than_this(path)) is not None:
            raise StoreError(
                f"the cache file {path} is left as it is, since {newer}: run that version, or set cache.path to another file"
            )
        reason = broken or reason_against(path)
    elif _companions(path):
        reason = "its database is gone"
    else:
        reason = None
    if reason is not None:
        aside = set_aside(path, now_s=now_s, max_bytes=max_bytes)
    if not path.exists():
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_RDWR | os.O_CLOEXEC, 0o600))
    elif stat.S_IMODE(path.stat().st_mode) != 0o600:
        path.chmod(0o600)
    return (aside, reason) if aside is not None and reason is not None else None


def set_aside(path: Path, *, now_s: float, max_bytes: int) -> Path:
    """Rename the file and its companions to `<name>.set-aside-<UTC time>`. Return that path. Never overwrites a file.

    Raises TooManySetAsideError if MOST_SET_ASIDE lie there already, or more than MOST_QUOTAS_SET_ASIDE of `max_bytes`; OSError.
    """
    others = _set_aside(path)
    if len(others) >= MOST_SET_ASIDE or sum(map(_whole_size_of, others)) > MOST_QUOTAS_SET_ASIDE * max_bytes:
        raise TooManySetAsideError(f"{len(others)} files set aside lie beside {path}: look at them and remove them")
    stamp = datetime.fromtimestamp(now_s, UTC).strftime("%Y%m%dT%H%M%SZ")
    aside = path.with_name(f"{path.name}.set-aside-{stamp}")
    again = 0
    while any(os.path.lexists(f"{aside}{suffix}") for suffix in ("", *COMPANIONS)):
        again += 1
        aside = path.with_name(f"{path.name}.set-aside-{stamp}-{again}")
    # The database goes first. If its log went first and this was cut short, the database would pass for complete without it.
    for source in (path, *_companions(path)):
        if os.path.lexists(source):
            source.rename(f"{aside}{source.name.removeprefix(path.name)}")
    return aside


def remove_oldest_aside(path: Path, *, max_bytes: int) -> list[Path]:
    """Remove files of this store that were set aside beside `path`, oldest first, until the rest takes `max_bytes` at most.

    The newest one stays, however large it is. A file that is not one of this store by its name and header stays too. Return the
    removed files. Raises OSError.
    """
    stamped = [(stamp.group(1), int(stamp.group(2) or 0), other) for other in _set_aside(path) if (stamp := _stamp_of(other))]
    ours = [other for _, _, other in sorted(stamped) if is_of_this_store(other)]
    sizes = {other: _whole_size_of(other) for other in ours}
    removed: list[Path] = []
    for other in ours[:-1]:
        if sum(sizes.values()) <= max_bytes:
            break
        for part in (*_companions(other), other):
            part.unlink(missing_ok=True)
        del sizes[other]
        removed.append(other)
    return removed


def inodes_of(path: Path) -> Inodes:
    """Return the inodes of the database at `path`, its write-ahead log and the log's index. Raises OSError."""
    found: list[tuple[int, int] | None] = []
    for name in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
        try:
            status = name.stat(follow_symlinks=False)
        except FileNotFoundError:
            found.append(None)
        else:
            found.append((status.st_dev, status.st_ino))
    return tuple(found)


def log_of(path: Path) -> Path:
    """Return the path of the write-ahead log of the database at `path`."""
    return Path(f"{path}-wal")


def size_of(path: Path) -> int:
    """Return the size of a file in bytes, 0 if there is none. Raises OSError."""
    try:
        return path.stat(follow_symlinks=False).st_size
    except FileNotFoundError:
        return 0


def remove_companions(path: Path, opened: Inodes) -> None:
    """Remove the log and index of a database that no longer lies at `path`, so that SQLite does not apply them to another one.

    They are removed only if they are the files that were `opened`. Raises OSError.
    """
    for suffix, ours, now in zip(("-wal", "-shm"), opened[1:], inodes_of(path)[1:], strict=True):
        if ours is not None and ours == now:
            Path(f"{path}{suffix}").unlink(missing_ok=True)


class FileLock:
    """The right to use the cache file, which one process has at a time: a lock on `<path>.lock`, which is never removed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock_path = Path(f"{path}.lock")
        self._descriptor: int | None = None

    @property
    def held(self) -> bool:
        """Whether the lock was taken, and not released."""
        return self._descriptor is not None

    def acquire(self) -> None:
        """Take the lock, unless it is held already and its file still lies at its path.

        Raises InUseError if another process holds it; LockLostError if its file was removed or replaced meanwhile; OSError.
        """
        if self._is_ours():
            return
        self.release()
        flags = os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
        self._descriptor = os.open(self._lock_path, flags, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Between opening and locking, the lock file may have been replaced, and a second process may have locked the new
            # one.
            self.check()
        except BlockingIOError as exc:
            self.release()
            raise InUseError(
                f"the cache file {self._path} is in use by another pluto-proxy; set cache.path to another file"
            ) from exc
        except BaseException:
            self.release()
            raise

    def check(self) -> None:
        """Raise LockLostError unless the lock is held on the file that lies at its path."""
        if not self._is_ours():
            raise LockLostError(f"{self._lock_path} is not the one that was locked")

    def release(self) -> None:
        """Release the lock if it is held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _is_ours(self) -> bool:
        if self._descriptor is None:
            return False
        try:
            return os.path.samestat(os.fstat(self._descriptor), self._lock_path.stat(follow_symlinks=False))
        except OSError:
            # The file is gone, or the open one has become useless (a network file system may say so).
            return False


def _lies_at(path: Path) -> bool:
    """Tell whether a file lies at the path. Raises StoreError if something else does."""
    try:
        status = path.stat(follow_symlinks=False)
    except FileNotFoundError:
        return False
    if not stat.S_ISREG(status.st_mode):
        raise StoreError(f"{path} is not a regular file; set cache.path to a file")
    return True


def _set_aside(path: Path) -> list[Path]:
    others = [other for other in path.parent.iterdir() if other.name.startswith(f"{path.name}.set-aside-")]
    return [other for other in others if not other.name.endswith(COMPANIONS)]


def _stamp_of(aside: Path) -> re.Match[str] | None:
    return _STAMP.fullmatch(aside.name.rpartition(".set-aside-")[2])


def _whole_size_of(path: Path) -> int:
    return sum(map(size_of, (path, *_companions(path))))


def _companions(path: Path) -> list[Path]:
    return [other for suffix in COMPANIONS if os.path.lexists(other := Path(f"{path}{suffix}"))]
