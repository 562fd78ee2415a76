"""Requests whose bytes were seen before: they are not parsed again, and answered as they would be."""

import asyncio
import os
import socket
import tempfile
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.standin import Fault, FaultKind
from proxy.web.connection.server import _Connection
from proxy.web.shortcut.lease import LONGEST_S
from proxy.web.shortcut.writing import Outlet
from tests.support.wire import KINDS, LARGE, MIDDLE, SMALL, request, watched

pytestmark = pytest.mark.leases


async def test_bytes_that_were_seen(tmp_path: Path) -> None:
    """A request of the same bytes is not parsed again, and answered as it would be: with its age, and an id of its own."""
    async with watched(tmp_path) as seen:
        running = seen.running
        await seen.warm(request())
        await seen.ask(request())
        before, requests = running.parts.web.leases.answered, running.parts.web.intake.requests
        ids = set()
        for age in range(4):
            reply, was_fast = await seen.ask(request())
            assert was_fast
            assert (reply.header("Age"), reply.told) == (str(age), (await seen.ordinary(request())).told)
            ids.add(reply.header("X-Request-ID"))
            running.clock.advance(1)
        assert len(ids) == 4
        assert running.parts.web.leases.answered == before + 4
        assert running.parts.web.intake.requests == requests + 8
        named = request(LARGE, "X-Request-ID: mine")
        assert {(await seen.ask(named))[0].header("X-Request-ID") for _ in range(4)} == {"mine"}
        # Ids that clients give are others each time: nobody would find what was remembered by them.
        assert running.parts.web.leases.answered == before + 4


@pytest.mark.parametrize("taken_bytes", [4_096, 65_536])
@pytest.mark.parametrize("target", [LARGE, MIDDLE], ids=["by itself", "with its head"])
async def test_a_socket_that_takes_a_part(tmp_path: Path, taken_bytes: int, target: str) -> None:
    """What the socket doesn't take at once comes later, and whole, also where other requests follow meanwhile."""
    async with watched(tmp_path) as seen:
        expected = await seen.warm(request(target))
        for _ in range(3):
            await seen.warm(request(target))
        transport = seen.fast[-1].transport
        assert transport is not None
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, taken_bytes)
        before = seen.running.parts.web.leases.answered
        [wire] = seen.wires
        for times in (1, 3, 1):
            for _ in range(times):
                wire.writer.write(request(target))
                await asyncio.sleep(0)
            for _ in range(times):
                assert (await wire.reply()).told == expected.told
        assert seen.running.parts.web.leases.answered > before


async def test_who_reads_late(tmp_path: Path) -> None:
    """Who asks again before the last answer has gone out gets whole answers, one after the other."""
    async with watched(tmp_path) as seen:
        expected = await seen.warm(request())
        for _ in range(3):
            await seen.warm(request())
        transport = seen.fast[-1].transport
        assert transport is not None
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
        [wire] = seen.wires
        wire.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        reading = wire.writer.transport
        assert isinstance(reading, asyncio.ReadTransport)
        reading.pause_reading()
        wire.writer.write(request())
        while not transport.get_write_buffer_size():  # noqa: ASYNC110 -- no event tells it
            await asyncio.sleep(0)
        requests = seen.running.parts.web.intake.requests
        wire.writer.write(request())
        await seen.running.arrived(requests + 1)
        reading.resume_reading()
        for _ in range(2):
            assert (await wire.reply()).told == expected.told


def a_part(descriptor: int, data: bytearray) -> int:
    return os.write(descriptor, data[:100])


def nothing(descriptor: int, data: bytearray) -> int:
    raise BlockingIOError(f"{descriptor} takes none of {len(data)} bytes")


@pytest.mark.parametrize("taken", [a_part, nothing])
async def test_a_socket_that_takes_hardly_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: Callable[[int, bytearray], int]
) -> None:
    """A small answer is whole, too, though its own bytes are written in again for the next one."""
    async with watched(tmp_path) as seen:
        expected = await seen.warm(request(SMALL))
        for _ in range(3):
            await seen.warm(request(SMALL))
        monkeypatch.setattr("proxy.web.shortcut.leases.os", SimpleNamespace(write=taken))
        replies = [await seen.ask(request(SMALL)) for _ in range(3)]
        assert all(was_fast for _, was_fast in replies)
        assert [reply.told for reply, _ in replies] == [expected.told] * 3
        assert len({reply.header("X-Request-ID") for reply, _ in replies}) == 3


async def test_behind_what_waits(tmp_path: Path) -> None:
    """A request that could be answered at once waits for those before it on its connection."""
    gate = asyncio.Event()
    async with watched(tmp_path, freshness__client_floor_s=0) as seen:
        for _ in range(3):
            expected = await seen.warm(request(SMALL))
        seen.running.clock.advance(1)
        seen.running.standin.faults.add(Fault(kind=FaultKind.HOLD, gate=gate))
        wire, requests = await seen.connect(), seen.running.parts.web.intake.requests
        wire.writer.write(request(SMALL) + request(LARGE, "Cache-Control: no-cache"))
        assert (await wire.reply()).body == expected.body
        await seen.running.arrived(requests + 2)
        wire.writer.write(request(SMALL))
        await asyncio.sleep(0.05)
        gate.set()
        assert b'"step"' in (await wire.reply()).body
        assert (await wire.reply()).body == expected.body


async def test_bytes_from_elsewhere(tmp_path: Path) -> None:
    """Who may ask depends on the address: what was seen from one says nothing about another."""
    async with watched(tmp_path, access__networks="127.0.0.0/8") as seen:
        for _ in range(3):
            await seen.warm(request())
        leases, before = seen.running.parts.web.leases, seen.running.parts.web.leases.answered
        transport = seen.fast[-1].transport
        assert transport is not None
        outlet = Outlet(transport, None)
        assert leases.answer("127.0.0.1", request(), outlet)
        assert not leases.answer("10.0.0.1", request(), outlet)
        assert leases.answered == before + 1


async def test_while_it_drains(tmp_path: Path) -> None:
    """Once the process was told to end, whatever aiohttp does about the connection is done about every request."""
    async with watched(tmp_path) as seen:
        for _ in range(3):
            await seen.warm(request())
        before = seen.running.parts.web.leases.answered
        seen.running.parts.web.intake.drain()
        await seen.ordinary(request())
        assert (await seen.ask(request()))[0].status == 200
        assert seen.running.parts.web.leases.answered == before
        assert not seen.running.parts.web.leases.count


async def test_a_connection_that_is_in_use_is_not_idle(tmp_path: Path) -> None:
    """What isn't parsed counts as a sign of life."""
    async with watched(tmp_path) as seen:
        for _ in range(3):
            await seen.warm(request())
        connection = seen.fast[-1]
        assert isinstance(connection, _Connection)
        connection.since_s = 0.0
        before = seen.running.parts.web.leases.answered
        await seen.ask(request())
        assert seen.running.parts.web.leases.answered == before + 1
        assert connection.since_s == pytest.approx(asyncio.get_running_loop().time(), abs=60)


async def test_what_is_remembered_by_bytes_is_bounded(tmp_path: Path) -> None:
    """Neither many nor long requests fill the memory."""
    async with watched(tmp_path, cache__memory_bytes=2**23, freshness__running_s=86_400) as seen:
        await seen.warm(request())
        leases = seen.running.parts.web.leases
        for number in range(5_000):
            await seen.ask(request(LARGE, f"User-Agent: {number}"))
        assert 500 < len(leases._seen) < 5_000
        assert leases.size_bytes <= 2**20
        await seen.ask(request(LARGE, f"User-Agent: {'x' * 3_000}"))
        assert max(len(raw) for _, raw in leases._seen) <= 2_000
        for number in range(5_000):
            await seen.ask(request(LARGE, f'If-None-Match: "{number}"'))
            seen.running.clock.advance(LONGEST_S)
            # What is used stays.
            before = leases.answered
            await seen.ask(request(LARGE, "User-Agent: 4999"))
            assert leases.answered == before + 1
        assert leases.size_bytes <= 2**20


@pytest.mark.parametrize("last", [request(LARGE, "Connection: close"), b"GET / HTTP/1.1\r\nbad\r\n\r\n"], ids=["close", "bad"])
async def test_nothing_follows_the_last_answer(tmp_path: Path, last: bytes) -> None:
    """Whatever comes after a request that ends the connection isn't answered, though it was seen before."""
    async with watched(tmp_path) as seen:
        for _ in range(3):
            await seen.warm(request())
        for turns in range(12):
            wire = await seen.connect()
            await wire.ask(request())
            before = seen.running.parts.web.leases.answered
            wire.writer.write(last)
            for _ in range(turns):
                await asyncio.sleep(0)
            wire.writer.write(request())
            with suppress(ConnectionError):
                async with asyncio.timeout(20):
                    await wire.reader.read()
            assert seen.running.parts.web.leases.answered == before


@pytest.mark.parametrize(
    "pieces",
    [
        [request() * 3],
        [request()[:40], request()[40:]],
        [request()[:-1], request()[-1:] + request()[:7], request()[7:]],
        [request(SMALL) + request()[:-3], request()[-3:]],
    ],
    ids=["several at once", "cut", "cut in the empty line", "both"],
)
async def test_after_pieces(tmp_path: Path, pieces: list[bytes]) -> None:
    """A connection whose requests came cut, or several at once, is as fast as any afterwards."""
    async with watched(tmp_path) as seen:
        for target in (LARGE, SMALL):
            for _ in range(3):
                await seen.warm(request(target))
        wire, expected = await seen.connect(), await seen.ordinary(request())
        for piece in pieces:
            wire.writer.write(piece)
            await asyncio.sleep(0.01)
        for _ in range(b"".join(pieces).count(b"GET ")):
            await wire.reply()
        before = seen.running.parts.web.leases.answered
        assert (await wire.ask(request())).told == expected.told
        assert seen.running.parts.web.leases.answered == before + 1


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=4), st.sets(st.integers(1, 400))), min_size=1
    )
)
async def test_however_the_bytes_arrive(batches: list[tuple[list[str], set[int]]]) -> None:
    """Every request is answered as it would be by itself, in order: whole, in pieces, several at once, seen before or not.

    After each batch of requests, which is cut into pieces anywhere, its answers are waited for.
    """
    with tempfile.TemporaryDirectory() as folder:
        async with watched(Path(folder)) as seen:
            for kind in ("hit", "small hit", "unchanged", "head", "absolute"):
                for _ in range(3):
                    await seen.warm(KINDS[kind])
            expected = {kind: await seen.ordinary(raw) for kind, raw in KINDS.items()}
            wire = await seen.connect()
            for kinds, cuts in batches:
                whole = b"".join(KINDS[kind] for kind in kinds)
                for begin, end in pairwise([0, *sorted(cut for cut in cuts if cut < len(whole)), len(whole)]):
                    wire.writer.write(whole[begin:end])
                    await asyncio.sleep(0)
                for kind in kinds:
                    reply = await wire.reply(KINDS[kind].split(b" ")[0])
                    assert reply.status == expected[kind].status
                    if reply.status in {200, 304}:
                        assert reply.told == expected[kind].told
