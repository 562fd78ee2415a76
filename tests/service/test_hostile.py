"""Hostile clients, over raw sockets: a clear 4xx or a closed connection, never a 500, never a call, nothing left behind."""

import asyncio
import gc
import tracemalloc
from contextlib import suppress
from pathlib import Path

import pytest
from yarl import URL

from tests.support import METRICS, World, world

LINE = f"GET {METRICS}?runId=1&projectName=demo HTTP/1.1\r\nHost: 127.0.0.1\r\n".encode()
CASES: dict[str, bytes] = {
    "a body on GET": LINE + b"Content-Length: 5\r\n\r\nhello",
    "a chunked body on GET": LINE + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "length and chunks": LINE + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": LINE + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "a negative length": LINE + b"Content-Length: -1\r\n\r\n",
    "a length with a sign": LINE + b"Content-Length: +5\r\n\r\nhello",
    "an unknown coding": LINE + b"Transfer-Encoding: xchunked\r\n\r\n",
    "a bad chunk": LINE + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    "obs-fold": LINE + b"X-A: b\r\n c\r\n\r\n",
    "a bare CR in a field": LINE + b"X-A: b\rX-B: c\r\n\r\n",
    "NUL in a field": LINE + b"X-A: b\0c\r\n\r\n",
    "a space before the colon": LINE + b"X-A : b\r\n\r\n",
    "NUL in the target": b"GET /api/runs/metrics?runId=1\0 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "CR LF in a parameter": b"GET /api/runs/metrics?runId=1%0d%0aX:1&projectName=p HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "NUL in a parameter": b"GET /api/runs/metrics?runId=1&projectName=%00 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "10,000 parameters": b"GET /api/runs/metrics?" + b"a=1&" * 10_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "a URL of 1 MB": b"GET /" + b"a" * 2**20 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "a field of 1 MB": LINE + b"X-A: " + b"a" * 2**20 + b"\r\n\r\n",
    "100,000 fields": LINE + b"X-A: b\r\n" * 100_000 + b"\r\n",
    "no line end in 1 MB": b"a" * 2**20,
    "two hosts": LINE + b"Host: 127.0.0.1\r\n\r\n",
}


async def send(running: World, raw: bytes) -> bytes:
    """Send bytes; return what came back until the connection ended or nothing more came."""
    url = URL(running.url)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    came = b""
    with suppress(ConnectionError, TimeoutError):
        writer.write(raw)
        async with asyncio.timeout(3):
            with suppress(ConnectionError):
                await writer.drain()
            came = await reader.readuntil(b"\r\n\r\n")
    with suppress(ConnectionError, asyncio.IncompleteReadError):
        writer.close()
        await writer.wait_closed()
    return came


@pytest.mark.parametrize("name", CASES)
async def test_refused(tmp_path: Path, name: str) -> None:
    """A 4xx or a closed connection; and the proxy goes on."""
    async with world(tmp_path) as running:
        await running.parts.tenancy.found()
        # What is answered the fast way otherwise isn't either.
        for _ in range(2):
            await running.get(f"{METRICS}?runId=1&projectName=demo")
        before = running.standin.counters.total
        try:
            came = await send(running, CASES[name])
        except asyncio.IncompleteReadError as exc:
            came = exc.partial
        assert came == b"" or came.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4")), came
        assert running.standin.counters.total == before
        assert (await running.get(f"{METRICS}?runId=1&projectName=demo")).status == 200


async def test_slow_senders_and_readers_are_cut_off(tmp_path: Path) -> None:
    """Whoever sends half a request, nothing at all, or doesn't read is closed after `idle_timeout_s`; descriptors come back."""
    async with world(tmp_path, server__idle_timeout_s=0.4) as running:
        assert (await running.get()).status == 200
        before = len(list(Path("/proc/self/fd").iterdir()))
        url = URL(running.url)
        connections = [await asyncio.open_connection(url.host, url.port) for _ in range(30)]
        for number, (_, writer) in enumerate(connections):
            writer.write((b"", b"GET /api", LINE)[number % 3])
        async with asyncio.timeout(5):
            for reader, writer in connections:
                with suppress(ConnectionError):
                    assert await reader.read() == b""
                writer.close()
        await asyncio.sleep(0.05)
        assert len(list(Path("/proc/self/fd").iterdir())) <= before + 2
        assert (await running.get()).status == 200


async def test_so_many_connections(tmp_path: Path) -> None:
    """More than may be are closed at once; once others have gone there is room again."""
    async with world(tmp_path, server__max_connections_per_address=5) as running:
        url = URL(running.url)
        connections = [await asyncio.open_connection(url.host, url.port) for _ in range(8)]
        closed = 0
        for reader, _ in connections[5:]:
            with suppress(ConnectionError):
                async with asyncio.timeout(3):
                    assert await reader.read() == b""
            closed += 1
        assert closed == 3
        for _, writer in connections:
            writer.close()
        await asyncio.sleep(0.05)
        assert (await running.get()).status == 200


async def test_memory_stays_flat(tmp_path: Path) -> None:
    """The whole table over and over leaves nothing behind."""
    small = {name: raw for name, raw in CASES.items() if len(raw) < 50_000}
    async with world(tmp_path) as running:

        async def once() -> None:
            for raw in small.values():
                with suppress(asyncio.IncompleteReadError):
                    await send(running, raw)

        await once()
        tracemalloc.start()
        try:
            await once()
            gc.collect()
            before = tracemalloc.get_traced_memory()[0]
            for _ in range(10):
                await once()
            gc.collect()
            assert tracemalloc.get_traced_memory()[0] - before < 500_000
        finally:
            tracemalloc.stop()
