"""Deltas that several wait for, that others overtake, or during which the key changes: each gets what was asked for, once."""

import asyncio
import math
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch
from urllib.parse import parse_qsl

import pytest

from proxy.config import KeySource
from proxy.core.budget import Priority
from proxy.core.series.metrics_query import MetricsQuery
from proxy.service.fetching.need import Need
from proxy.service.series.deltas import _Update
from proxy.service.series.run_sizes import RunSizes
from proxy.service.series.wanted import WantedSeries
from tests.support.live_runs import PANEL, PROMPT, WIDE, begin, later, live, settle, since
from tests.support.oracle import permitted
from tests.support.oracle_upstream import HeldUpstream, OracleUpstream, asked_of, proxied, right, target
from tests.support.world import ManualClock, World, until

pytestmark = pytest.mark.usefixtures("on_time")


async def test_requests_of_a_run_join(tmp_path: Path) -> None:
    """However many panels of a run ask at the same time, one call serves them all."""
    async with live(tmp_path) as (running, upstream):
        names = ("a", "b", "c")
        begin(upstream, *names)
        raws = [f"logName={name}&limit={limit}" for name in names for limit in range(2, 7)] + ["limit=3", "stepMin=99"]
        for raw in raws:
            await right(running, upstream, raw)
        running.advance(6)
        for name in names:
            upstream.log(name, [100])
        upstream.asked.clear()
        replies = await asyncio.gather(*(right(running, upstream, raw) for raw in raws))
        assert upstream.asked == [since(50, None)]
        assert all(reply.headers["Age"] == "0" for reply in replies)
        assert sum("collapsed" in reply.cache_status for reply in replies) == len(raws) - 1


async def test_who_joins_too_late(tmp_path: Path) -> None:
    """A series that nobody watched when the call was planned is brought by another one, not by what didn't ask for it."""
    upstream = HeldUpstream(clock=ManualClock(), holds=lambda path: path == since(50, "a"))
    async with upstream.serve() as url, proxied(tmp_path, upstream, url, **PROMPT, series__call_cost_rows=5) as running:
        begin(upstream, *"abcd")
        for raw in ("logName=a", "logName=b"):
            await right(running, upstream, raw)
        running.advance(61)
        upstream.log("a", [100])
        upstream.log("b", [100])
        upstream.asked.clear()
        first = asyncio.create_task(right(running, upstream, "logName=a"))
        await until(upstream.arrived)
        second = asyncio.create_task(right(running, upstream, "logName=b"))
        await asyncio.sleep(0.05)
        upstream.gate.set()
        assert [reply.headers["Age"] for reply in await asyncio.gather(first, second)] == ["0", "0"]
        # The second call is for whatever is watched by then.
        assert upstream.asked[0] == since(50, "a")
        assert since(50, "b") in upstream.asked


async def test_who_joins_may_be_in_a_hurry(tmp_path: Path) -> None:
    """A refresh that stands in the line goes first as soon as somebody joins it with nothing in hand."""
    upstream = HeldUpstream(clock=ManualClock(), holds=lambda path: "runId=2" in path)
    settings = {"freshness__stale_if_error_s": 0, "upstream__max_concurrency": 1}
    async with upstream.serve() as url, proxied(tmp_path, upstream, url, **settings) as running:
        begin(upstream)
        await right(running, upstream, "logName=loss&limit=10")
        running.advance(6)
        await running.get(target("logName=loss&limit=10"))  # learns that the run is running
        await running.settled()
        upstream.asked.clear()
        blocker = asyncio.create_task(running.get(target("limit=1").replace("runId=1", "runId=2")))
        await until(upstream.arrived)
        running.advance(6)
        assert "stale" in (await running.get(target("logName=loss&limit=10"))).cache_status
        line = running.parts.turnstile.budget.line
        await _waiting(lambda: line.waiting(Priority.REFRESH) == 1)
        running.advance(6)
        urgent = asyncio.create_task(right(running, upstream, "logName=loss&limit=10"))
        await _waiting(lambda: line.waiting(Priority.PERSON) == 1)
        assert line.waiting(Priority.REFRESH) == 0
        upstream.gate.set()
        await asyncio.gather(blocker, urgent)
        assert [path for path in upstream.asked if "runId=1" in path] == [since(50)]


async def _waiting(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 -- no event tells it
            await asyncio.sleep(0)


async def test_a_newer_answer_is_waited_for(tmp_path: Path) -> None:
    """Who demands what a call under way may have missed gets the next one; an answer overtaken by it changes nothing."""
    upstream = HeldUpstream(clock=ManualClock(), holds=lambda path: "stepMin" in path)
    settings = {**PROMPT, "freshness__client_floor_s": 1}
    async with upstream.serve() as url, proxied(tmp_path, upstream, url, **settings) as running:
        begin(upstream)
        await right(running, upstream, "logName=loss&limit=10")
        running.advance(6)
        upstream.asked.clear()
        first = asyncio.create_task(running.get(target("logName=loss&limit=10")))
        await until(upstream.arrived)
        running.advance(3)
        second = asyncio.create_task(running.get(target("logName=loss&limit=10"), Cache_Control="max-age=1"))
        await asyncio.sleep(0.05)
        upstream.log("loss", [100])
        upstream.gate.set()
        replies = await asyncio.gather(first, second)
        assert [reply.headers["Age"] for reply in replies] == ["3", "0"]
        assert upstream.asked == [since(50), since(50)]
        await right(running, upstream, "logName=loss&limit=11")


async def test_the_key_changes_during_a_delta(tmp_path: Path) -> None:
    """What another organization's key brings says nothing about what this one's had."""
    path = tmp_path / "key"
    path.write_text("mlpi_A")
    upstream = HeldUpstream(clock=ManualClock(), holds=lambda path: "runId=2" in path)
    settings = {**PROMPT, "key": KeySource(path=path), "upstream__max_concurrency": 1}
    async with upstream.serve() as url, proxied(tmp_path, upstream, url, **settings) as running:
        begin(upstream)
        await right(running, upstream, "logName=loss&limit=10")
        running.advance(6)
        await right(running, upstream, "logName=loss&limit=10")
        blocker = asyncio.create_task(running.get(target("limit=1").replace("runId=1", "runId=2")))
        await until(upstream.arrived)
        running.advance(6)
        upstream.log("loss", [100])
        delta = asyncio.create_task(running.get(target("logName=loss&limit=10")))
        line = running.parts.turnstile.budget.line
        await _waiting(lambda: bool(line.waiting(Priority.REFRESH)))
        path.write_text("mlpi_now_B")
        upstream.asked.clear()
        upstream.gate.set()
        await asyncio.gather(blocker, delta)
        path.write_text("mlpi_A")
        assert (await right(running, upstream, "logName=loss&limit=10")).headers["Age"] == "0"
        assert (await later(running, upstream))[0] in {since(50), since(100)}


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
        learning = RunSizes.learn

        async def slowly(self: RunSizes, asked: WantedSeries) -> None:
            if asked.in_full:
                running.advance(1)
                await running.get(target(other))
            await learning(self, asked)

        monkeypatch.setattr(RunSizes, "learn", slowly)
        upstream.asked.clear()
        await right_now(running, upstream, PANEL)
        assert upstream.asked == [since(50), WIDE]


async def right_now(running: World, upstream: OracleUpstream, raw: str) -> None:
    """Demand an answer that is made now, and see to it that it is what the upstream says."""
    reply = await running.get(target(raw), Cache_Control="no-cache")
    assert reply.body in list(permitted(upstream.rows.values(), asked_of(dict(parse_qsl(raw)))))


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
        deltas, tenant = running.parts.series.deltas, running.parts.tenancy.current()
        asked = MetricsQuery(run="1", project="p", name="loss", group=None, limit=10, first=0, last=None)
        need = Need(not_before_s=-math.inf, persist=True, landings=0)
        call = _Update(tenant=tenant, run=asked.whole_run, need=need, started_s=0)

        async def nothing(_: _Update) -> bool:
            return True

        question = WantedSeries(
            tenant=tenant,
            query=asked.query,
            need=need,
            in_full=False,
            extra_wait_s=1,
            metrics=asked,
            known=running.parts.shelves.known(tenant, asked),
        )
        with patch.object(deltas._flights, "_carry_out", nothing):
            deltas._flights.start((tenant.fingerprint, "1", "p"), call, now_s=upstream.clock.now_s())
            asking = asyncio.create_task(deltas.update(question, question.known))
            await asyncio.sleep(0)
        assert await asking is not None


async def test_who_joins_in_time(tmp_path: Path) -> None:
    """What comes tells of a series that is kept by itself, too, though nobody watched that when the call was planned."""
    upstream = HeldUpstream(clock=ManualClock(), holds=lambda path: "stepMin" in path)
    names = [f"m{number}" for number in range(8)]
    # The whole run is too large to be asked for at once, what is new of it isn't.
    settings = {**PROMPT, "series__max_fetch_bytes": 9_000}
    async with upstream.serve() as url, proxied(tmp_path, upstream, url, **settings) as running:
        for name in names:
            settle(upstream, name, range(40))
        for name in names:
            await right(running, upstream, f"logName={name}")
        running.advance(61)
        for name in names:
            upstream.log(name, [40])
        upstream.asked.clear()
        first = [asyncio.create_task(right(running, upstream, f"logName={name}")) for name in names[:-1]]
        await until(upstream.arrived)
        received = running.parts.web.intake.requests
        joins = asyncio.create_task(right(running, upstream, f"logName={names[-1]}"))
        await running.arrived(received + 1)
        await asyncio.sleep(0.05)
        upstream.gate.set()
        replies = await asyncio.gather(*first, joins)
        assert {reply.headers["Age"] for reply in replies} == {"0"}
        assert sum("stepMin" in path for path in upstream.asked) == 1
