"""Upstreams that send the bytes that they are told to, in the clear or encrypted."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from tests.support.world import METRICS

Send = Callable[[str, asyncio.StreamWriter], Awaitable[None]]
ROW = '{"logName":"%s","logGroup":"","value":1,"valueFlag":"","time":"2026-01-01 00:00:00.000","step":1}'
VALID = '{"valid":true,"organization":{"id":"o","slug":"o"},"user":{"id":"u"}}'


def response(body: str | bytes, *, status: str = "200 OK", headers: str = "", length: int | None = None) -> bytes:
    raw = body if isinstance(body, bytes) else body.encode()
    size = len(raw) if length is None else length
    return f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{headers}Content-Length: {size}\r\n\r\n".encode() + raw


@asynccontextmanager
async def upstream(send: Send) -> AsyncIterator[str]:
    """Serve raw bytes: `send` gets each metrics request's target and the connection."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                target = head.split(b" ", 2)[1].decode()
                if target.startswith(METRICS):
                    await send(target, writer)
                else:
                    writer.write(response(VALID))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


def answer_body(name: str) -> bytes:
    return ('{"metrics":[' + ROW % name + "]}").encode()


def answer(name: str) -> bytes:
    return response(answer_body(name))


@asynccontextmanager
async def encrypted(context: ssl.SSLContext | bytes, heads: list[str] | None = None) -> AsyncIterator[int]:
    """Answer every question over TLS, noting its head, or say these bytes to whatever comes, and end."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if isinstance(context, bytes):
                await reader.read(1)
                writer.write(context)
                return
            while head := await reader.readuntil(b"\r\n\r\n"):
                if heads is not None:
                    heads.append(head.decode())
                writer.write(response(answer_body("loss") if METRICS.encode() in head else VALID))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=None if isinstance(context, bytes) else context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
