"""Live runs: the upstream is asked for what is new alone, once for all who watch, and what doesn't fit is fetched whole."""

import asyncio
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import parse_qsl

import pytest
from aiohttp import web

from proxy.config import KeySource
from proxy.core.budget import Priority
from proxy.core.series import metrics_query
from proxy.service.series import watched
from tests.support.live_runs import PROMPT, WHOLE, WIDE, begin, later, live, settle, since
from tests.support.oracle import permitted
from tests.support.oracle_upstream import REFUSAL, HeldUpstream, OracleUpstream, asked_of, proxied, right, target
from tests.support.world import ManualClock, World, until


@pytest.fixture(autouse=True)
def on_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what is due at some time between two be due at the later one."""
    monkeypatch.setattr(watched, "_EARLIEST", 1.0)
    monkeypatch.setattr(watched, "_LATEST", 1.0)


# What is asked.


async def test_a_live_series_costs_its_new_rows(tmp_path: Path) -> None:
    """From the first row within the overlap on, then from the last row that is older; every panel is made of it."""
    async with live(tmp_path) as (running, upstream):
        begin(upstream)
        reply = await right(running, upstream, "logName=loss&limit=10")
        assert upstream.asked == [WIDE]
        assert await later(running, upstream, grow=lambda: upstream.log("loss", range(100, 103))) == [since(50)]
        for raw in ("logName=loss", "logName=loss&limit=7&stepMin=20", "logName=loss&stepMin=99&stepMax=101"):
            reply = await right(running, upstream, raw)
            assert reply.is_hit
        assert reply.headers["Age"] == "0"
        assert upstream.asked == [since(50)]


async def test_how_it_is_told(tmp_path: Path) -> None:
    """An answer that took a delta says so, and is fresh from the moment at which that was sent."""
    async with live(tmp_path) as (running, upstream):
        begin(upstream)
        await right(running, upstream, "logName=loss&limit=10")
        running.advance(6)
        reply = await right(running, upstream, "logName=loss&limit=10")
        assert reply.cache_status == 'pluto-proxy; fwd=stale; fwd-status=200; stored; ttl=5; detail="delta"'
        deltas = running.parts.deltas
        assert (deltas.calls, deltas.misfits) == (1, 0)


async def test_the_overlap_moves_on(tmp_path: Path) -> None:
    """What was first seen longer ago than the overlap isn't asked for again, but the last known row always is."""
    async with live(tmp_path) as (running, upstream):
        begin(upstream)
        await right(running, upstream, "logName=loss&limit=10")
        for first, asked_from in ((100, 50), (110, 50), (120, 50), (130, 100), (140, 110)):
            rows = partial(upstream.log, "loss", range(first, first + 10))
            assert await later(running, upstream, seconds=20, grow=rows) == [since(asked_from)]
        assert await later(running, upstream, seconds=61) == [since(120)]
        assert await later(running, upstream) == [since(149)]
        assert await later(running, upstream) == [since(149)]


async def test_one_call_refreshes_all_that_is_watched(tmp_path: Path) -> None:
    """Single series and the run as a whole: one call from the smallest step that matters brings all up to date."""
    async with live(tmp_path) as (running, upstream):
        begin(upstream, "a", "b/x", "b/y")
        settle(upstream, "slow", [5, 29, 30])
        raws = ("logName=a&limit=9", "logName=b/x&limit=8", "logName=slow", "limit=5")
        for raw in raws:
            await right(running, upstream, raw)

        def grow() -> None:
            for name in ("a", "b/x", "b/y"):
                upstream.log(name, range(100, 110))

        assert await later(running, upstream, *raws, grow=grow) == [since(30, None)]
        assert await later(running, upstream, *reversed(raws), grow=lambda: upstream.log("slow", [55])) == [since(30, None)]


async def test_a_slow_metric_beside_fast_ones(tmp_path: Path) -> None:
    """Where one call would bring more rows than another call costs, the slow metric is asked for alone."""
    async with live(tmp_path, series__call_cost_rows=50) as (running, upstream):
        begin(upstream, "a", "b", "c")
        settle(upstream, "val", [1, 9, 10])
        raws = ("logName=a", "logName=b", "logName=c", "logName=val")
        for raw in raws:
            await right(running, upstream, raw)

        def grow() -> None:
            upstream.log("a", [100, 101])
            upstream.log("val", [97, 98])

        running.advance(6)
        grow()
        upstream.asked.clear()
        await asyncio.gather(*(right(running, upstream, raw) for raw in raws))
        assert sorted(upstream.asked) == sorted([since(50, None), since(10, "val")])


async def test_few_series_are_asked_for_one_by_one(tmp_path: Path) -> None:
    """One series of a large run is refreshed by its own question; the rows of the others stay where they are."""
    async with live(tmp_path, series__call_cost_rows=5) as (running, upstream):
        begin(upstream, *"abcdefgh")
        for raw in ("logName=a", "logName=b"):
            await right(running, upstream, raw)
        assert upstream.asked[-1] == WHOLE
        running.advance(60)
        assert await later(running, upstream, "logName=a") == [since(50, "a")]


async def test_only_what_is_watched(tmp_path: Path) -> None:
    """A series at which nobody has looked for a minute costs nothing any more."""
    async with live(tmp_path, series__call_cost_rows=5) as (running, upstream):
        begin(upstream, *"abcd")
        for raw in ("logName=a", "logName=b"):
            await right(running, upstream, raw)
        assert sorted(await later(running, upstream, "logName=a")) == [since(50, "a"), since(50, "b")]
        for _ in range(10):
            asked = await later(running, upstream, "logName=a")
        assert asked == [since(99, "a")]


@pytest.mark.parametrize("rows", [[0, 3], [0, 3, 200]])
async def test_known_to_be_empty(tmp_path: Path, rows: list[int]) -> None:
    """A series without rows is looked at from step 0 by its own question: a delta of the others may begin behind its rows."""
    own = target("logName=none&limit=10000")
    async with live(tmp_path) as (running, upstream):
        begin(upstream, "a")
        raws = ("logName=a&limit=9", "logName=none&limit=9")
        for raw in raws:
            await right(running, upstream, raw)
        for _ in range(3):
            assert await later(running, upstream, *raws) == [since(50, None), own]
        asked = await later(running, upstream, *raws, grow=lambda: upstream.log("none", rows))
        assert asked[0] == since(50, None)
        assert len(asked) == 2
        assert max(rows) > 99 or asked[1] == own
        assert len(await later(running, upstream, *raws, grow=lambda: upstream.log("none", [300]))) == 1


async def test_known_to_be_empty_alone(tmp_path: Path) -> None:
    """Where it is all that anybody asks for, it costs one call a lifetime."""
    async with live(tmp_path) as (running, upstream):
        await right(running, upstream, "logName=loss&limit=9")
        for _ in range(3):
            assert await later(running, upstream) == [WIDE]
        assert await later(running, upstream, grow=lambda: settle(upstream, "loss", range(3))) == [WIDE]
        assert await later(running, upstream, grow=lambda: upstream.log("loss", [3])) == [since(2)]


# Who asks at the same time.


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
        line = running.parts.upstream.turnstile.budget.line
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


# Names.


async def test_a_name_first_seen_in_a_delta(tmp_path: Path) -> None:
    """It may have rows before those that were asked for: it is fetched whole before it counts as complete."""
    async with live(tmp_path) as (running, upstream):
        begin(upstream, "a", "b")
        raws = ("limit=10", "logName=a")
        for raw in raws:
            await right(running, upstream, raw)

        def grow() -> None:
            upstream.log("a", [100])
            settle(upstream, "\uffee", range(0, 300, 7))
            settle(upstream, "\U0001f600", range(0, 300, 5))

        asked = await later(running, upstream, *raws, grow=grow)
        assert asked[0] == since(50, None)
        names = ("logName=%EF%BF%AE&limit=10000", "logName=%F0%9F%98%80&limit=10000")
        assert sorted(asked[1:]) == sorted(map(target, names))
        # From now on they are like the others.
        assert await later(running, upstream, *raws, grow=lambda: upstream.log("\uffee", [400])) == [since(50, None)]


async def test_many_new_names(tmp_path: Path) -> None:
    """Where more than a few names came up new, all of the run is asked for instead of each of them."""
    async with live(tmp_path) as (running, upstream):
        begin(upstream, "a")
        await right(running, upstream, "limit=10")

        def grow() -> None:
            for number in range(9):
                upstream.log(f"m{number}", range(0, 120, 7))

        assert await later(running, upstream, "limit=10", grow=grow) == [since(50, None), WHOLE]


async def test_a_new_name_that_nobody_asked_for(tmp_path: Path) -> None:
    """Where single series are watched a new name is left alone; who asks for it later gets all of it."""
    async with live(tmp_path) as (running, upstream):
        begin(upstream, "a", "b")
        for raw in ("logName=a", "logName=b"):
            await right(running, upstream, raw)

        def grow() -> None:
            upstream.log("a", [100])
            upstream.log("new", range(0, 300, 7))

        assert await later(running, upstream, "logName=a", grow=grow) == [since(50, None)]
        await right(running, upstream, "logName=new")
        await right(running, upstream, "limit=7")


async def test_a_name_that_came_later_makes_the_others_no_younger(tmp_path: Path) -> None:
    """The whole look at all series is due when it is for the oldest of them."""
    async with live(tmp_path, series__rewrite_check_s=60) as (running, upstream):
        begin(upstream, "a", "b")
        await right(running, upstream, "limit=10")
        asked = await later(running, upstream, "limit=10", seconds=50, grow=lambda: settle(upstream, "new", [0, 3, 98]))
        assert asked == [since(50, None)] or WHOLE not in asked
        await later(running, upstream, "limit=10", grow=lambda: upstream.log("new", [100]))
        assert await later(running, upstream, "limit=10", seconds=5) == [WHOLE]


async def test_names_asked_for_one_by_one_tell_of_no_others(tmp_path: Path) -> None:
    """That all known series are up to date doesn't mean that there are no new ones."""
    async with live(tmp_path, series__call_cost_rows=5) as (running, upstream):
        begin(upstream, *"abcdefgh")
        raws = ("logName=a", "logName=b")
        for raw in raws:
            await right(running, upstream, raw)
        asked = await later(running, upstream, *raws, grow=lambda: settle(upstream, "new", [0, 3, 98]))
        assert sorted(asked) == [since(50, "a"), since(50, "b")]
        for name in "cdefgh":
            await right(running, upstream, f"logName={name}")
        await right(running, upstream, "limit=10")


# What doesn't fit.


def deleted(upstream: OracleUpstream) -> None:
    upstream.remove("loss", 60)


def deleted_last(upstream: OracleUpstream) -> None:
    upstream.remove("loss", 99)


def deleted_all(upstream: OracleUpstream) -> None:
    upstream.rows.clear()
    upstream.note()


def rewritten(upstream: OracleUpstream) -> None:
    upstream.log("loss", [60], value=7)


def other_step_form(upstream: OracleUpstream) -> None:
    upstream.log("loss", range(103), quoted=True)


def field_added(upstream: OracleUpstream) -> None:
    upstream.log("loss", range(103), unit="ms")


def new_field_in_new_rows(upstream: OracleUpstream) -> None:
    upstream.log("loss", [100, 101], unit="ms")


def tied(upstream: OracleUpstream) -> None:
    upstream.log("loss", [99], group="g")


@pytest.mark.parametrize(
    "change", [deleted, deleted_last, deleted_all, rewritten, other_step_form, field_added, new_field_in_new_rows, tied]
)
@pytest.mark.parametrize("others", [(), ("other",)])
async def test_what_does_not_fit(tmp_path: Path, change: Callable[[OracleUpstream], None], others: tuple[str, ...]) -> None:
    """A delta that contradicts what is known is not joined to it: the series is fetched whole before it answers again."""
    async with live(tmp_path) as (running, upstream):
        begin(upstream, "loss", *others)
        raws = ("logName=loss&limit=10", *(f"logName={name}" for name in others))
        for raw in raws:
            await right(running, upstream, raw)

        def grow() -> None:
            upstream.log("loss", range(100, 103))
            change(upstream)

        asked = await later(running, upstream, *raws, grow=grow)
        also = [target("logName=other&limit=10000")] if others and change is deleted_all else []
        itself = target("logName=loss&limit=10") if change in {tied, new_field_in_new_rows} else WIDE
        assert asked == [since(50, None if others else "loss"), itself, *also]
        for step in range(103, 106):
            await later(running, upstream, *raws, grow=partial(upstream.log, "loss", [step]))


async def test_changes_before_the_overlap(tmp_path: Path) -> None:
    """Rows that are deleted, rewritten or late behind the overlap are seen with the next look at all of it."""
    async with live(tmp_path, series__rewrite_check_s=60) as (running, upstream):
        begin(upstream)
        before = await right(running, upstream, "logName=loss&stepMax=20")
        upstream.remove("loss", 10)
        upstream.log("loss", [11], value=7)
        upstream.log("loss", [100])
        for _ in range(9):
            running.advance(6)
            reply = await running.get(target("logName=loss&stepMax=20"))
            assert reply.body == before.body
        assert await later(running, upstream, "logName=loss&stepMax=20") == [WIDE]


async def test_late_rows_within_the_overlap(tmp_path: Path) -> None:
    """Rows that come out of order within the last minute are seen with the next delta."""
    async with live(tmp_path) as (running, upstream):
        begin(upstream)
        for step in (70, 85):
            upstream.remove("loss", step)
        await right(running, upstream, "logName=loss&limit=10")
        assert await later(running, upstream, grow=lambda: upstream.log("loss", [70, 100])) == [since(50)]
        assert await later(running, upstream, seconds=40, grow=lambda: upstream.log("loss", [85])) == [since(50)]


async def test_too_many_new_rows(tmp_path: Path) -> None:
    """A delta of which half the limit can't prove itself complete is not joined; the panel is asked for as it came."""
    with patch.object(metrics_query, "MAX_LIMIT", 20):
        async with live(tmp_path) as (running, upstream):
            settle(upstream, "loss", range(10))
            await right(running, upstream, "logName=loss&limit=5")
            running.advance(6)
            upstream.log("loss", range(10, 40))
            upstream.asked.clear()
            for raw in ("logName=loss&limit=5", "logName=loss&limit=4"):
                assert (await right(running, upstream, raw)).headers["Age"] == "0"
            assert upstream.asked[0] == target("logName=loss&limit=20&stepMin=9")
            assert upstream.asked[-1] == target("logName=loss&limit=4")


async def test_a_series_grows_beyond_what_one_answer_proves(tmp_path: Path) -> None:
    """Of a series of which all was known once all stays known by deltas, however long it gets, until it is looked at whole."""
    with patch.object(metrics_query, "MAX_LIMIT", 20):
        async with live(tmp_path) as (running, upstream):
            settle(upstream, "loss", range(10))
            await right(running, upstream, "logName=loss&limit=5")
            for first in range(10, 26, 4):
                rows = partial(upstream.log, "loss", range(first, first + 4))
                asked = await later(running, upstream, seconds=61, grow=rows)
                assert len(asked) == 1
                assert asked[0].startswith(target("logName=loss&limit=20&stepMin="))


# Looks at all of it.


async def test_everything_is_looked_at_now_and_then(tmp_path: Path) -> None:
    """Every rewrite_check_s what is watched is fetched whole, and otherwise by deltas, one a lifetime."""
    async with live(tmp_path) as (running, upstream):
        begin(upstream)
        await right(running, upstream, "logName=loss&limit=10")
        upstream.log("loss", [3], value=7)
        asked: list[str] = []
        for step in range(100, 150):
            running.advance(6)
            upstream.log("loss", [step])
            reply = await running.get(target("logName=loss&limit=10"))
            assert reply.headers["Age"] == "0"
        asked = upstream.asked[1:]
        assert len(asked) == 50
        assert [number for number, path in enumerate(asked) if path == WIDE] == [49]
        await right(running, upstream, "logName=loss&limit=10")


async def test_a_fresh_tail_hides_no_old_rest(tmp_path: Path) -> None:
    """What is fresh at its end, but was looked at as a whole longer ago than rewrite_check_s, is stale."""
    async with live(tmp_path, series__rewrite_check_s=60) as (running, upstream):
        begin(upstream)
        await right(running, upstream, "logName=loss&limit=10")
        assert await later(running, upstream, seconds=59) == [since(50)]
        upstream.log("loss", [3], value=7)
        assert (await running.get(target("logName=loss&limit=10"))).is_hit
        assert await later(running, upstream, seconds=1) == [WIDE]
        assert await later(running, upstream, seconds=4) == []


async def test_all_of_a_run_is_looked_at_now_and_then(tmp_path: Path) -> None:
    """One call does for all series that are watched, all of the time."""
    async with live(tmp_path, series__rewrite_check_s=30) as (running, upstream):
        begin(upstream, "a", "b")
        raws = ("logName=a", "logName=b&limit=10", "limit=7")
        for raw in raws:
            await right(running, upstream, raw)
        for _ in range(2):
            upstream.log("a", [3], value=len(upstream.asked))
            upstream.asked.clear()
            for _ in range(4):
                running.advance(6)
                for raw in raws:
                    await running.get(target(raw))
            assert WHOLE not in upstream.asked
            assert await later(running, upstream, *raws) == [WHOLE]


@pytest.mark.parametrize("raw", ["logName=loss&limit=10", "logName=loss", "logName=loss&stepMin=60"])
async def test_who_demands_it_gets_all_of_it(tmp_path: Path, raw: str) -> None:
    """With the client floor at 0, no-cache brings rows that changed behind the overlap; without it a delta does."""
    async with live(tmp_path, freshness__client_floor_s=0) as (running, upstream):
        begin(upstream)
        await right(running, upstream, raw)
        upstream.log("loss", [3, 70], value=7)
        running.advance(1)
        upstream.asked.clear()
        reply = await running.get(target(raw), Cache_Control="no-cache")
        assert reply.body in permitted(upstream.rows.values(), asked_of(dict(parse_qsl(raw))))
        assert upstream.asked == [WIDE]


async def test_no_cache_with_a_floor_is_a_delta(tmp_path: Path) -> None:
    """Browsers say it with every poll: it doesn't cost all of the series."""
    async with live(tmp_path, freshness__client_floor_s=1) as (running, upstream):
        begin(upstream)
        await right(running, upstream, "logName=loss&limit=10")
        running.advance(2)
        upstream.log("loss", [100])
        upstream.asked.clear()
        reply = await running.get(target("logName=loss&limit=10"), Cache_Control="no-cache")
        assert reply.headers["Age"] == "0"
        assert upstream.asked == [since(50)]


# What goes wrong.


async def test_a_delta_that_fails(tmp_path: Path) -> None:
    """Its panels are answered with what is there; once it isn't remembered any more all of it is asked for."""
    async with live(tmp_path) as (running, upstream):
        begin(upstream)
        await right(running, upstream, "logName=loss&limit=10")
        running.advance(6)
        await right(running, upstream, "logName=loss&limit=10")  # learns that it is running
        running.advance(6)
        upstream.failing = True
        upstream.asked.clear()
        for _ in range(3):
            stale = await running.get(target("logName=loss&limit=10"))
            assert "stale: upstream-failed" in stale.cache_status
            assert stale.headers["Age"] == "6"
        assert upstream.asked == [since(50)]
        upstream.failing = False
        assert await later(running, upstream, grow=lambda: upstream.log("loss", [3, 100])) == [WIDE]
        assert await later(running, upstream) == [since(50)]


def refused(_: Any) -> bytes:
    raise web.HTTPBadRequest(text=REFUSAL, content_type="application/json")


def misprinted(_: Any) -> bytes:
    return b'{"metrics": []}'


def out_of_order(upstream: OracleUpstream) -> Callable[[Any], bytes]:
    def say(query: Any) -> bytes:
        rows = json.loads(upstream.answer(query))["metrics"]
        return json.dumps({"metrics": rows[::-1]}, separators=(",", ":")).encode()

    return say


@pytest.mark.parametrize("kind", ["refused", "misprinted", "out of order"])
async def test_a_delta_that_is_of_no_use(tmp_path: Path, kind: str) -> None:
    """Refused or not understood: the panel is answered within the same request, by asking for all of it."""
    async with live(tmp_path) as (running, upstream):
        begin(upstream)
        await right(running, upstream, "logName=loss&limit=10")
        say = {"refused": refused, "misprinted": misprinted, "out of order": out_of_order(upstream)}[kind]
        upstream.instead = lambda query: (say if "stepMin" in query else upstream.answer)(query)
        running.advance(6)
        upstream.log("loss", [100])
        upstream.asked.clear()
        reply = await right(running, upstream, "logName=loss&limit=10")
        assert reply.headers["Age"] == "0"
        assert upstream.asked == [since(50), WIDE]


async def test_a_delta_that_is_too_large(tmp_path: Path) -> None:
    """What is beyond the bound for what nobody asked for is given up, and the panel asked for as it came."""
    async with live(tmp_path, series__max_fetch_bytes=20_000) as (running, upstream):
        begin(upstream)
        await right(running, upstream, "logName=loss&limit=10")
        asked = await later(running, upstream, grow=lambda: upstream.log("loss", range(100, 400)))
        assert asked == [since(50), target("logName=loss&limit=10")]
        assert await later(running, upstream) == [target("logName=loss&limit=10")]


async def test_a_name_whose_own_question_fails(tmp_path: Path) -> None:
    """A delta with a new name is no use without it: nothing is answered as if it had no rows, and next time all is asked."""
    async with live(tmp_path) as (running, upstream):
        begin(upstream, "a", "b")
        before = await right(running, upstream, "limit=10")

        def failing(query: Any) -> bytes:
            if query.get("logName") == "new":
                raise web.HTTPInternalServerError
            return upstream.answer(query)

        upstream.instead = failing
        running.advance(6)
        upstream.log("new", range(0, 120, 7))
        upstream.asked.clear()
        stale = await running.get(target("limit=10"))
        assert stale.body == before.body
        assert stale.headers["Age"] == "6"
        assert upstream.asked == [since(50, None), target("logName=new&limit=10000")]
        upstream.instead = None
        assert await later(running, upstream, "limit=10") == [WHOLE]


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
        line = running.parts.upstream.turnstile.budget.line
        await _waiting(lambda: bool(line.waiting(Priority.REFRESH)))
        path.write_text("mlpi_now_B")
        upstream.asked.clear()
        upstream.gate.set()
        await asyncio.gather(blocker, delta)
        path.write_text("mlpi_A")
        assert (await right(running, upstream, "logName=loss&limit=10")).headers["Age"] == "0"
        assert (await later(running, upstream))[0] in {since(50), since(100)}


# What is kept.


async def test_after_a_restart(tmp_path: Path) -> None:
    """A live run costs one call for what is new when the proxy has come back, not all of it again."""
    upstream = OracleUpstream(clock=ManualClock())
    raws = ("logName=a&limit=10", "logName=b&limit=10", "limit=10")
    async with upstream.serve() as url:
        async with proxied(tmp_path, upstream, url, **PROMPT) as running:
            begin(upstream, "a", "b")
            for raw in raws:
                await right(running, upstream, raw)
            await later(running, upstream, *raws, grow=lambda: upstream.log("a", range(100, 110)))
            await running.flushed()
        upstream.clock.advance(20)
        upstream.log("b", [100])
        upstream.log("a", [110])
        upstream.asked.clear()
        async with proxied(tmp_path, upstream, url, **PROMPT) as running:
            await asyncio.gather(*(right(running, upstream, raw) for raw in raws))
            assert upstream.asked == [since(50, None)]
            assert await later(running, upstream, *raws) == [since(50, None)]


async def test_after_a_long_time_away(tmp_path: Path) -> None:
    """What wasn't looked at for longer than rewrite_check_s is fetched whole."""
    upstream = OracleUpstream(clock=ManualClock())
    async with upstream.serve() as url:
        async with proxied(tmp_path, upstream, url, **PROMPT) as running:
            begin(upstream)
            await right(running, upstream, "logName=loss&limit=10")
            await running.flushed()
        upstream.log("loss", [3], value=7)
        async with proxied(tmp_path, upstream, url, **PROMPT) as running:
            assert await later(running, upstream, seconds=301) == [WIDE]


async def test_what_must_not_be_stored(tmp_path: Path) -> None:
    """Rows that only requests with no-store brought are not on disk, be it whole or by a delta."""
    upstream = OracleUpstream(clock=ManualClock())
    raw = target("logName=loss&limit=10")
    async with upstream.serve() as url, proxied(tmp_path, upstream, url, **PROMPT) as running:
        begin(upstream)
        for _ in range(3):
            await running.get(raw, Cache_Control="no-store")
            running.advance(6)
            upstream.log("loss", [100 + len(upstream.asked)])
        await running.flushed()
        assert upstream.asked == [WIDE, since(50), since(50)]
        assert await _stored(running) == 0


async def test_what_may_be_stored_after_all(tmp_path: Path) -> None:
    """As soon as another request brings what is new, all that is known is stored."""
    upstream = OracleUpstream(clock=ManualClock())
    raw = target("logName=loss&limit=10")
    async with upstream.serve() as url:
        async with proxied(tmp_path, upstream, url, **PROMPT) as running:
            begin(upstream)
            await running.get(raw, Cache_Control="no-store")
            assert await later(running, upstream) == [since(50)]
            await running.flushed()
        upstream.asked.clear()
        async with proxied(tmp_path, upstream, url, **PROMPT) as running:
            assert await later(running, upstream) == [since(50)]


async def _stored(running: World) -> int:
    """Return how many windows of the series another proxy would find on disk."""
    shelves, tenant = running.parts.series.shelves, running.parts.tenancy.current()
    shelves._shelves.clear()
    shelves._absent.clear()
    loss = metrics_query.MetricsQuery(run="1", project="p", name="loss", group=None, limit=10_000, first=0, last=None)
    return sum([len(await shelves.load(tenant, scope)) for scope in loss.scopes])


# Groups.


async def test_two_viewers_with_different_groups(tmp_path: Path) -> None:
    """Each sees the rows of its group, and one call brings both what is new."""
    async with live(tmp_path) as (running, upstream):
        begin(upstream, "a/x", group="a")
        begin(upstream, "b/x", group="b")
        raws = ("logGroup=a&limit=10", "logGroup=b&limit=10", "logGroup=b&logName=b/x")
        for raw in raws:
            await right(running, upstream, raw)

        def grow() -> None:
            upstream.log("a/x", [100], group="a")
            upstream.log("b/x", [100, 101], group="b")
            settle(upstream, "b/y", range(0, 300, 7), group="b")

        asked = await later(running, upstream, *raws, grow=grow)
        assert asked[0] == since(50, None)
        assert asked[1:] in ([], [target("logName=b/y&limit=10000")])
        assert await later(running, upstream, *raws) == [since(50, None)]


@pytest.mark.parametrize("raws", [["g1", None, "g2"], [None, "g1", "g2"], ["g2", "g1", None]])
async def test_a_name_in_two_groups(tmp_path: Path, raws: list[str | None]) -> None:
    """What a fetch of one group told says nothing of the other one, nor of both."""
    async with live(tmp_path) as (running, upstream):
        upstream.names_listed = 1000  # too many to ask for all of them
        panels = ["logName=a&limit=10" + (f"&logGroup={group}" if group else "") for group in raws]
        settle(upstream, "a", [*range(0, 100, 4), 97], group="g1")
        settle(upstream, "a", [*range(2, 60, 4), 59], group="g2")
        for number in range(4):
            for panel in panels:
                await right(running, upstream, panel)
            running.advance(6)
            upstream.log("a", [100 + 2 * number], group="g1")
            upstream.log("a", [101 + 2 * number], group="g2")


async def test_groups_have_deltas_of_their_own(tmp_path: Path) -> None:
    """Where a series is known by its groups alone, each of them is asked for what is new of it."""
    async with live(tmp_path) as (running, upstream):
        upstream.names_listed = 1000  # too many to ask for all of them
        settle(upstream, "a", [*range(0, 100, 4), 97], group="g1")
        settle(upstream, "a", [*range(2, 60, 4), 59], group="g2")
        raws = ("logName=a&logGroup=g1&limit=10", "logName=a&logGroup=g2&limit=10")
        for raw in raws:
            await right(running, upstream, raw)

        def grow() -> None:
            upstream.log("a", [100], group="g1")
            upstream.log("a", [101], group="g2")

        asked = await later(running, upstream, *raws, grow=grow)
        assert sorted(asked) == sorted([since(97, "a", group="g1"), since(59, "a", group="g2")])


async def test_what_is_new_of_a_group_is_not_all_that_is_new(tmp_path: Path) -> None:
    """What a delta of one group told is not taken for what is new of the series as a whole."""
    async with live(tmp_path, freshness__client_floor_s=0) as (running, upstream):
        upstream.names_listed = 1000
        settle(upstream, "a", [*range(1, 58, 4), 58], group="g2")
        settle(upstream, "a", [*range(0, 100, 4), 97], group="g1")
        await right(running, upstream, "logName=a&limit=10")
        running.advance(61)
        group = "logName=a&logGroup=g1&limit=10"
        assert (await running.get(target(group), Cache_Control="no-cache")).status == 200

        def grow() -> None:
            upstream.log("a", [98], group="g2")
            upstream.log("a", [99], group="g1")

        asked = await later(running, upstream, group, "logName=a&limit=10", grow=grow)
        assert asked[0] == since(97, "a", group="g1")
        assert since(97, "a") in asked[1:]


async def test_who_joins_may_let_it_be_stored(tmp_path: Path) -> None:
    """What a request with no-store began to ask for is stored where another request waits for it as well."""
    upstream = HeldUpstream(clock=ManualClock(), holds=lambda path: "stepMin" in path)
    async with upstream.serve() as url, proxied(tmp_path, upstream, url, **PROMPT) as running:
        begin(upstream)
        await running.get(target("logName=loss&limit=10"), Cache_Control="no-store")
        running.advance(6)
        first = asyncio.create_task(running.get(target("logName=loss&limit=10"), Cache_Control="no-store"))
        await until(upstream.arrived)
        second = asyncio.create_task(running.get(target("logName=loss&limit=9")))
        await asyncio.sleep(0.05)
        upstream.gate.set()
        await asyncio.gather(first, second)
        await running.flushed()
        assert upstream.asked == [WIDE, since(50)]
        assert await _stored(running) == 1
