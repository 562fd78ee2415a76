"""The load: connections that each send the next request as soon as the answer is complete."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass

from tests.bench.exchange import PATIENCE_S, Connection, UnexpectedError, connected


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What every answer must look like: its status, the length of its body, and what its head must hold."""

    status: int
    body_bytes: int
    marker: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Polled:
    """How many answers came in how many seconds, and the seconds of its CPU that the load itself took."""

    answers: int
    elapsed_s: float
    load_cpu_s: float

    @property
    def per_s(self) -> float:
        """Answers a second."""
        return self.answers / self.elapsed_s

    @property
    def load_share(self) -> float:
        """Which part of one CPU the load took, 0..1."""
        return self.load_cpu_s / self.elapsed_s


class _Polling(Connection):
    """One connection of the load. `done` ends with the first answer that is complete after `until_s`."""

    def __init__(self, requests: Iterator[bytes], expected: Expected) -> None:
        super().__init__()
        self.answers = 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._requests = requests
        self._expected = expected
        self._status_line = f"HTTP/1.1 {expected.status} ".encode()
        self._until_s = 0.0

    def start(self, until_s: float) -> None:
        """Send the first request."""
        self._until_s = until_s
        self.send(next(self._requests))

    def answered(self) -> None:
        expected = self._expected
        if (
            not self.head.startswith(self._status_line)
            or self.body_bytes != expected.body_bytes
            or expected.marker not in self.head
        ):
            self.failed(UnexpectedError(f"expected {expected}, got {self.head!r}"))
            return
        self.answers += 1
        if time.perf_counter() < self._until_s:
            self.send(next(self._requests))
        elif not self.done.done():
            self.done.set_result(None)

    def failed(self, exc: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(exc)


async def poll(port: int, requests: Iterator[bytes], expected: Expected, *, connections: int, seconds: float) -> Polled:
    """Poll for some seconds and wait for what is under way then; `requests` does not end.

    Raises UnexpectedError at the first wrong answer.
    """
    async with connected(port, *(_Polling(requests, expected) for _ in range(connections))) as polling:
        began_s, cpu_s = time.perf_counter(), time.process_time()
        for connection in polling:
            connection.start(began_s + seconds)
        async with asyncio.timeout(seconds + PATIENCE_S):
            await asyncio.gather(*(connection.done for connection in polling))
        return Polled(
            answers=sum(connection.answers for connection in polling),
            elapsed_s=time.perf_counter() - began_s,
            load_cpu_s=time.process_time() - cpu_s,
        )
