"""Raw HTTP/1.1 on one keep-alive connection: ready-made request bytes out, answers taken apart by searching bytes.

The load must cost less than what it measures, so there is no HTTP library here. Anything that isn't a plain answer with a
Content-Length (or a 304) ends the bench.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

PATIENCE_S = 60.0
_LENGTH = b"\r\nContent-Length: "
C = TypeVar("C", bound="Connection")


class UnexpectedError(Exception):
    """Something was answered that the measured case cannot hold: no figure of this run counts."""


def get(target: str, **headers: str) -> bytes:
    """Return the bytes of a GET; header names are written with underscores."""
    lines = [f"GET {target} HTTP/1.1", "Host: 127.0.0.1", "User-Agent: bench"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A complete answer. `head` begins with the status line; each of its lines ends with CR LF."""

    head: bytes
    body: bytes
    elapsed_s: float

    @property
    def status(self) -> int:
        """The status code."""
        return int(self.head[9:12])

    def header(self, name: str) -> str:
        """Return a header's value, empty where there is none."""
        _, found, rest = self.head.partition(f"\r\n{name}: ".encode())
        return rest.partition(b"\r\n")[0].decode() if found else ""


class Connection(asyncio.Protocol):
    """Takes answers apart and calls `answered` at the end of each. Subclasses say what happens then."""

    def __init__(self) -> None:
        self.head = b""
        self.body_bytes = 0
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport | None = None
        self._begun = b""
        self._missing = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def send(self, request: bytes) -> None:
        """Send one request; the answer to the one before must be complete."""
        assert self._transport is not None
        self._transport.write(request)

    def close(self) -> None:
        """Close the connection."""
        assert self._transport is not None
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol. A head may come in parts; a body comes in as many as it likes."""
        if self._missing:
            self._missing -= len(data)
        else:
            data = self._begun + data
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self._begun = data
                return
            self._begun = b""
            self.head = data[: end + 2]
            self.body_bytes = _body_bytes(self.head)
            data = data[end + 4 :]
            self._missing = self.body_bytes - len(data)
        self.took(data)
        if self._missing < 0:
            self.failed(UnexpectedError(f"more bytes than Content-Length says, after {self.head!r}"))
        elif not self._missing:
            self.answered()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self.failed(UnexpectedError(f"the server closed the connection: {exc}"))
        if not self.closed.done():
            self.closed.set_result(None)

    def took(self, body: bytes) -> None:
        """Part of a body has come."""

    def answered(self) -> None:
        """Act on a complete answer, described by `head` and `body_bytes`."""
        raise NotImplementedError

    def failed(self, exc: Exception) -> None:
        """Act on the end of the connection, which after close() is no fault."""
        raise NotImplementedError


class Asking(Connection):
    """A connection that asks one thing after another."""

    def __init__(self) -> None:
        super().__init__()
        self._chunks: list[bytes] = []
        self._waiting: asyncio.Future[float] | None = None

    async def ask(self, request: bytes) -> Reply:
        """Send a request and return the answer. Raises UnexpectedError where the connection breaks."""
        self._chunks = []
        self._waiting = asyncio.get_running_loop().create_future()
        began_s = time.perf_counter()
        self.send(request)
        async with asyncio.timeout(PATIENCE_S):
            ended_s = await self._waiting
        return Reply(head=self.head, body=b"".join(self._chunks), elapsed_s=ended_s - began_s)

    def took(self, body: bytes) -> None:
        """See Connection."""
        self._chunks.append(body)

    def answered(self) -> None:
        """See Connection."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(time.perf_counter())

    def failed(self, exc: Exception) -> None:
        """See Connection."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(exc)


@asynccontextmanager
async def connected(port: int, *connections: C) -> AsyncIterator[tuple[C, ...]]:
    """Connect them all to a port of loopback; close them at the end."""
    opened: list[C] = []
    try:
        for connection in connections:
            await _connect(connection, port)
            opened.append(connection)
        yield connections
    finally:
        for connection in opened:
            connection.close()
            await connection.closed


async def ask(port: int, request: bytes) -> Reply:
    """Ask one thing on a connection of its own."""
    async with connected(port, Asking()) as (connection,):
        return await connection.ask(request)


async def _connect(connection: Connection, port: int) -> None:
    await asyncio.get_running_loop().create_connection(lambda: connection, "127.0.0.1", port)


def _body_bytes(head: bytes) -> int:
    if head.startswith(b"HTTP/1.1 304"):
        return 0
    begin = head.find(_LENGTH)
    if begin < 0:
        raise UnexpectedError(f"an answer without a Content-Length: {head!r}")
    begin += len(_LENGTH)
    return int(head[begin : head.find(b"\r", begin)])
