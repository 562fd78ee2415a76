"""Files that may change while the process runs, such as a key, tokens or a certificate: whether they have."""

import math
import os
from collections.abc import Sequence
from pathlib import Path

from proxy.clock import Clock

FileStamp = tuple[int, ...] | None
"""What changes with a file, None where there is none. Two that are equal are of the same content, as a rule."""


def stamp_of(path: Path) -> FileStamp:
    """Return a file's stamp. Take it before the file is read: then a change in between is noticed at the next look."""
    try:
        found = os.stat(path)  # noqa: PTH116 -- once a request or twice a second: without the cost of a Path
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size, found.st_ino, found.st_ctime_ns)


class FileWatch:
    """Tells whether files have changed, and looks at them at most once in a period: it is asked for each request."""

    def __init__(self, paths: Sequence[Path], clock: Clock, *, period_s: float) -> None:
        """The files are to be read after this."""
        self._paths = tuple(paths)
        self._clock = clock
        self._period_s = period_s
        self._looked_s = clock.monotonic_s()
        self._stamps = self._look()

    def expect(self, paths: Sequence[Path], stamps: Sequence[FileStamp]) -> None:
        """Watch files that had these stamps before they were read. The next question looks at them."""
        self._paths, self._stamps = tuple(paths), tuple(stamps)
        self._looked_s = -math.inf

    def says_read(self, *, faulty: bool) -> bool:
        """Tell whether the files should be read now. `faulty`: they could not be used when they were read last.

        What was wrong may have ended without a change of the files, by other rights of their directory.
        """
        now_s = self._clock.monotonic_s()
        if now_s - self._looked_s < self._period_s:
            return False
        self._looked_s, before = now_s, self._stamps
        self._stamps = self._look()
        return faulty or self._stamps != before

    def _look(self) -> tuple[FileStamp, ...]:
        return tuple(map(stamp_of, self._paths))
