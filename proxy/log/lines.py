"""Lines on their way to a descriptor that may block for as long as somebody else likes, such as standard error.

A thread of their own writes them: a pipe that nobody reads, a log driver that stalls or a slow disk holds up that thread and
nothing else. The descriptor is shared with other processes, so that making it non-blocking would be making it so for them.
The thread writes to the descriptor itself and is a daemon: it holds no lock while it is held up, and may be left behind.
"""

import io
import os
import threading
import time
from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from itertools import accumulate
from typing import TextIO

# What is kept while nothing can be written.
MAX_LINES = 10_000
MAX_BYTES = 4 * 2**20
# What comes within so short a time is written together: whenever the thread takes the interpreter's lock from the event loop,
# it costs the loop 10 to 15 us, which is more than what making a line costs.
_GATHER_S = 0.005
_BATCH_BYTES = 65_536
# Somebody else made the descriptor non-blocking: how long to wait until trying again.
_RETRY_S = 0.01


def _told(count: int) -> str:
    return f"{count} lines were dropped"


class Lines:
    """Takes lines, from any thread, and never waits. They go out in the order in which they came, each as a whole.

    What can't be kept or written is lost. Once something is lost for want of room, so is everything that comes until all that
    was kept has gone out: a reader finds one gap, not thousands. A line that `notice` makes of their number stands where they
    are missing.
    """

    def __init__(
        self,
        descriptor: int,
        *,
        encoding: str = "utf-8",
        notice: Callable[[int], str] = _told,
        max_lines: int = MAX_LINES,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._descriptor = descriptor
        self._encoding = encoding
        self._notice = notice
        self._max_lines, self._max_bytes = max_lines, max_bytes
        self.dropped = 0
        """How many lines were lost so far."""
        self.losing = False
        """Whether lines are being lost: the last ones that came, or that were to be written."""
        # With a lock that its owner may take again: a signal's handler or a finalizer may log while a line is being put in.
        self._changed = threading.Condition()
        self._waiting: deque[bytes] = deque()
        self._held_bytes = self._writing_bytes = 0
        # Lost after what is waiting, and lost before it.
        self._refused = self._lost = 0
        self._resting = self._torn = False
        threading.Thread(target=self._run, name="log.lines", daemon=True).start()

    def put(self, line: str) -> None:
        """Take a line, without its end; one that doesn't fit is dropped."""
        data = f"{line}\n".encode(self._encoding, "backslashreplace")
        with self._changed:
            full = len(self._waiting) >= self._max_lines or self._held_bytes + len(data) > self._max_bytes
            if full or self._refused:
                self._refused += 1
                self.dropped += 1
                self.losing = True
            else:
                self._waiting.append(data)
                self._held_bytes += len(data)
            if self._resting:
                self._changed.notify_all()

    def settled(self, timeout_s: float) -> bool:
        """Wait until everything has been written or was lost, for `timeout_s` at most; return whether it was."""
        with self._changed:
            self._changed.notify_all()
            return self._changed.wait_for(lambda: self._resting and not (self._waiting or self._refused), timeout_s)

    def _run(self) -> None:
        while True:
            missing, lines = self._take()
            notice = [f"{self._notice(missing)}\n".encode(self._encoding, "backslashreplace")] if missing else []
            unwritten = self._write([*notice, *lines])
            with self._changed:
                if unwritten > len(lines):
                    unwritten = len(lines)
                    self._lost = missing
                self._lost += unwritten
                self.dropped += unwritten
                self.losing = bool(self._lost or self._refused)

    def _take(self) -> tuple[int, list[bytes]]:
        """Wait for something to write: a number of lines that are missing, to be told first, and lines."""
        with self._changed:
            self._held_bytes -= self._writing_bytes
            self._writing_bytes = 0
            while not self._waiting and not self._refused:
                self._resting = True
                self._changed.notify_all()
                self._changed.wait()
                self._resting = False
                self._changed.wait(_GATHER_S)
            lines: list[bytes] = []
            while self._waiting and self._writing_bytes < _BATCH_BYTES:
                lines.append(self._waiting.popleft())
                self._writing_bytes += len(lines[-1])
            missing, self._lost = self._lost, 0
            if not lines:
                missing, self._refused = missing + self._refused, 0
            return missing, lines

    def _write(self, lines: list[bytes]) -> int:
        """Write lines and return how many of them were not written, or not as a whole."""
        data = memoryview(b"".join(lines))
        written = 0
        try:
            if self._torn:
                self._write_some(b"\n")
                self._torn = False
            while written < len(data):
                written += self._write_some(data[written:])
        except OSError:
            self._torn = self._torn or (written > 0 and data[written - 1] != ord("\n"))
        return len(lines) - bisect_right(list(accumulate(map(len, lines))), written)

    def _write_some(self, data: bytes | memoryview) -> int:
        while True:
            try:
                return os.write(self._descriptor, data)
            except BlockingIOError:
                time.sleep(_RETRY_S)


class LineStream(io.TextIOBase):
    """A text file whose lines go the way of the others: what writes to standard error by itself mustn't be held up either.

    Warnings, tracebacks, `print`. The end of a text counts as the end of its line once nothing more is to come (`finish`).
    """

    def __init__(self, lines: Lines, file: TextIO) -> None:
        super().__init__()
        self._lines, self._file = lines, file
        self._lock = threading.RLock()
        self._begun = ""

    @property
    def encoding(self) -> str:  # type: ignore[override]  # an attribute there, which is there to be read
        """As the file's that it stands for."""
        return self._file.encoding

    def writable(self) -> bool:
        """Text can be written."""
        return True

    def fileno(self) -> int:
        """Return the descriptor, for whom nothing else will do (faulthandler)."""
        return self._file.fileno()

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self._file.isatty()

    def write(self, text: str) -> int:
        """Take a text: what of it are complete lines, and the rest once that is complete."""
        with self._lock:
            *lines, self._begun = f"{self._begun}{text}".split("\n")
            for line in lines:
                self._lines.put(line)
        return len(text)

    def finish(self) -> None:
        """End a line that has begun."""
        if self._begun:
            self.write("\n")
