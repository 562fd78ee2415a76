"""The cache file as `kill -9` leaves it."""

import shutil
from pathlib import Path


def copy_as_killed(path: Path, to: Path) -> None:
    """Copy a cache file that is being written, with its log, as they are at one moment; `to` is in a folder that isn't there.

    Writers only add to the log, and what is added half doesn't count. Only where the log is brought into the file in between
    do the two copies not belong together: then they are taken again.
    """
    to.parent.mkdir(mode=0o700, parents=True)
    while True:
        before = path.stat()
        shutil.copy(path, to)
        log = path.with_name(f"{path.name}-wal")
        if log.exists():
            shutil.copy(log, to.with_name(f"{to.name}-wal"))
        after = path.stat()
        if (before.st_mtime_ns, before.st_size) == (after.st_mtime_ns, after.st_size):
            return
