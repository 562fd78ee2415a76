"""Writing lines to a descriptor that may block for any time, such as standard error.

A thread writes the lines: a pipe that nobody reads, a log driver that stalls or a slow disk blocks this thread and nothing
else. The descriptor is not made non-blocking, because other processes share it and it would be non-blocking for them too. The
thread is a daemon and holds no lock while it is blocked, so that the process can end without it.
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

# How many lines, and bytes of them, are kept while nothing can be written.
MAX_LINES = 10_000
MAX_BYTES = 4 * 2**20
# Lines that come within this time are written together. Each time that the thread takes the interpreter's lock from the event
# loop costs the loop 10 to 15 us, which is more than making a line.
_GATHER_S = 0.005
_BATCH_BYTES = 65_536
# How long to wait before trying again if another process made the descriptor non-blocking and it is full.
_RETRY_S = 0.01


def _notice_of(count: int) -> str:
    return f"{count} lines were dropped"


class Lines:
    """Takes lines from any thread, without waiting, and writes them in their order, each as a whole.

    A line that cannot be kept or written is dropped. Once a line is dropped because too many wait, so are all that follow,
    until the waiting ones are written: so a reader finds one gap, not thousands. In the place of the gap stands the line that
    `notice` makes of the number of dropped lines.
    """

    def __init__(
        self,
        descriptor: int,
        *,
        encoding: str = "utf-8",
        notice: Callable[[int], str] = _notice_of,
        max_lines: int = MAX_LINES,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._descriptor = descriptor
        self._encoding = encoding
        self._notice = notice
        self._max_lines, self._max_bytes = max_lines, max_bytes
        self.dropped = 0
        """How many lines were dropped so far."""
        self.losing = False
        """Whether lines are being dropped: the newest ones, or those that were to be written last."""
        # Its lock is reentrant: a signal handler or a finalizer may log while the same thread is in put().
        self._changed = threading.Condition()
        self._waiting: deque[bytes] = deque()
        self._held_bytes = self._writing_bytes = 0
        # Lines dropped after those that wait, and lines dropped before them.
        self._refused = self._lost = 0
        self._resting = self._torn = False
        threading.Thread(target=self._run, name="log.lines", daemon=True).start()

    def put(self, line: str) -> None:
        """Take a line without its line end. Drop it if too much waits already."""
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
        """Wait until all lines are written or dropped, for `timeout_s` at most. Return whether they are."""
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
        """Wait for something to write. Return the number of dropped lines, to be told first, and the next lines."""
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
        """Write lines. Return how many of them were not written, or not as a whole."""
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
    """A text file that gives its lines to a `Lines`, so that warnings, tracebacks and `print` never block either.

    A last line without a line end is given on by `finish`.
    """

    def __init__(self, lines: Lines, file: TextIO) -> None:
        super().__init__()
        self._lines, self._file = lines, file
        self._lock = threading.RLock()
        self._begun = ""

    @property
    def encoding(self) -> str:  # type: ignore[override]  # an attribute there, which is there to be read
        """The encoding of the file that this one replaces."""
        return self._file.encoding

    def writable(self) -> bool:
        """Return True: text can be written."""
        return True

    def fileno(self) -> int:
        """Return the descriptor, for callers that need one (faulthandler)."""
        return self._file.fileno()

    def isatty(self) -> bool:
        """Tell whether the file that this one replaces is a terminal."""
        return self._file.isatty()

    def write(self, text: str) -> int:
        """Take text. Give its complete lines on, and keep the rest until its line is complete."""
        with self._lock:
            *lines, self._begun = f"{self._begun}{text}".split("\n")
            for line in lines:
                self._lines.put(line)
        return len(text)

    def finish(self) -> None:
        """Give on a line that has begun and was not ended."""
        if self._begun:
            self.write("\n")
