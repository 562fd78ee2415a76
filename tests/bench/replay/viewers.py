"""The viewers: each asks what the script says at the moment that it says, on a few connections of its own, as browsers do."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from tests.bench.exchange import PATIENCE_S, get
from tests.bench.replay.judge import Answer
from tests.bench.replay.script import Ask

# What browsers have for one host.
_CONNECTIONS = 6
_LAST_CHUNK = b"\r\n0\r\n\r\n"


class BrokenError(Exception):
    """The connection ended before an answer did; `begun` tells whether some of it had come."""

    def __init__(self, *, begun: bool) -> None:
        super().__init__("the connection ended before the answer")
        self.begun = begun


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A complete answer, its body as it was before chunking. `head` begins with the status line."""

    status: int
    body: bytes
    head: bytes = b""


class Wire(asyncio.Protocol):
    """One keep-alive connection, for one request at a time. Answers have a Content-Length or come in chunks.

    The end of a chunked body of JSON, in which there is no line break, is known by its last seven bytes.
    """

    def __init__(self) -> None:
        self.open = False
        self._closed = asyncio.Event()
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[None] | None = None
        self._clear()

    def _clear(self) -> None:
        self._received: list[bytes] = []
        self._head = b""
        self._length: int | None = None
        self._body_bytes = 0
        self._tail = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        assert isinstance(transport, asyncio.Transport)
        self._transport, self.open = transport, True

    async def ask(self, request: bytes) -> Said:
        """Send a request and return the answer. Raises BrokenError or TimeoutError."""
        assert self._transport is not None
        self._clear()
        self._waiting = asyncio.get_running_loop().create_future()
        if not self.open:
            raise BrokenError(begun=False)
        self._transport.write(request)
        async with asyncio.timeout(PATIENCE_S):
            await self._waiting
        body = b"".join(self._received)
        return Said(status=int(self._head[9:12]), body=_unchunked(body) if self._length is None else body, head=self._head)

    async def aclose(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()
            await self._closed.wait()

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        if not self._head:
            self._received.append(data)
            self._head, found, data = b"".join(self._received).partition(b"\r\n\r\n")
            if not found:
                self._head = b""
                return
            self._received = []
            self._length = _content_length(self._head)
        self._received.append(data)
        self._body_bytes += len(data)
        self._tail = (self._tail + data)[-len(_LAST_CHUNK) :]
        ended = self._body_bytes >= self._length if self._length is not None else (b"\r\n" + self._tail).endswith(_LAST_CHUNK)
        if ended and self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 -- a break is a break
        """See asyncio.Protocol."""
        self.open = False
        self._closed.set()
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(BrokenError(begun=bool(self._received)))


class Viewer:
    """Some connections to a port of loopback, opened when they are needed."""

    def __init__(self, port: int, headers: dict[str, str]) -> None:
        self._port = port
        self._headers = headers
        self._turns = asyncio.Semaphore(_CONNECTIONS)
        self._idle: list[Wire] = []

    async def ask(self, ask: Ask) -> Answer:
        """Ask once. The time is that from the sending, not that spent waiting for one of the connections."""
        request = get(ask.target, **self._headers)
        async with self._turns:
            asked_s, began_s = time.time(), time.perf_counter()
            try:
                said = await self._said(request)
            except (BrokenError, TimeoutError, OSError):
                said = Said(status=0, body=b"")
            return Answer(
                question=ask.question,
                status=said.status,
                body=said.body,
                asked_s=asked_s,
                answered_s=time.time(),
                elapsed_s=time.perf_counter() - began_s,
                head=said.head,
            )

    async def aclose(self) -> None:
        """Close the connections that nobody uses."""
        for wire in self._idle:
            await wire.aclose()

    async def _said(self, request: bytes) -> Said:
        """Use an idle connection; one that turns out to be closed is left for a new one, as browsers do."""
        while self._idle:
            wire = self._idle.pop()
            try:
                return await self._on(wire, request)
            except BrokenError as exc:
                if exc.begun:
                    raise
        _, wire = await asyncio.get_running_loop().create_connection(Wire, "127.0.0.1", self._port)
        return await self._on(wire, request)

    async def _on(self, wire: Wire, request: bytes) -> Said:
        try:
            said = await wire.ask(request)
        except BaseException:
            await wire.aclose()
            raise
        self._idle.append(wire)
        return said


async def play(port: int, script: Sequence[Ask], headers: dict[str, str]) -> list[Answer]:
    """Play a script to its end and return all answers."""
    viewers = {ask.viewer: Viewer(port, headers) for ask in script}
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    asking: list[asyncio.Task[Answer]] = []
    try:
        for ask in script:
            await asyncio.sleep(began_s + ask.at_s - loop.time())
            asking.append(asyncio.create_task(viewers[ask.viewer].ask(ask)))
        return await asyncio.gather(*asking)
    finally:
        for viewer in viewers.values():
            await viewer.aclose()


def _content_length(head: bytes) -> int | None:
    """Return the length that a head tells; None where the body comes in chunks."""
    _, found, rest = (head.lower() + b"\r\n").partition(b"\r\ncontent-length:")
    return int(rest.partition(b"\r\n")[0]) if found else None


def _unchunked(chunked: bytes) -> bytes:
    pieces: list[bytes] = []
    begin = 0
    while size := int(chunked[begin : (line := chunked.index(b"\r\n", begin))].partition(b";")[0], 16):
        pieces.append(chunked[line + 2 : line + 2 + size])
        begin = line + 2 + size + 2
    return b"".join(pieces)
