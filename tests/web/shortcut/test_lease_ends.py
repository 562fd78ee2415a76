"""What changes is seen by the fast path at once: no answer outlives what it was made of."""

import gc
import weakref
from pathlib import Path
from unittest.mock import patch

import pytest
from aiohttp import web

from proxy.standin import Fault, FaultKind, Row
from proxy.web.shortcut.lease import LONGEST_S
from proxy.web.shortcut.leases import FILED_BYTES
from tests.support.wire import LARGE, SMALL, key_file, request, watched
from tests.support.world import KEY

pytestmark = pytest.mark.leases


async def test_a_refresh_is_seen(tmp_path: Path) -> None:
    """New bytes are handed out as soon as they are there, with their own tag and length; the same bytes with their new age."""
    async with watched(tmp_path, freshness__client_floor_s=0) as seen:
        before = await seen.warm(request())
        seen.running.clock.advance(1)
        await seen.ask(request(LARGE, "Cache-Control: no-cache"))
        reply, _ = await seen.ask(request())
        assert (reply.body, reply.header("Age")) == (before.body, "0")
        await seen.warm(request())
        seen.running.standin.rows.insert([Row(run_id=1, log_name="loss", step=2_000, value=1)])
        seen.running.clock.advance(1)
        newest, _ = await seen.ask(request(LARGE, "Cache-Control: no-cache"))
        for _ in range(3):
            reply, _ = await seen.ask(request())
            assert reply.exact == (await seen.ordinary(request())).exact
            assert reply.body == newest.body != before.body
        assert seen.running.metrics_calls == 3


async def test_a_refusal_ends_it(tmp_path: Path) -> None:
    """What the upstream says is there no more isn't handed out any longer."""
    async with watched(tmp_path, freshness__client_floor_s=0) as seen:
        await seen.warm(request())
        seen.running.standin.faults.add(Fault(kind=FaultKind.STATUS, status=404))
        seen.running.clock.advance(1)
        assert (await seen.ask(request(LARGE, "Cache-Control: no-cache")))[0].status == 404
        reply, was_fast = await seen.ask(request())
        assert (reply.status, was_fast) == (404, False)


async def test_a_better_coding_is_taken_up(tmp_path: Path) -> None:
    """Identity is what a client gets until its coding is ready, and not a moment longer."""
    async with watched(tmp_path) as seen:
        raw = request(LARGE, "Accept-Encoding: gzip")
        await seen.warm(request())
        with patch.object(seen.running.parts.fetching.encoder, "_make"):
            for _ in range(2):
                reply, was_fast = await seen.ask(raw)
                assert reply.header("Content-Encoding") is None
            assert was_fast
        await seen.ordinary(raw)
        await seen.settled()
        for _ in range(2):
            reply, was_fast = await seen.ask(raw)
            assert reply.header("Content-Encoding") == "gzip"
            assert reply.exact == (await seen.ordinary(raw)).exact
        assert was_fast


async def test_an_entry_without_the_coding(tmp_path: Path) -> None:
    """The form that a client waited for may be lost to memory while the entry comes back from the disk's line without it."""
    async with watched(tmp_path) as seen:
        raw = request(SMALL, "Accept-Encoding: gzip, identity;q=0")
        await seen.ask(request(SMALL))
        plain = seen.entry
        first, _ = await seen.ask(raw)
        store, [(namespace, target)] = seen.running.parts.store, seen.running.parts.store.memory._held
        store.memory.put(namespace, target, plain)
        second, _ = await seen.ask(raw)
        assert second.told == first.told


async def test_another_organization_sees_nothing(tmp_path: Path) -> None:
    """With a key of another organization nothing of the first one's is served; with a rotated key of the same one it is."""
    async with watched(tmp_path, key=key_file(tmp_path, KEY)) as seen:
        had = await seen.warm(request())
        key_file(tmp_path, "mlpi_standin_other")
        seen.running.clock.advance(LONGEST_S)
        for _ in range(3):
            assert (await seen.ask(request()))[0].body == b'{"metrics":[]}'
            await seen.settled()
        assert (await seen.ask(request()))[1]
        key_file(tmp_path, "mlps_standin_rotated")
        seen.running.clock.advance(LONGEST_S)
        await seen.ask(request(SMALL))
        await seen.settled()
        reply = await seen.warm(request())
        assert (reply.body, reply.told) == (had.body, (await seen.ordinary(request())).told)
        assert seen.running.metrics_calls == 3


async def test_what_memory_lets_go_of_is_gone(tmp_path: Path) -> None:
    """Evicted, an entry is found on disk again; neither what is remembered nor an idle connection holds on to it."""
    async with watched(tmp_path) as seen:
        had = await seen.warm(request())
        await seen.running.flushed()
        await seen.warm(request())
        entry = weakref.ref(seen.entry)
        body = seen.entry.body
        await seen.running.parts.store.memory.aclose()
        gc.collect()
        assert entry() is None
        assert not [holder for holder in gc.get_referrers(body) if isinstance(holder, web.StreamResponse)]
        reply, was_fast = await seen.ask(request())
        assert not was_fast
        assert reply.told == had.told
        assert (await seen.warm(request())).told == had.told
        assert seen.running.metrics_calls == 1


async def test_hardly_any_memory(tmp_path: Path) -> None:
    """Entries that throw each other out all the time are answered right, each from wherever it is."""
    async with watched(tmp_path, cache__memory_bytes=240_000) as seen:
        questions = [request(f"{LARGE}&limit=100&stepMin={number}") for number in range(32)]
        bodies = [(await seen.ordinary(raw)).body for raw in questions]
        for raw, body in list(zip(questions, bodies, strict=True)) * 4:
            replies = [await seen.ask(raw) for _ in range(3)]
            assert [reply.body for reply, _ in replies] == [body] * 3
        assert seen.fast
        assert seen.running.parts.store.memory.evictions


async def test_room_for_a_file_is_not_made_of_its_own_lease(tmp_path: Path) -> None:
    """An answer whose body is put into a file while there is no room left is whole, though its lease was the least used."""
    async with watched(tmp_path) as seen:
        memory, leases = seen.running.parts.store.memory, seen.running.parts.web.leases
        expected = await seen.warm(request(LARGE))
        assert len(expected.body) > FILED_BYTES
        await seen.warm(request(LARGE))
        [key] = memory._held
        leases._table.end(key)
        # Others use the next lease of the same text often.
        other = request(LARGE, "User-Agent: other")
        for _ in range(12):
            await seen.warm(other)
        leases._table.most_bytes = 8 * len(expected.body)
        number = 0
        while leases.size_bytes + len(expected.body) <= leases._table.most_bytes:
            number += 1
            await seen.ask(request(LARGE, f'If-None-Match: "{number}"'))
        reply, _ = await seen.ask(request(LARGE))
        assert reply.told == expected.told
        assert leases.size_bytes <= leases._table.most_bytes


async def test_what_is_remembered_is_bounded(tmp_path: Path) -> None:
    """However much a client writes into its fields, it is answered, and its text is not kept."""
    async with watched(tmp_path, cache__memory_bytes=2**23) as seen:
        filler = [f'If-None-Match: "{number}{"x" * 7_000}"' for number in range(4)]
        for raw in (request(LARGE, *filler), request(LARGE, filler[0]), request(f"{LARGE}&_={'1' * 5_000}")):
            for _ in range(3):
                reply, was_fast = await seen.ask(raw)
                assert (reply.status, was_fast) == (200, False)
        assert not seen.running.parts.web.leases.count
        for number in range(5_000):
            await seen.ask(request(LARGE, f'If-None-Match: "{number}"'))
        leases = seen.running.parts.web.leases
        assert 50 < leases.count < 5_000
        assert len(repr(list(leases._table.leases))) < leases.size_bytes <= 2**20
