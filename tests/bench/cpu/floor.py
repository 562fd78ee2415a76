"""The floor, a process of its own: what any server on this event loop takes, one that reads, looks up and writes.

    python -m tests.bench.cpu.floor LOOP

A request is read into memory that is there, its first bytes found among ready-made answers, and the answer written to the
socket at once. Nothing is parsed, checked or counted.
"""

import asyncio
import importlib
import os
import sys
from collections.abc import Mapping
from typing import cast

from proxy.core.freshness.entry import Coding
from tests.bench.bodies import LARGE, SMALL, answer_to

_READ_BYTES = 2**16
# They tell the ready paths apart.
_FIRST_BYTES = 16
_ETAG = 'ETag: "0123456789abcdef0123456789abcdef"\r\n'


def ready_path(points: int, *, not_modified: bool) -> str:
    """Return the path of one ready answer."""
    return f"/{points}/{'304' if not_modified else '200'}"


def answers() -> Mapping[bytes, bytes]:
    """Return all answers by the first bytes of their requests. Their heads are about as long as the proxy's."""
    told = f"{_ETAG}Cache-Status: floor; hit; ttl=3\r\nAge: 2\r\nVary: Accept-Encoding\r\nCache-Control: private, no-cache\r\n"
    told += f"X-Request-ID: 0123456789abcdef0123456789abcdef\r\nContent-Encoding: {Coding.IDENTITY}\r\nServer: floor\r\n"
    found = {}
    for points in (SMALL, LARGE):
        body = answer_to(points, 0)
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{told}Content-Length: {len(body)}\r\n\r\n".encode()
        found[_first_bytes(ready_path(points, not_modified=False))] = head + body
        found[_first_bytes(ready_path(points, not_modified=True))] = f"HTTP/1.1 304 Not Modified\r\n{told}\r\n".encode()
    return found


def _first_bytes(path: str) -> bytes:
    return f"GET {path} HTTP/1.1".encode()[:_FIRST_BYTES]


class Floor(asyncio.BufferedProtocol):
    """One connection, whose requests each come in one piece."""

    def __init__(self, ready: Mapping[bytes, bytes]) -> None:
        self._ready = ready
        self._buffer = bytearray(_READ_BYTES)
        self._first = memoryview(self._buffer)[:_FIRST_BYTES]
        self._transport: asyncio.Transport | None = None
        self._descriptor = -1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.BaseProtocol."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is not an instance of it
        self._descriptor = transport.get_extra_info("socket").fileno()

    def get_buffer(self, sizehint: int) -> bytearray:  # noqa: ARG002 -- as its base
        """See asyncio.BufferedProtocol."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:  # noqa: ARG002 -- as its base
        """See asyncio.BufferedProtocol."""
        answer = self._ready[bytes(self._first)]
        try:
            written = os.write(self._descriptor, answer)
        except BlockingIOError:
            written = 0
        if written < len(answer):
            assert self._transport is not None
            self._transport.write(memoryview(answer)[written:])


async def _serve() -> None:
    ready = answers()
    server = await asyncio.get_running_loop().create_server(lambda: Floor(ready), "127.0.0.1", 0, backlog=1024)
    sys.stderr.write(f"listening on http://127.0.0.1:{server.sockets[0].getsockname()[1]}\n")
    sys.stderr.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    loop = sys.argv[1]  # the proxy's own kind, which need not be installed
    run = asyncio.run if loop == "asyncio" else importlib.import_module(loop).run
    run(_serve())
