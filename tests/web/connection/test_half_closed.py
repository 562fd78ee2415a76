"""Clients that end their side once they have asked, and read on; and those that have gone, which look the same."""

import asyncio
import socket
from pathlib import Path

import pytest
from yarl import URL

from proxy.standin import Fault, FaultKind, Standin, StandinConfig
from tests.support.processes import proxy_process
from tests.support.wire import KINDS, LARGE, SMALL, Raw, Watched, Wire, request, watched
from tests.support.world import KEY, METRICS, QUESTION, World, world

INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n"
MISS = f"{METRICS}?runId=1&projectName=demo&logName=loss&stepMin=%d"
ANSWERED = ["hit", "small hit", "unchanged", "head", "absolute", "refused", "with an empty body"]


async def half_closed(running: World, raw: bytes) -> Wire:
    """Send bytes and the end of this side."""
    url = URL(running.url)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(raw)
    writer.write_eof()
    return Wire(reader=reader, writer=writer)


async def answers(wire: Wire, kinds: list[str]) -> list[Raw]:
    """Read all answers, after which the connection must end."""
    read = [await wire.reply(KINDS[kind].split(b" ")[0]) for kind in kinds]
    assert await wire.ended()
    await wire.close()
    return read


async def warmed(seen: Watched) -> None:
    for kind in ANSWERED[:5]:
        for _ in range(2):
            await seen.warm(KINDS[kind])


@pytest.mark.parametrize("kinds", [*([kind] for kind in ANSWERED), ANSWERED, ["hit"] * 100, ["refused", "hit"] * 40])
async def test_what_is_answered_at_once(tmp_path: Path, kinds: list[str]) -> None:
    """Each way of answering: by bytes, the fast way, ordinarily; and however many are pipelined. Then the connection ends."""
    async with watched(tmp_path) as seen:
        await warmed(seen)
        expected = [await seen.ordinary(KINDS[kind]) for kind in kinds]
        raw = b"".join(KINDS[kind] for kind in kinds)
        for end in (b"", b"\r\n", b"GET /api"):
            wire = await half_closed(seen.running, raw + end)
            for one, other in zip(await answers(wire, kinds), expected, strict=True):
                assert one.status == other.status
                if one.status < 400:
                    assert one.told == other.told


async def test_a_large_answer_that_is_read_slowly(tmp_path: Path) -> None:
    """All of it comes, though the end of the client's side came while it was being written."""
    async with watched(tmp_path) as seen:
        expected = await seen.warm(request())
        url = URL(seen.running.url)
        wire = socket.socket()
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        wire.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(wire, (url.host, url.port))
        await loop.sock_sendall(wire, request() * 30)
        await asyncio.sleep(0.05)
        wire.shutdown(socket.SHUT_WR)
        came = b""
        while part := await loop.sock_recv(wire, 4096):
            came += part
            if len(came) < 100_000:
                await asyncio.sleep(0.001)
        wire.close()
        assert came.count(expected.body) == 30
        assert INTERIM not in came


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("times", [1, 3])
async def test_a_miss(tmp_path: Path, version: str, times: int) -> None:
    """Whoever waits long gets the answer, in HTTP/1.1 after an interim response, which HTTP/1.0 doesn't know."""
    gate = asyncio.Event()
    async with world(tmp_path) as running:
        await running.parts.tenancy.settled()
        running.standin.faults.add(Fault(kind=FaultKind.HOLD, gate=gate))
        kept = ["Connection: keep-alive"] if version == "1.0" else []
        raw = b"".join(request(MISS % number, *kept, version=version) for number in range(times))
        wire = await half_closed(running, raw)
        await running.standin.counters.reached(lambda counted: counted.by_path[METRICS] == 1)
        if version == "1.1":
            async with asyncio.timeout(10):
                assert await wire.reader.readexactly(len(INTERIM)) == INTERIM
        else:
            await asyncio.sleep(0.3)
        gate.set()
        for _ in range(times):
            async with asyncio.timeout(10):
                head = await wire.reader.readuntil(b"\r\n\r\n")
                assert b" 200 OK\r\n" in head.split(b"\n")[0] + b"\n"
                length = next(line for line in head.split(b"\r\n") if line.startswith(b"Content-Length: "))
                assert (await wire.reader.readexactly(int(length.split(b" ")[1]))).startswith(b'{"metrics":[')
        assert await wire.ended()
        await wire.close()


@pytest.mark.parametrize("reset", [False, True])
async def test_who_has_gone_leaves_the_line(tmp_path: Path, reset: bool) -> None:
    """Their question is not asked, be their end a plain one, which looks like a half-closed client's, or a reset."""
    gate = asyncio.Event()
    async with world(tmp_path, upstream__max_concurrency=1) as running:
        await running.parts.tenancy.settled()
        running.standin.faults.add(Fault(kind=FaultKind.HOLD, gate=gate))
        first = asyncio.create_task(running.get(QUESTION))
        await running.standin.counters.reached(lambda counted: counted.by_path[METRICS] == 1)
        wire = await half_closed(running, request(MISS % 1))
        stays = await half_closed(running, request(MISS % 2))
        line = running.parts.turnstile.budget.line
        async with asyncio.timeout(10):
            while len(line) != 2:  # noqa: ASYNC110 -- no event tells it
                await asyncio.sleep(0.001)
        if reset:
            wire.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        wire.writer.transport.abort()
        async with asyncio.timeout(10):
            while len(line) != 1:  # noqa: ASYNC110 -- no event tells it
                await asyncio.sleep(0.001)
        gate.set()
        assert (await first).status == 200
        assert (await stays.reply()).status == 200
        assert running.metrics_calls == 2
        await stays.close()


@pytest.mark.parametrize(
    "raw", [b"GET / HT", b"", request(SMALL, "Content-Length: 9") + b"half"], ids=["head", "nothing", "body"]
)
async def test_half_a_request(tmp_path: Path, raw: bytes) -> None:
    """What ends within a request, or before the first, ends the connection at once."""
    async with world(tmp_path) as running:
        wire = await half_closed(running, raw)
        async with asyncio.timeout(10):
            assert INTERIM not in await wire.reader.read()
        await wire.close()
        assert (await running.get()).status == 200


async def test_with_the_loop_that_serves(tmp_path: Path) -> None:
    """A process of its own has the event loop that it is run with: hits and misses, and who has gone."""
    gate = asyncio.Event()
    standin = Standin(StandinConfig())
    async with standin.serve() as upstream:
        variables = {
            "PLUTO_API_KEY": KEY,
            "PLUTO_PROXY_UPSTREAM": upstream,
            "PLUTO_PROXY_UPSTREAM__MAX_CONCURRENCY": "1",
            "PLUTO_PROXY_SERIES__ENABLED": "false",
            "PLUTO_PROXY_CACHE__PATH": str(tmp_path / "cache" / "cache.sqlite"),
        }
        async with proxy_process(**variables) as process:
            url = URL(process.url)

            async def asked(target: str) -> Wire:
                reader, writer = await asyncio.open_connection(url.host, url.port)
                writer.write(request(target))
                writer.write_eof()
                return Wire(reader=reader, writer=writer)

            for _ in range(4):
                wire = await asked(LARGE)
                assert (await wire.reply()).status == 200
                assert await wire.ended()
                await wire.close()
            calls = standin.counters.by_path[METRICS]
            standin.faults.add(Fault(kind=FaultKind.HOLD, gate=gate))
            held = await asked(MISS % 1)
            await standin.counters.reached(lambda counted: counted.by_path[METRICS] == calls + 1)
            gone = await asked(MISS % 2)
            await asyncio.sleep(0.05)
            gone.writer.transport.abort()
            async with asyncio.timeout(10):
                assert await held.reader.readexactly(len(INTERIM)) == INTERIM
            await asyncio.sleep(1)
            gate.set()
            assert (await held.reply()).status == 200
            assert await held.ended()
            await held.close()
            last = await asked(MISS % 3)
            assert (await last.reply()).status == 200
            await last.close()
            assert standin.counters.by_path[METRICS] == calls + 2
