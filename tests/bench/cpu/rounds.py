"""One window of load on one server, and what the server's CPU time for it was."""

import asyncio
import statistics
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

from tests.bench.contestants import Ready
from tests.bench.cpu.live import Live
from tests.bench.cpu.load import Loaded, Reader, load
from tests.bench.cpu.usage import run_ns, used_ns
from tests.bench.exchange import UnexpectedError, ask
from tests.bench.processes import Server

# Heads differ by some digits from one answer to the next, and a window ends in the midst of answers.
_TOLERANCE = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What was asked of a server in one window, how many polls of runs that grow came beside, and what the server ran."""

    loaded: Loaded
    polls: int
    used_ns: int
    elapsed_s: float

    @property
    def cpu_us(self) -> float:
        """The server's CPU microseconds for each answer to the load."""
        return self.net_us(0.0)

    @property
    def share(self) -> float:
        """Which part of one CPU the server took, 0..1."""
        return self.used_ns / 1e9 / self.elapsed_s

    def net_us(self, poll_us: float) -> float:
        """Return the same without what the polls take, each so many microseconds."""
        return (self.used_ns / 1000 - self.polls * poll_us) / self.loaded.answers


async def window(
    server: Server, ready: Ready, reader: Reader, *, connections: int, seconds: float, live: Live | None = None
) -> Window:
    """Load a server for some seconds, while runs that grow are polled, if any.

    Raises UnexpectedError where as many answers as were counted can't have come in as many bytes as there were.
    """
    async with nullcontext() if live is None else live.going_on():
        reply = await ask(server.port, ready.request)
        before, began_s, polls = run_ns(server.pid), time.perf_counter(), 0 if live is None else live.polls
        loaded = await load(server.port, ready, reader, connections=connections, seconds=seconds)
        ended_s, after = time.perf_counter(), run_ns(server.pid)
        polls = 0 if live is None else live.polls - polls
    expected = len(reply.head) + len(b"\r\n") + len(reply.body)
    if abs(loaded.received_bytes / loaded.answers / expected - 1) > _TOLERANCE:
        raise UnexpectedError(f"{loaded.answers} answers of {expected} bytes came as {loaded.received_bytes} bytes")
    return Window(loaded=loaded, polls=polls, used_ns=used_ns(before, after), elapsed_s=ended_s - began_s)


async def poll_us(server: Server, live: Live, *, rounds: int, seconds: float) -> float:
    """Return the CPU microseconds that one poll of a run that grows takes without any load: the median of some windows."""
    found: list[float] = []
    async with live.going_on():
        for _ in range(rounds):
            before, polls = run_ns(server.pid), live.polls
            await asyncio.sleep(seconds)
            found.append(used_ns(before, run_ns(server.pid)) / 1000 / max(1, live.polls - polls))
    return statistics.median(found)


def middle_us(windows: Sequence[Window]) -> float:
    """Return the median of the CPU microseconds for each answer."""
    return statistics.median(each.cpu_us for each in windows)
