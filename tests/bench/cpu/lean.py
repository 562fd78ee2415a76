"""A load of our own for where there is no wrk: one thread, one buffer, no event loop, and nothing looked at twice.

    python -m tests.bench.cpu.lean PORT CONNECTIONS SECONDS STATUS BODY_BYTES (kept|new) < request

It prints the same line as `finished.lua` has wrk print. It takes some 8 µs for an answer where wrk takes 3.

With `kept`, what comes is read into the same memory again and again, as wrk does. With `new` it is read and put together as
most clients in Python do: each answer into memory of its own.
"""

import math
import select
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

_MOST_BYTES = 2**18
_HEAD_END = b"\r\n\r\n"


@dataclass(slots=True, kw_only=True)
class _Waiting:
    """A connection whose answer is under way. `missing` bytes of it are still to come, None before it has begun."""

    connection: socket.socket
    sent_s: float = 0.0
    missing: int | None = None
    pieces: list[bytes] = field(default_factory=list)


class Load:
    """Asks the same on all connections, on each again as soon as its answer is complete."""

    def __init__(
        self, port: int, request: bytes, *, connections: int, status: int, body_bytes: int, keeps_memory: bool
    ) -> None:
        self._request = request
        self._begin = b"HTTP/1.1 %d " % status
        self._body_bytes = body_bytes
        self._buffer = bytearray(_MOST_BYTES)
        self._view = memoryview(self._buffer)
        self._read: Callable[[_Waiting], int] = self._into_kept if keeps_memory else self._into_new
        self._waiting = {}
        for _ in range(connections):
            connection = socket.create_connection(("127.0.0.1", port))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._waiting[connection.fileno()] = _Waiting(connection=connection)
        self.received_bytes = 0
        self.took_s: list[float] = []

    def run(self, seconds: float) -> float:
        """Ask for so many seconds; return how many they were. Raises ValueError at the first wrong answer."""
        polling = select.epoll()
        for number, waiting in self._waiting.items():
            polling.register(number, select.EPOLLIN)
            self._ask(waiting)
        began_s = time.perf_counter()
        while (now_s := time.perf_counter()) - began_s < seconds:
            for number, _ in polling.poll(1.0):
                waiting = self._waiting[number]
                if self._read(waiting):
                    self.took_s.append(time.perf_counter() - waiting.sent_s)
                    self._ask(waiting)
        return now_s - began_s

    def _ask(self, waiting: _Waiting) -> None:
        waiting.missing = None
        waiting.sent_s = time.perf_counter()
        waiting.connection.send(self._request)

    def _into_kept(self, waiting: _Waiting) -> bool:
        """Read what has come; return whether the answer is complete."""
        size = waiting.connection.recv_into(self._buffer)
        return self._counted(waiting, size, self._buffer)

    def _into_new(self, waiting: _Waiting) -> bool:
        """Do the same, and keep the pieces until they are put together."""
        piece = waiting.connection.recv(_MOST_BYTES)
        waiting.pieces.append(piece)
        complete = self._counted(waiting, len(piece), piece)
        if complete:
            b"".join(waiting.pieces)
            waiting.pieces.clear()
        return complete

    def _counted(self, waiting: _Waiting, size: int, begun: bytes | bytearray) -> bool:
        self.received_bytes += size
        if waiting.missing is None:
            end = begun.find(_HEAD_END, 0, size)
            if end < 0 or not begun.startswith(self._begin):
                raise ValueError(f"expected {self._begin!r}, got {bytes(begun[:size])!r}")
            waiting.missing = end + len(_HEAD_END) + self._body_bytes
        waiting.missing -= size
        if waiting.missing < 0 or not size:
            raise ValueError(f"{-waiting.missing} bytes more than the answer has")
        return not waiting.missing


def _percentile(values: list[float], part: float) -> float:
    return sorted(values)[max(0, math.ceil(part * len(values)) - 1)]


def main(arguments: list[str]) -> None:
    """Load, and print what was found."""
    port, connections, seconds, status, body_bytes, memory = arguments
    load = Load(
        int(port),
        sys.stdin.buffer.read(),
        connections=int(connections),
        status=int(status),
        body_bytes=int(body_bytes),
        keeps_memory=memory == "kept",
    )
    elapsed_s = load.run(float(seconds))
    p50, p99 = (round(1e6 * _percentile(load.took_s, part)) for part in (0.5, 0.99))
    sys.stdout.write(f"finished {len(load.took_s)} {round(1e6 * elapsed_s)} {load.received_bytes} 0 {p50} {p99}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
