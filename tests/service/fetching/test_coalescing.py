"""One call serves all who ask the same at once, and the failure or leaving of one client harms no other."""

import asyncio
from pathlib import Path
from unittest.mock import patch

import pytest

from proxy.core.freshness.entry import Entry, digest_of
from proxy.core.series.metrics_query import MetricsQuery
from proxy.service.fetching.need import Fetched, Need
from proxy.standin import Fault, FaultKind
from tests.support.live_runs import live
from tests.support.world import METRICS, QUESTION, Reply, World, world

HERD = 500


async def herd(running: World, count: int, target: str = QUESTION) -> list["asyncio.Task[Reply]"]:
    return [asyncio.create_task(running.get(target)) for _ in range(count)]


async def test_a_herd_makes_one_call_and_the_first_may_leave(tmp_path: Path) -> None:
    """500 identical cold requests, the first disconnecting: one upstream call, 499 equal answers."""
    gate = asyncio.Event()
    async with world(tmp_path) as running:
        running.standin.faults.add(Fault(kind=FaultKind.HOLD, times=None, gate=gate))
        first = asyncio.create_task(running.get())
        await running.standin.counters.reached(lambda seen: seen.by_path[METRICS] == 1)
        rest = await herd(running, HERD - 1)
        first.cancel()
        await asyncio.wait([first])
        gate.set()
        replies = await asyncio.gather(*rest)
        assert running.metrics_calls == 1
        assert {reply.status for reply in replies} == {200}
        assert len({reply.body for reply in replies}) == 1
        assert sum("collapsed" in reply.cache_status for reply in replies) + sum(reply.is_hit for reply in replies) >= HERD - 1


async def test_ten_questions_make_ten_calls_at_once(tmp_path: Path) -> None:
    """Different questions don't wait for each other."""
    gate = asyncio.Event()
    async with world(tmp_path) as running:
        running.standin.faults.add(Fault(kind=FaultKind.HOLD, times=None, gate=gate))
        asking = [asyncio.create_task(running.get(f"{QUESTION}&stepMin={number}")) for number in range(1, 11)]
        await running.standin.counters.reached(lambda seen: seen.by_path[METRICS] == 10)
        gate.set()
        assert {reply.status for reply in await asyncio.gather(*asking)} == {200}
        assert running.metrics_calls == 10
        assert running.standin.counters.max_concurrent >= 10


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (Fault(kind=FaultKind.STATUS, status=500), 502),
        (Fault(kind=FaultKind.STATUS, status=429, retry_after_s=7), 503),
        (Fault(kind=FaultKind.NOT_JSON), 502),
    ],
)
async def test_an_error_reaches_all_waiters_once(tmp_path: Path, fault: Fault, status: int) -> None:
    """All who wait get the error of the one call; it is remembered for `negative_s`, or as long as the upstream asked for."""
    gate = asyncio.Event()
    async with world(tmp_path, freshness__negative_s=5, upstream__deadline_s=2) as running:
        running.standin.faults.add(Fault(kind=FaultKind.HOLD, times=None, gate=gate))
        running.standin.faults.add(fault)
        first = asyncio.create_task(running.get())
        await running.standin.counters.reached(lambda seen: seen.by_path[METRICS] == 1)
        rest = await herd(running, 20)
        gate.set()
        replies = [await first, *await asyncio.gather(*rest)]
        assert {reply.status for reply in replies} == {status}
        running.clock.advance(4.9)
        assert (await running.get()).status == status
        assert running.metrics_calls == 1
        running.clock.advance(3)
        assert (await running.get()).status == 200
        assert running.metrics_calls == 2


async def test_everyone_leaving_leaves_an_entry_behind(tmp_path: Path) -> None:
    """The call that was begun is finished, and serves whoever comes next."""
    gate = asyncio.Event()
    async with world(tmp_path) as running:
        running.standin.faults.add(Fault(kind=FaultKind.HOLD, times=None, gate=gate))
        asking = asyncio.create_task(running.get())
        await running.standin.counters.reached(lambda seen: seen.by_path[METRICS] == 1)
        asking.cancel()
        await asyncio.wait([asking])
        gate.set()
        assert (await running.get()).status == 200
        assert running.metrics_calls == 1


async def test_who_joins_a_call_in_the_moment_of_its_landing_is_not_caught_in_it(tmp_path: Path) -> None:
    """As above, where somebody else's call served an entry that is too old for this caller."""
    async with live(tmp_path) as (running, _):
        fetcher, tenant, now_s = running.parts.fetching.fetcher, running.parts.tenancy.current(), running.clock.now_s()
        query = MetricsQuery(run="1", project="p", name="loss", group=None, limit=10, first=0, last=None).query
        need = Need(not_before_s=now_s, persist=True, landings=0)
        entry = Entry(body=b"", sent_at_s=now_s - 1, digest=digest_of(b""))
        brought = [Fetched(tenant=tenant, entry=entry, stored=True, called=called) for called in (False, True)]

        async def carry_out(_: object) -> Fetched:
            return brought.pop(0)

        with patch.object(fetcher._flights, "_carry_out", carry_out):
            fetcher.refresh(tenant, query, need)
            fetched, joined = await asyncio.create_task(fetcher.fetch(tenant, query, need))
        assert (fetched.called, joined) == (True, False)
