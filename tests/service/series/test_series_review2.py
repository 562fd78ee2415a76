"""What a second review of the series engine tried to break: slow upstreams, outages that pass, races, ages not told."""

import asyncio
import math
from pathlib import Path
from unittest.mock import patch
from urllib.parse import parse_qsl

import pytest
from structlog.testing import capture_logs

from proxy.core.freshness.entry import Entry, digest_of
from proxy.core.freshness.purge import Purge
from proxy.core.series import metrics_query
from proxy.core.series.metrics_query import MetricsQuery
from proxy.service.fetching.need import Fetched, Need
from proxy.service.series.deltas import Deltas, _Refresh
from proxy.service.series.widening import Asked, Widening
from tests.support.live_runs import WIDE, begin, live, settle, since
from tests.support.oracle import permitted
from tests.support.oracle_upstream import HeldUpstream, OracleUpstream, asked_of, proxied, right, row, series_world, target
from tests.support.world import ManualClock, World, until

PANEL = "logName=loss&limit=10"


async def test_a_wide_answer_that_is_slow_is_taken_apart_all_the_same(tmp_path: Path) -> None:
    """Whoever gets a stale copy since asking wide takes too long gets what that brought the next time, however late that is."""
    upstream = HeldUpstream(clock=ManualClock(), holds=lambda path: path == WIDE)
    upstream.gate.set()
    settings = {"freshness__stale_wait_s": 0.1, "freshness__stale_while_revalidate_s": 0}
    async with upstream.serve() as url, proxied(tmp_path, upstream, url, **settings) as running:
        begin(upstream)
        await right(running, upstream, PANEL)
        running.advance(600)
        ages: list[str] = []
        for step in (100, 101, 102):
            upstream.log("loss", [step])
            upstream.gate.clear()
            slow = await running.get(target(PANEL))
            ages.append(slow.headers["Age"])
            upstream.gate.set()
            await running.settled()
            running.advance(310)
        assert ages == ["600", "310", "310"]


async def test_an_outage_that_passes(tmp_path: Path) -> None:
    """That asking wide failed says little: a while after the outage one call serves all panels again."""
    async with live(tmp_path) as (running, upstream):
        begin(upstream)
        await right(running, upstream, PANEL)
        running.advance(600)
        upstream.metrics_failing = True
        await running.get(target(PANEL))
        upstream.metrics_failing = False
        running.advance(301)
        upstream.asked.clear()
        for limit in range(10, 20):
            await right(running, upstream, f"logName=loss&limit={limit}")
        assert upstream.metrics_calls == 1


@pytest.mark.parametrize("other", [PANEL, "logName=loss&limit=10000"])
async def test_all_of_it_is_demanded_while_a_delta_lands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: str) -> None:
    """Who demands all of it gets that, though somebody else's delta began after the request: that is not all of it."""
    async with live(tmp_path, freshness__client_floor_s=0) as (running, upstream):
        begin(upstream)
        for raw in (PANEL, "logName=loss&limit=10000"):
            await right(running, upstream, raw)
        running.advance(6)
        await right(running, upstream, PANEL)
        running.advance(6)
        upstream.log("loss", [3, 100], value=7)
        learning = Widening.learn_size

        async def slowly(self: Widening, asked: Asked, metrics: MetricsQuery) -> None:
            if asked.whole:
                running.advance(1)
                await running.get(target(other))
            await learning(self, asked, metrics)

        monkeypatch.setattr(Widening, "learn_size", slowly)
        upstream.asked.clear()
        await right_now(running, upstream, PANEL)
        assert upstream.asked == [since(50), WIDE]


async def right_now(running: World, upstream: OracleUpstream, raw: str) -> None:
    """Demand an answer that is made now, and see to it that it is what the upstream says."""
    reply = await running.get(target(raw), Cache_Control="no-cache")
    assert reply.body in list(permitted(upstream.rows.values(), asked_of(dict(parse_qsl(raw)))))


async def test_what_was_asked_for_before_a_run_settled(tmp_path: Path) -> None:
    """It lives as a running run's, however long settled runs' answers do: the last rows came after it."""
    async with live(tmp_path, freshness__settling_s=60) as (running, upstream):
        begin(upstream)
        await right(running, upstream, PANEL)
        await right(running, upstream, "logName=loss&limit=9")
        running.advance(6)
        await right(running, upstream, PANEL)
        upstream.change_status("COMPLETED")
        running.advance(30)
        await right(running, upstream, PANEL)
        upstream.log("loss", range(100, 110))
        running.advance(35)
        assert (await right(running, upstream, PANEL)).headers["Age"] == "0"
        running.advance(70)  # the late rows have settled as well
        assert (await right(running, upstream, PANEL)).headers["Age"] == "0"
        running.advance(29)
        assert (await right(running, upstream, PANEL)).headers["Age"] == "29"


async def test_the_time_to_live_of_an_old_rest(tmp_path: Path) -> None:
    """It counts to the moment at which either age makes the answer stale, and is negative from then on."""
    settings = {"series__rewrite_check_s": 10, "freshness__stale_while_revalidate_s": 5}
    async with live(tmp_path, **settings) as (running, upstream):
        begin(upstream)
        await right(running, upstream, PANEL)
        running.advance(8)
        await right(running, upstream, PANEL)
        await running.settled()
        assert "hit; ttl=2" in (await right(running, upstream, PANEL)).cache_status
        assert "hit; ttl=2" in (await right(running, upstream, PANEL)).cache_status
        running.advance(3)
        assert "ttl=-1" in (await right(running, upstream, PANEL)).cache_status
        await running.settled()


async def test_questions_about_a_long_series_are_not_hoarded(tmp_path: Path) -> None:
    """A panel whose window moves on with every poll is a new question each time: only the last minute's count, and few."""
    with patch.object(metrics_query, "MAX_LIMIT", 20):
        async with live(tmp_path, series__max_fetch_rows=30) as (running, upstream):
            upstream.log("loss", range(400))
            for first in range(100, 140):
                await right(running, upstream, f"logName=loss&limit=5&stepMin={first}")
                running.advance(6)
            (questions,) = running.parts.assembler._asked.values()
            assert len(questions) <= 11


async def test_an_empty_window_of_a_long_series(tmp_path: Path) -> None:
    """Whoever waits for rows beyond the end of a series that is too long to be complete costs a call a time, and no rows."""
    with patch.object(metrics_query, "MAX_LIMIT", 20):
        async with live(tmp_path, series__max_fetch_rows=60) as (running, upstream):
            upstream.log("loss", range(400))
            for _ in range(10):
                await right(running, upstream, "logName=loss&limit=5&stepMin=500&stepMax=600")
                running.advance(61)
            assert upstream.asked.count(WIDE.replace("10000", "20")) <= 1
            assert upstream.metrics_calls <= 11


async def test_a_name_that_gets_a_second_group(tmp_path: Path) -> None:
    """Whoever looks at that group alone sees its new rows, though the call for them was not made for this name."""
    async with live(tmp_path, series__call_cost_rows=5) as (running, upstream):
        begin(upstream, "a", group="g")
        settle(upstream, "b", range(10))
        for raw in ("logName=a", "logName=b", "logGroup=g"):
            await right(running, upstream, raw)
        running.advance(61)
        for _ in range(2):
            await right(running, upstream, "logGroup=g&limit=2000")
            running.advance(6)
        upstream.log("b", range(100, 120), group="g")
        upstream.log("a", range(100, 120), group="g")
        await right(running, upstream, "logGroup=g&limit=2000")


@pytest.mark.parametrize("purged", [None, "2"])
async def test_what_was_found_out_while_the_rule_was_broken_is_forgotten_on_disk_too(
    tmp_path: Path, purged: str | None
) -> None:
    """A restart doesn't bring back what was computed with before, nor does the purge of another run."""
    upstream = OracleUpstream(clock=ManualClock())
    async with upstream.serve() as url:
        async with proxied(tmp_path, upstream, url) as running:
            begin(upstream)
            await right(running, upstream, PANEL)
            await running.flushed()
            running.advance(1)
            running.parts.series.checks._judge(False, check="canary")
            if purged is not None:
                running.advance(1)
                await running.parts.purging.purge(Purge(at_s=upstream.clock.now_s(), run=purged))
        upstream.asked.clear()
        async with proxied(tmp_path, upstream, url) as running:
            running.advance(1)
            await right(running, upstream, "logName=loss&limit=9")
            assert upstream.asked == [WIDE]
            await running.flushed()
        async with proxied(tmp_path, upstream, url) as running:
            assert (await right(running, upstream, "logName=loss&limit=8")).is_hit


async def test_what_must_not_be_stored_moves_to_its_organization_unstored(tmp_path: Path) -> None:
    """That a key's organization becomes known is no reason to write what only requests with no-store brought."""
    async with live(tmp_path) as (running, upstream):
        begin(upstream)
        await running.get(target(PANEL), Cache_Control="no-store")
        tenant = running.parts.tenancy.current()
        old, tenant.namespace = tenant.namespace, "elsewhere"
        running.parts.series.shelves._rename(old, "elsewhere")
        await running.flushed()
        assert running.parts.store.disk.sizes.entries == 0
        running.advance(6)
        upstream.asked.clear()
        await right(running, upstream, PANEL)
        assert upstream.asked[-1:] == [since(50)]


async def test_an_older_look_at_all_of_it_hides_no_newer_rows(tmp_path: Path) -> None:
    """A wide answer that was long on its way doesn't take back what a delta has brought meanwhile."""
    upstream = HeldUpstream(clock=ManualClock())
    settings = {"freshness__stale_wait_s": 30, "freshness__stale_while_revalidate_s": 0, "freshness__client_floor_s": 0}
    async with upstream.serve() as url, proxied(tmp_path, upstream, url, **settings) as running:
        begin(upstream)
        await right(running, upstream, PANEL)
        running.advance(6)
        await right(running, upstream, PANEL)
        running.advance(6)
        old = upstream.answer({"projectName": "p", "logName": "loss", "limit": "10000"})
        upstream.holds = lambda path: path == WIDE
        upstream.instead = lambda query: old if "stepMin" not in query else upstream.answer(query)
        slow = asyncio.create_task(running.get(target(PANEL), Cache_Control="no-cache"))
        await until(upstream.arrived)
        running.advance(1)
        upstream.log("loss", [100, 101])
        await right(running, upstream, "logName=loss&limit=9")
        upstream.gate.set()
        await slow
        upstream.instead = None
        await right(running, upstream, "logName=loss&limit=8")


async def test_who_joins_a_flight_in_the_moment_of_its_landing_is_not_caught_in_it(tmp_path: Path) -> None:
    """Its call has ended, but it is still there: who finds that it brought too little lets it go before looking again."""
    async with live(tmp_path) as (running, upstream):
        begin(upstream)
        await right(running, upstream, PANEL)
        running.advance(6)
        await right(running, upstream, PANEL)
        running.advance(6)
        deltas, tenant = running.parts.deltas, running.parts.tenancy.current()
        asked = MetricsQuery(run="1", project="p", name="loss", group=None, limit=10, first=0, last=None)
        need = Need(not_before_s=-math.inf, persist=True, landings=0)
        call = _Refresh(deltas=deltas, tenant=tenant, run=asked.whole, need=need, started_s=0)

        async def nothing(_: _Refresh) -> bool:
            return True

        with patch.object(deltas, "carry_out", nothing):
            deltas._flights.start((tenant.fingerprint, "1", "p"), call, now_s=upstream.clock.now_s())
            asking = asyncio.create_task(deltas.refreshed(tenant, asked, need))
            await asyncio.sleep(0)
        assert await asking is not None


async def test_who_joins_a_call_in_the_moment_of_its_landing_is_not_caught_in_it(tmp_path: Path) -> None:
    """As above, where somebody else's call served an entry that is too old for this caller."""
    async with live(tmp_path) as (running, _):
        fetcher, tenant, now_s = running.parts.fetcher, running.parts.tenancy.current(), running.clock.now_s()
        query = MetricsQuery(run="1", project="p", name="loss", group=None, limit=10, first=0, last=None).query
        need = Need(not_before_s=now_s, persist=True, landings=0)
        entry = Entry(body=b"", sent_at_s=now_s - 1, digest=digest_of(b""))
        brought = [Fetched(tenant=tenant, entry=entry, stored=True, asked=asked) for asked in (False, True)]

        async def carry_out(_: object) -> Fetched:
            return brought.pop(0)

        with patch.object(fetcher, "carry_out", carry_out):
            fetcher.refresh(tenant, query, need)
            fetched, joined = await asyncio.create_task(fetcher.fetch(tenant, query, need))
        assert (fetched.asked, joined) == (True, False)


async def test_what_crashes_with_nobody_waiting_is_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault in a refresh that nobody waits for leaves a line, and the next one is tried."""
    async with series_world(tmp_path) as (running, upstream):
        upstream.put(row("loss", step) for step in range(50))
        await right(running, upstream, "logName=loss&limit=10")
        running.advance(6)
        with capture_logs() as logs, monkeypatch.context() as broken:
            broken.setattr(Deltas, "refreshed", lambda *_: 1 / 0)
            await right(running, upstream, "logName=loss&limit=10")
            await running.settled()
        assert [line["event"] for line in logs if line["log_level"] == "error"] == ["refresh.crashed"]
        assert (await right(running, upstream, "logName=loss&limit=10")).headers["Age"] == "6"
        await running.settled()
        assert (await right(running, upstream, "logName=loss&limit=10")).headers["Age"] == "0"
