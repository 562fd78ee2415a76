"""Lines on their way to a descriptor: nobody waits, the order stays, lines stay whole, and what is missing is told."""

import fcntl
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from proxy.log.lines import Lines, LineStream

PATIENCE_S = 30.0


@dataclass(slots=True, kw_only=True)
class Pipe:
    """A pipe of the smallest size (a page), and what was read from it."""

    reading: int
    writing: int
    read: bytearray = field(default_factory=bytearray)
    reader: threading.Thread | None = None

    def drain(self) -> None:
        """Read until the writing end is closed."""
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self) -> None:
        while piece := os.read(self.reading, 65_536):
            self.read += piece

    def ended(self) -> list[str]:
        """Close the writing end and return the lines."""
        os.close(self.writing)
        self.writing = -1
        assert self.reader is not None
        self.reader.join()
        return self.read.decode().splitlines()


@contextmanager
def pipe() -> Iterator[Pipe]:
    reading, writing = os.pipe()
    opened = Pipe(reading=reading, writing=writing)
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4_096)
    try:
        yield opened
    finally:
        if opened.writing >= 0:
            os.close(opened.writing)
        if opened.reader is not None:
            opened.reader.join()
        os.close(reading)


def told(count: int) -> str:
    return f"missing {count}"


def stuck(lines: Lines) -> None:
    """Let the writer be held up in the middle of a line of 8 kB."""
    lines.put("x" * 8_192)
    assert not lines.settled(0.05)


def test_the_order_stays() -> None:
    """What was put in comes out, once somebody reads."""
    with pipe() as there:
        lines = Lines(there.writing, notice=told)
        stuck(lines)
        for number in range(1_000):
            lines.put(f"line {number}")
        there.drain()
        assert lines.settled(PATIENCE_S)
        assert there.ended() == ["x" * 8_192, *(f"line {number}" for number in range(1_000))]
        assert (lines.dropped, lines.losing) == (0, False)


@pytest.mark.parametrize(("max_lines", "max_bytes"), [(10, 2**20), (1_000, 8_193 + 65)], ids=["by lines", "by bytes"])
def test_the_gap_is_told_where_it_is(max_lines: int, max_bytes: int) -> None:
    """Beyond the bound lines are dropped until all that were kept have gone out; their number stands in their place."""
    with pipe() as there:
        lines = Lines(there.writing, notice=told, max_lines=max_lines, max_bytes=max_bytes)
        stuck(lines)
        for number in range(100, 200):
            lines.put(f"l {number}")
        assert (lines.dropped, lines.losing) == (90, True)
        there.drain()
        assert lines.settled(PATIENCE_S)
        assert not lines.losing
        lines.put("after")
        assert lines.settled(PATIENCE_S)
        kept = [f"l {number}" for number in range(100, 110)]
        assert there.ended() == ["x" * 8_192, *kept, "missing 90", "after"]
        assert lines.dropped == 90


def test_one_gap_instead_of_many() -> None:
    """After a line that didn't fit, shorter ones that would are dropped as well, until there is room for all."""
    with pipe() as there:
        lines = Lines(there.writing, notice=told, max_bytes=10_000)
        stuck(lines)
        lines.put("kept")
        lines.put("y" * 2_000)
        lines.put("short")
        there.drain()
        assert lines.settled(PATIENCE_S)
        lines.put("after")
        assert lines.settled(PATIENCE_S)
        assert there.ended() == ["x" * 8_192, "kept", "missing 2", "after"]


def test_a_line_larger_than_everything() -> None:
    """It is dropped, and that is told at once, though nothing else comes."""
    with pipe() as there:
        lines = Lines(there.writing, notice=told, max_bytes=100)
        there.drain()
        lines.put("x" * 100)
        assert lines.settled(PATIENCE_S)
        lines.put("y" * 99)
        assert lines.settled(PATIENCE_S)
        assert there.ended() == ["missing 1", "y" * 99]


def test_a_descriptor_that_breaks_and_heals(tmp_path: Path) -> None:
    """What can't be written is lost and counted; what can be again begins on a line of its own, after their number."""
    os.mkfifo(tmp_path / "fifo")
    reading = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    writing = os.open(tmp_path / "fifo", os.O_WRONLY)
    lines = Lines(writing, notice=told)
    lines.put("before")
    assert lines.settled(PATIENCE_S)
    lines.put("x" * 2**20)
    assert not lines.settled(0.05)
    lines.put("waiting")
    os.close(reading)
    assert lines.settled(PATIENCE_S)
    assert (lines.dropped, lines.losing) == (2, True)
    again = Pipe(reading=os.open(tmp_path / "fifo", os.O_RDONLY), writing=writing)
    again.drain()
    lines.put("after")
    assert lines.settled(PATIENCE_S)
    lines.put("and more")
    assert lines.settled(PATIENCE_S)
    first, torn, *rest = again.ended()
    os.close(again.reading)
    assert (first, set(torn)) == ("before", {"x"})
    assert rest == ["missing 2", "after", "and more"]
    assert (lines.dropped, lines.losing) == (2, False)


@pytest.mark.parametrize("closed", [True, False], ids=["closed", "without a reader"])
def test_nobody_fails_for_a_line(closed: bool) -> None:
    """Nor is anything tried again and again: a line is lost, and the next one tried."""
    reading, writing = os.pipe()
    os.close(reading)
    if closed:
        os.close(writing)
        writing = 1_000_000
    lines = Lines(writing, notice=told)
    for number in range(1, 4):
        lines.put("a line")
        assert lines.settled(PATIENCE_S)
        assert (lines.dropped, lines.losing) == (number, True)
    if not closed:
        os.close(writing)


def test_a_descriptor_that_others_made_non_blocking() -> None:
    """Lines stay whole, and none is lost."""
    with pipe() as there:
        os.set_blocking(there.writing, False)
        lines = Lines(there.writing, notice=told)
        stuck(lines)
        lines.put("after")
        there.drain()
        assert lines.settled(PATIENCE_S)
        assert not os.get_blocking(there.writing)
        assert there.ended() == ["x" * 8_192, "after"]


def test_lines_of_threads_and_of_interruptions() -> None:
    """Each thread's lines stay whole and in their order, whoever puts some in between, a signal's handler too."""
    with pipe() as there:
        there.drain()
        lines = Lines(there.writing, notice=told)

        def tell(name: str) -> None:
            for number in range(2_000):
                lines.put(f"{name} {number}")

        before = signal.signal(signal.SIGALRM, lambda *_: lines.put("signal"))
        signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
        try:
            threads = [threading.Thread(target=tell, args=(name,)) for name in "ab"]
            for thread in threads:
                thread.start()
            tell("c")
            for thread in threads:
                thread.join()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        assert lines.settled(PATIENCE_S)
        written = there.ended()
    assert lines.dropped == 0
    for name in "abc":
        assert [line for line in written if line[0] == name] == [f"{name} {number}" for number in range(2_000)]
    assert {line for line in written if line[0] not in "abc"} == {"signal"}


def test_a_text_file_of_lines() -> None:
    """Texts go out once they are complete lines, the last one when nothing more is to come."""
    with pipe() as there, os.fdopen(os.dup(there.writing), "w", encoding="ascii") as file:
        there.drain()
        lines = Lines(there.writing, encoding=file.encoding)
        stream = LineStream(lines, file)
        print("one", "two", file=stream)
        print("thr", end="", file=stream, flush=True)
        assert stream.write("ee\n\nf\u00fcnf") == 8
        assert (stream.fileno(), stream.isatty(), stream.writable()) == (file.fileno(), False, True)
        assert (stream.encoding, stream.readable()) == ("ascii", False)
        lines.put("between")
        stream.finish()
        stream.finish()
        assert lines.settled(PATIENCE_S)
        file.close()
        assert there.ended() == ["one two", "three", "", "between", "f\\xfcnf"]
