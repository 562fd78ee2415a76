"""Hostile clients, over raw sockets: a clear 4xx or a closed connection, never a 500, never a call, nothing left behind."""

import asyncio
import gc
import socket
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path

import pytest
from aiohttp import web
from yarl import URL

from proxy.web.connection.crowd import Crowd
from tests.support.hostile_bytes import CASES, LINE
from tests.support.settings import settings
from tests.support.world import METRICS, World, served, world


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
        await running.parts.tenancy.settled()
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
        before = descriptors()
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
        assert descriptors() <= before + 2
        assert (await running.get()).status == 200


@pytest.mark.parametrize("raw", [LINE, LINE + b"Content-Length: 1000000\r\n\r\n"], ids=["head", "body"])
async def test_who_trickles(tmp_path: Path, raw: bytes) -> None:
    """A byte now and then keeps no connection open: a request has so much time, its fields and a refused body alike."""
    async with world(tmp_path, server__idle_timeout_s=0.4) as running:
        url = URL(running.url)
        reader, writer = await asyncio.open_connection(url.host, url.port)
        writer.write(raw)
        async with asyncio.timeout(5):
            ending = asyncio.create_task(reader.read())
            while not ending.done():
                writer.write(b"a")
                await asyncio.wait([ending], timeout=0.02)
        with suppress(ConnectionError):
            assert (await ending)[:12] == (b"HTTP/1.1 400" if raw != LINE else b"")
        writer.close()
        assert (await running.get()).status == 200


HEAD = b'{"metrics":[{"logName":"'
LARGE_BYTES = 24 * 2**20
LARGE_TARGET = f"{METRICS}?runId=2&projectName=demo"
LARGE = f"GET {LARGE_TARGET} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept-Encoding: identity\r\n\r\n".encode()
PATIENCE_S = 20


@asynccontextmanager
async def large(folder: Path, *, idle_timeout_s: float) -> AsyncIterator[World]:
    """Run a proxy that has a large answer in memory, ready for the fast way."""
    row = b'","logGroup":"","value":1,"valueFlag":"","time":"2026-01-01 00:00:00.000","step":1}]}'

    async def handle(request: web.Request) -> web.Response:
        if request.path != METRICS:
            return web.json_response({"valid": True, "organization": {"id": "o", "slug": "o"}, "user": {"id": "u"}})
        filling = b"a" * (LARGE_BYTES - len(HEAD) - len(row))
        return web.Response(body=HEAD + filling + row, content_type="application/json")

    async with served(handle) as upstream, world(folder, upstream=upstream, server__idle_timeout_s=idle_timeout_s) as running:
        await running.parts.tenancy.settled()
        for _ in range(3):
            reply = await running.get(LARGE_TARGET, Accept_Encoding="identity")
            assert (reply.status, len(reply.body)) == (200, LARGE_BYTES)
            await running.parts.fetching.encoder.settled()
        # Nothing else has it in hand: its way to the disk takes a copy for a moment.
        await running.flushed()
        yield running


async def unread(running: World, raw: bytes) -> socket.socket:
    """Send bytes, or as many as go out at once, on a connection of which nothing is read, and for which little is buffered."""
    url = URL(running.url)
    wire = socket.socket()
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    wire.setblocking(False)
    await asyncio.get_running_loop().sock_connect(wire, (url.host, url.port))
    wire.send(raw)
    return wire


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("requests", [1, 3_000])
@pytest.mark.parametrize("version", ["1.1", "1.0"], ids=["fast", "ordinary"])
async def test_who_does_not_read(tmp_path: Path, requests: int, version: str) -> None:
    """Whoever asks for a large answer, once or thousands of times, and reads nothing costs no copy of it, and is cut off."""
    raw = LARGE.replace(b"1.1", version.encode()).replace(b"Accept", b"Connection: keep-alive\r\nAccept") * requests
    async with large(tmp_path, idle_timeout_s=1) as running:
        before, answered = descriptors(), running.parts.web.intake.requests
        tracemalloc.start()
        with ExitStack() as stack:
            stack.callback(tracemalloc.stop)
            held_bytes = tracemalloc.get_traced_memory()[0]
            for _ in range(8):
                stack.enter_context(await unread(running, raw))
            await running.arrived(answered + 8)
            async with asyncio.timeout(PATIENCE_S):
                # What is left is this side of the connections.
                while descriptors() > before + 8:  # noqa: ASYNC110 -- no event tells it
                    await asyncio.sleep(0.01)
            assert tracemalloc.get_traced_memory()[1] - held_bytes < LARGE_BYTES
        assert running.parts.web.intake.requests == answered + 8
        assert (await running.get(LARGE_TARGET, Accept_Encoding="identity")).is_hit


REST = {
    "requests": LINE + b"\r\n",
    "large requests": LINE + (b"X-A: " + b"a" * 4_000 + b"\r\n") * 7 + b"\r\n",
    "many fields": LINE + b"a:b\r\n" * 100 + b"\r\n",
    "too large a request": LINE + (b"X-A: " + b"a" * 8_000 + b"\r\n") * 120 + b"\r\n",
    "no HTTP": b"a" * 2**20,
    "bodies": LINE + b"Content-Length: 50000\r\n\r\n" + b"a" * 50_000,
    "chunks": LINE + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 100_000,
    "a tunnel": b"CONNECT example.com:443 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" + b"a" * 2**20,
}


@pytest.mark.parametrize("name", REST)
async def test_what_waits_behind_an_unread_answer(tmp_path: Path, name: str) -> None:
    """Whatever a client sends on while it reads nothing, some of it is held and the rest is left to the kernel."""
    async with large(tmp_path, idle_timeout_s=1) as running:
        answered, loop = running.parts.web.intake.requests, asyncio.get_running_loop()
        tracemalloc.start()
        with ExitStack() as stack:
            stack.callback(tracemalloc.stop)
            held_bytes = tracemalloc.get_traced_memory()[0]
            wire = stack.enter_context(await unread(running, LARGE))
            await running.arrived(answered + 1)
            with suppress(ConnectionError, TimeoutError):
                async with asyncio.timeout(PATIENCE_S):
                    # Goes on until the proxy ends the connection.
                    while True:
                        await loop.sock_sendall(wire, REST[name])
            assert tracemalloc.get_traced_memory()[1] - held_bytes < 6 * 2**20
        assert running.parts.web.intake.requests == answered + 1


async def test_who_reads_slowly(tmp_path: Path) -> None:
    """Whoever takes longer for an answer than a connection may be idle, but reads on, gets all of it."""
    async with large(tmp_path, idle_timeout_s=1.5) as running:
        loop, came_bytes = asyncio.get_running_loop(), 0
        began_s = loop.time()
        with await unread(running, LARGE) as wire:
            while came_bytes < LARGE_BYTES:
                rest_at = min(came_bytes + 2**20, LARGE_BYTES)
                while came_bytes < rest_at:
                    piece = await loop.sock_recv(wire, 2**20)
                    assert piece, "cut off"
                    came_bytes += len(piece)
                await asyncio.sleep(0.1)
        assert loop.time() - began_s > 1.5


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


async def test_no_other_timer_comes_first(tmp_path: Path) -> None:
    """A connection may be idle for as long as is set: aiohttp's own timer would end it sooner, and wait for it to be read."""
    async with world(tmp_path, server__idle_timeout_s=86_400) as running:
        connection = running.parts.web.server()
        assert isinstance(connection, web.RequestHandler)
        assert connection.keepalive_timeout > 86_400


async def test_so_many_connections_in_all(tmp_path: Path) -> None:
    """More than may be are closed at once, whatever addresses they come from."""
    async with world(tmp_path, server__max_connections=5, server__max_connections_per_address=3) as running:
        url = URL(running.url)
        kept = []
        for address, most in (("127.0.0.1", 3), ("127.0.0.2", 2), ("127.0.0.3", 0)):
            for number in range(4):
                reader, writer = await asyncio.open_connection(url.host, url.port, local_addr=(address, 0))
                kept.append(writer)
                if number >= most:
                    with suppress(ConnectionError):
                        async with asyncio.timeout(3):
                            assert await reader.read() == b""
                else:
                    writer.write(b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
                    async with asyncio.timeout(3):
                        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        for writer in kept:
            writer.close()
        await asyncio.sleep(0.05)
        assert (await running.get()).status == 200


def test_connections_of_one_network() -> None:
    """Whoever has a network of IPv6 addresses has no more connections than whoever has one address."""
    crowd = Crowd(settings(server__max_connections_per_address=2))
    seats = [crowd.enter(f"2001:db8::{host}") for host in (1, 2, 3)]
    assert [seat.granted for seat in seats] == [True, True, False]
    assert crowd.enter("2001:db8:0:1::1").granted
    for seat in [*seats, seats[0]]:
        seat.leave()
    assert [crowd.enter(f"2001:db8::ffff:{host}").granted for host in (4, 5, 6)] == [True, True, False]
    assert [crowd.enter(f"192.0.2.{host}").granted for host in (1, 1, 1, 2)] == [True, True, False, True]


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
