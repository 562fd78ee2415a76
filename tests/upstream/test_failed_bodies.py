"""Bodies that fail in any way are let go of when they have failed, not when memory of the failure fades."""

import asyncio
import gc
import re
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from proxy.core.question.routes import ROUTES
from tests.support.world import METRICS, World, world

MAX_BYTES = 2**21
AT_ONCE = 4
ROUNDS = 5
# Connections that were broken off leave what was buffered, as garbage.
MOST_KEPT = MAX_BYTES * AT_ONCE / 4
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


def crash(body: bytes) -> None:
    raise RuntimeError(len(body))


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


async def failing(running: World, answer: str, number: int) -> None:
    """Ask as many questions at once as there may be calls, each of them twice."""
    asking = []
    for one in range(AT_ONCE):
        question = f"{METRICS}?runId=1&projectName=demo&logName={answer}.{number}.{one}"
        asking += [running.get(question), running.get(question)]
    answered = asyncio.gather(*asking)
    while not answered.done():
        # Failures make the proxy leave the upstream alone for a while, which passes quickly here.
        running.advance(31)
        await asyncio.sleep(0.002)
    assert {reply.status for reply in await answered} <= {502, 503}
    await running.settled()


@pytest.mark.parametrize(
    ("answer", "series"), [*((answer, False) for answer in ANSWERS), ("oversized", True), ("cut", True), ("wrong-shape", True)]
)
async def test_nothing_is_kept_of_a_body_that_failed(tmp_path: Path, answer: str, series: bool) -> None:
    """Neither while the failure is remembered, nor until the garbage collector comes round: there is none here."""
    routes = [replace(route, check=crash) for route in ROUTES] if answer == "crash" else ROUTES
    settings: dict[str, Any] = {
        "series__enabled": series,
        "upstream__max_body_bytes": MAX_BYTES,
        "upstream__cooldown_max_s": 1,
        # Nothing is forgotten, and nobody gives up, while the clock runs fast.
        "freshness__negative_s": 86_400,
        "upstream__deadline_s": 86_400,
    }
    # The log without a configuration of its own would show what frames hold.
    with capture_logs():
        async with upstream() as base, world(tmp_path, upstream=base, routes=routes, **settings) as running:
            kept = await kept_bytes(running, answer)
    assert kept[-1] - kept[0] < MOST_KEPT, kept


async def kept_bytes(running: World, answer: str) -> list[int]:
    """Return what is kept after each round, since after a first one, without the garbage collector."""
    await failing(running, answer, 0)
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        kept = []
        for number in range(1, 1 + ROUNDS):
            await failing(running, answer, number)
            kept.append(tracemalloc.get_traced_memory()[0])
        patience = 1_000
        while kept[-1] - kept[0] >= MOST_KEPT and (patience := patience - 1):
            # A thread that has just done its work may hold on to what it was for a moment.
            await asyncio.sleep(0.005)
            kept[-1] = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
        gc.enable()
    return kept
