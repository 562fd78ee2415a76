"""One window of load on one server, and what the server's CPU time for it was."""

import asyncio
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from tests.bench.contestants import Ready
from tests.bench.cpu.load import Loaded, Reader, load
from tests.bench.cpu.usage import run_ns, used_ns
from tests.bench.exchange import UnexpectedError, ask
from tests.bench.processes import Server

# Heads differ by some digits from one answer to the next, and a window ends in the midst of answers.
_TOLERANCE = 0.02
Beside = Callable[[], AbstractAsyncContextManager[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What was asked of a server in one window, and what the server ran for it."""

    loaded: Loaded
    used_ns: int
    elapsed_s: float

    @property
    def cpu_us(self) -> float:
        """The server's CPU microseconds for each answer."""
        return self.used_ns / self.loaded.answers / 1000

    @property
    def share(self) -> float:
        """Which part of one CPU the server took, 0..1."""
        return self.used_ns / 1e9 / self.elapsed_s

    def net_us(self, beside: float) -> float:
        """Return the CPU microseconds for each answer without what goes on beside, which takes this part of a CPU."""
        return (self.used_ns / 1e9 - beside * self.elapsed_s) * 1e6 / self.loaded.answers


async def window(server: Server, ready: Ready, reader: Reader, *, connections: int, seconds: float, beside: Beside) -> Window:
    """Load a server for some seconds, while something goes on beside.

    Raises UnexpectedError where as many answers as were counted can't have come in as many bytes as there were.
    """
    async with beside():
        reply = await ask(server.port, ready.request)
        before, began_s = run_ns(server.pid), time.perf_counter()
        loaded = await load(server.port, ready, reader, connections=connections, seconds=seconds)
        ended_s, after = time.perf_counter(), run_ns(server.pid)
    expected = len(reply.head) + len(b"\r\n") + len(reply.body)
    if abs(loaded.received_bytes / loaded.answers / expected - 1) > _TOLERANCE:
        raise UnexpectedError(f"{loaded.answers} answers of {expected} bytes came as {loaded.received_bytes} bytes")
    return Window(loaded=loaded, used_ns=used_ns(before, after), elapsed_s=ended_s - began_s)


async def share_of(server: Server, beside: Beside, *, rounds: int, seconds: float) -> float:
    """Return which part of a CPU a server takes for what goes on beside alone, at the median of some windows."""
    shares: list[float] = []
    async with beside():
        for _ in range(rounds):
            before, began_s = run_ns(server.pid), time.perf_counter()
            await asyncio.sleep(seconds)
            ended_s, after = time.perf_counter(), run_ns(server.pid)
            shares.append(used_ns(before, after) / 1e9 / (ended_s - began_s))
    return statistics.median(shares)


def middle_us(windows: Sequence[Window]) -> float:
    """Return the median of the CPU microseconds for each answer."""
    return statistics.median(each.cpu_us for each in windows)
