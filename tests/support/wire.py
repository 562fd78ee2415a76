"""Requests and responses as bytes on a connection, and a proxy that tells which requests it answered by the fast path."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any
from unittest.mock import patch

from aiohttp import web
from yarl import URL

from proxy.config import KeySource
from proxy.core.freshness.entry import Entry
from proxy.web.connection.server import _Connection
from proxy.web.shortcut import leases
from proxy.web.shortcut.leases import Leases
from proxy.web.shortcut.prepared import Prepared, PreparedResponse
from proxy.web.shortcut.writing import Outlet
from tests.support.world import METRICS, World, world

LARGE = f"{METRICS}?runId=1&projectName=demo&logName=loss"
SMALL = f"{METRICS}?runId=1&projectName=demo&logName=nope"
MIDDLE = f"{METRICS}?runId=1&projectName=demo&logName=loss&limit=100"
# What differs between any two answers, or between a connection that stays open and one that doesn't.
VARYING = {"Date", "X-Request-ID", "Connection"}


def request(target: str = LARGE, *lines: str, method: str = "GET", version: str = "1.1") -> bytes:
    """The bytes of a request; one of `lines` may name another host."""
    host = [] if any(line.lower().startswith("host:") for line in lines) else ["Host: 127.0.0.1"]
    text = "".join(f"{line}\r\n" for line in [f"{method} {target} HTTP/{version}", *host, *lines, ""])
    return text.encode("utf-8", "surrogateescape")


KINDS = {
    "hit": request(),
    "small hit": request(SMALL),
    "unchanged": request(LARGE, "If-None-Match: *"),
    "head": request(LARGE, method="HEAD"),
    "absolute": request(f"http://127.0.0.1{LARGE}", "Host: elsewhere.example"),
    "refused": request("/nowhere"),
    "with a body": request(SMALL, "Content-Length: 9") + b"GET / x\r\n",
    "with an empty body": request(SMALL, "Content-Length: 0"),
    "in chunks": request(SMALL, "Transfer-Encoding: chunked") + b"4\r\n\r\n\r\n\r\n0\r\n\r\n",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Raw:
    """An answer as it came."""

    status_line: str
    fields: list[tuple[str, str]]
    body: bytes

    @property
    def told(self) -> tuple[str, list[tuple[str, str]], bytes]:
        """All that two answers to one question at one moment have in common."""
        return self.status_line, sorted(item for item in self.fields if item[0] not in VARYING), self.body

    @property
    def exact(self) -> tuple[str, list[tuple[str, str]], bytes]:
        """All of it, in its order, but for what differs between any two answers."""
        return self.status_line, [item for item in self.fields if item[0] not in VARYING], self.body

    @property
    def status(self) -> int:
        return int(self.status_line.split(" ")[1])

    @property
    def is_hit(self) -> bool:
        return (self.header("Cache-Status") or "").startswith("pluto-proxy; hit")

    def header(self, name: str) -> str | None:
        """The value of a field that is there at most once."""
        values = [value for named, value in self.fields if named == name]
        assert len(values) <= 1
        return values[0] if values else None


@dataclass(slots=True, kw_only=True)
class Wire:
    """One connection, and nothing between it and the bytes."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def ask(self, raw: bytes) -> Raw:
        self.writer.write(raw)
        return await self.reply(raw.split(b" ")[0])

    async def close(self) -> None:
        self.writer.close()
        with suppress(ConnectionError):
            await self.writer.wait_closed()

    async def reply(self, method: bytes = b"GET") -> Raw:
        """Read one answer; an interim 100 before it is passed over."""
        async with asyncio.timeout(20):
            lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("ascii").split("\r\n")[:-2]
            if lines[0].startswith("HTTP/1.1 100"):
                return await self.reply(method)
            fields = [(name, value) for name, _, value in (line.partition(": ") for line in lines[1:])]
            empty = method == b"HEAD" or " 304 " in lines[0]
            body = b"" if empty else await self.reader.readexactly(int(dict(fields)["Content-Length"]))
        return Raw(status_line=lines[0], fields=fields, body=body)

    async def ended(self) -> bool:
        """Whether the other side has closed the connection, with nothing left to read."""
        async with asyncio.timeout(20):
            return await self.reader.read() == b""


@dataclass(slots=True, kw_only=True)
class Watched:
    """A running proxy; `fast` are the connections of requests that were answered the fast way, in their order."""

    running: World
    fast: list[web.RequestHandler] = field(default_factory=list)
    wires: list[Wire] = field(default_factory=list)
    interfere: Callable[[PreparedResponse, web.BaseRequest], None] = lambda _response, _request: None

    async def connect(self, sock: socket.socket | None = None, **options: Any) -> Wire:
        if sock is None:
            url = URL(self.running.url)
            options |= {"host": url.host, "port": url.port, "ssl": self.running.trust}
        reader, writer = await asyncio.open_connection(sock=sock, **options)
        wire = Wire(reader=reader, writer=writer)
        self.wires.append(wire)
        return wire

    async def ask(self, raw: bytes, *, on: Wire | None = None) -> tuple[Raw, bool]:
        """Ask on a connection that stays open; return the answer, and whether it came the fast way."""
        before = len(self.fast)
        wire = on or (self.wires[0] if self.wires else await self.connect())
        reply = await wire.ask(raw)
        return reply, len(self.fast) > before

    async def ordinary(self, raw: bytes) -> Raw:
        """Ask the same on a connection that the request itself wants closed."""
        wire, before = await self.connect(), len(self.fast)
        head, blank, rest = raw.partition(b"\r\n\r\n")
        reply = await wire.ask(head + b"\r\nConnection: close" + blank + rest)
        assert len(self.fast) == before
        assert reply.header("Connection") == "close"
        assert await wire.ended()
        await wire.close()
        self.wires.remove(wire)
        return reply

    async def warm(self, raw: bytes) -> Raw:
        """Ask until it goes the fast way, which must be soon."""
        for _ in range(4):
            await self.running.parts.fetching.encoder.settled()
            reply, was_fast = await self.ask(raw)
            if was_fast:
                return reply
        raise AssertionError("it never goes the fast way")

    async def settled(self) -> None:
        """Wait until nothing goes on that could change an answer."""
        await self.running.parts.tenancy.settled()
        await self.running.settled()
        await self.running.parts.fetching.encoder.settled()

    @property
    def entry(self) -> Entry:
        """The one entry in memory."""
        [held] = self.running.parts.store.memory._held.values()  # noqa: SLF001 -- nobody else asks for all that is held
        return held.entry


@asynccontextmanager
async def watched(folder: Path, **options: Any) -> AsyncIterator[Watched]:
    async with world(folder, **options) as running:
        seen = Watched(running=running)
        received, answer, hits = _Connection.data_received, Leases.answer, count(1)
        last = 0

        def parsed(request: web.BaseRequest, prepared: Prepared) -> PreparedResponse:
            response = PreparedResponse(request, prepared)
            seen.fast.append(request.protocol)
            seen.interfere(response, request)
            return response

        # To ask the leases how many they have answered would bring their counts to where they are read.
        def answered(self: Leases, address: str, raw: bytes, outlet: Outlet) -> bool:
            nonlocal last
            is_answered = answer(self, address, raw, outlet)
            if is_answered and self is running.parts.web.leases:
                last = next(hits)
            return is_answered

        def not_parsed(connection: _Connection, data: bytes) -> None:
            before = last
            received(connection, data)
            if last > before:
                seen.fast.append(connection)

        await running.parts.tenancy.settled()
        with (
            patch.object(leases, "PreparedResponse", parsed),
            patch.object(_Connection, "data_received", not_parsed),
            patch.object(Leases, "answer", answered),
        ):
            try:
                yield seen
            finally:
                for wire in seen.wires:
                    await wire.close()


def key_file(folder: Path, key: str) -> KeySource:
    path = folder / "key"
    path.write_text(key + "\n")
    return KeySource(path=path)
