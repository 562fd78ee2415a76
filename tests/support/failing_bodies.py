"""An upstream whose bodies fail in each way that there is."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress

MAX_BYTES = 2**21
ROW = b'{"logName":"loss","logGroup":"","value":1,"valueFlag":"","time":"2026-01-01 00:00:00.000","step":1},'
PIECE = ROW * 300
HEAD = b"HTTP/1.1 %s\r\nContent-Type: application/json\r\n%s\r\n\r\n"


def whole(status: bytes, body: bytes) -> Iterator[bytes]:
    yield HEAD % (status, b"Content-Length: %d" % len(body))
    for begin in range(0, len(body), len(PIECE)):
        yield body[begin : begin + len(PIECE)]


def endless() -> Iterator[bytes]:
    yield HEAD % (b"200 OK", b"Transfer-Encoding: chunked")
    while True:
        yield b"%x\r\n%b\r\n" % (len(PIECE), PIECE)


def cut() -> Iterator[bytes]:
    yield HEAD % (b"200 OK", b"Content-Length: %d" % MAX_BYTES)
    for _ in range(MAX_BYTES * 9 // 10 // len(PIECE)):
        yield PIECE


def large(first: bytes, last: bytes = b"") -> bytes:
    return first + PIECE * ((MAX_BYTES - 1_000) // len(PIECE)) + last


# What the upstream sends, made anew for each call.
ANSWERS: dict[str, Callable[[], Iterator[bytes]]] = {
    "endless": endless,
    "oversized": lambda: whole(b"200 OK", large(b'{"metrics":[') + large(b"")),
    "cut": cut,
    "not-json": lambda: whole(b"200 OK", large(b"rows: ")),
    "not-utf-8": lambda: whole(b"200 OK", large(b'{"metrics":[', b'{"logName":"\xff"}]}')),
    "wrong-shape": lambda: whole(b"200 OK", large(b'{"runs":[', b"{}]}")),
    "large-500": lambda: whole(b"500 Internal Server Error", large(b"rows: ")),
    "large-404": lambda: whole(b"404 Not Found", large(b"rows: ")),
    # Right in itself; what reads it fails unforeseen.
    "crash": lambda: whole(b"200 OK", large(b'{"metrics":[', ROW[:-1] + b"]}")),
    "large-redirect": lambda: whole(b"302 Found", large(b"rows: ")),
}


@asynccontextmanager
async def upstream() -> AsyncIterator[str]:
    """Answer each question as its logName says."""
    handling: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        handling.add(task)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while (found := re.search(rb"logName=([a-z0-9-]+)\.", await reader.readuntil(b"\r\n\r\n"))) is not None:
                for piece in ANSWERS[found[1].decode()]():
                    writer.write(piece)
                    await writer.drain()
                if found[1] == b"cut":
                    break
        writer.close()
        handling.discard(task)

    async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        for task in handling:
            task.cancel()
