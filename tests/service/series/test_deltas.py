"""Live runs: the upstream is asked for what is new alone, once for all who watch, and what doesn't fit is fetched whole."""

import asyncio
from functools import partial
from pathlib import Path
from unittest.mock import patch

import pytest

from proxy.core.series import metrics_query
from tests.support.live_runs import WHOLE, WIDE, begin, later, live, settle, since, unlooked
from tests.support.oracle_upstream import (
    right,
    target,
)

pytestmark = pytest.mark.usefixtures("on_time")


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
        deltas = running.parts.series.deltas
        assert (deltas.calls, running.parts.series.learner.misfits) == (1, 0)


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
@pytest.mark.parametrize("call_cost_rows", [5, 2_000])
async def test_known_to_be_empty(tmp_path: Path, rows: list[int], call_cost_rows: int) -> None:
    """A series without rows is looked at from step 0, with the others or alone: a delta of these may begin behind its rows."""
    apart, together = sorted([since(50, None), target("logName=none&limit=10000")]), [WHOLE]
    async with live(tmp_path, series__call_cost_rows=call_cost_rows) as (running, upstream):
        begin(upstream, "a")
        raws = ("logName=a&limit=9", "logName=none&limit=9")
        for raw in raws:
            await right(running, upstream, raw)
        for _ in range(3):
            assert sorted(await later(running, upstream, *raws)) == (apart if call_cost_rows == 5 else together)
        asked = await later(running, upstream, *raws, grow=lambda: upstream.log("none", rows))
        assert sorted(asked) == (apart if call_cost_rows == 5 else together)
        assert len(await later(running, upstream, *raws, grow=lambda: upstream.log("none", [300]))) <= 2


async def test_seldom_logged_and_empty_series_share_a_call(tmp_path: Path) -> None:
    """One with a small limit brings whatever is new of them, and little of all others."""
    async with live(tmp_path, series__call_cost_rows=150) as (running, upstream):
        begin(upstream, *"abcdefgh")
        settle(upstream, "val", [3, 7])
        raws = ("logName=a", "logName=b&limit=7", "logName=val", "logName=none", "logName=nothing", "limit=20")
        for raw in raws:
            await right(running, upstream, raw)
        running.advance(60)
        await later(running, upstream, *raws)

        for name, steps in (("val", [11]), ("none", [0, 3]), ("a", [])):
            thin, dense = await later(running, upstream, *raws, grow=partial(upstream.log, name, steps))
            assert "stepMin" not in thin
            assert int(thin.rpartition("limit=")[2]) < 100
            assert dense == since(99, None)
        # More rows than come whole with the limit: the series is asked for in full.
        asked = await later(running, upstream, *raws, grow=lambda: upstream.log("nothing", range(90)))
        assert [one for one in asked if "logName" in one] == [target("logName=nothing&limit=10000")]


async def test_known_to_be_empty_alone(tmp_path: Path) -> None:
    """Where it is all that anybody asks for, it costs one call a lifetime."""
    async with live(tmp_path) as (running, upstream):
        await right(running, upstream, "logName=loss&limit=9")
        for _ in range(3):
            assert await later(running, upstream) == [WIDE]
        assert await later(running, upstream, grow=lambda: settle(upstream, "loss", range(3))) == [WIDE]
        assert await later(running, upstream, grow=lambda: upstream.log("loss", [3])) == [since(2)]


async def test_known_to_be_empty_where_nobody_waits(tmp_path: Path) -> None:
    """A refresh ahead, too, asks for a series without rows from step 0."""
    async with live(tmp_path) as (running, upstream):
        begin(upstream, "a")
        for raw in ("logName=a&limit=9", "logName=none&limit=9"):
            await right(running, upstream, raw)
        running.advance(6)
        upstream.asked.clear()
        await running.parts.series.asker.obtain(unlooked(running, "none"))
        assert upstream.asked == [WHOLE]


async def test_calls_are_told_apart(tmp_path: Path) -> None:
    """The metrics say what calls about series are made for, and how many a plan saved."""
    async with live(tmp_path) as (running, upstream):
        begin(upstream, "a", "b")
        raws = ("logName=a", "logName=b")
        for raw in raws:
            await right(running, upstream, raw)
        await later(running, upstream, *raws)
        told = (await running.get("/metrics")).body.decode()
        counts = {"wider": 2, "delta": 1, "client": 0, "in-full": 0, "load": 0}
        for reason, count in counts.items():
            assert f'pluto_proxy_series_calls_total{{reason="{reason}"}} {count}.0\n' in told
        assert "pluto_proxy_series_delta_calls_saved_total 1.0\n" in told


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


async def test_late_rows_within_the_overlap(tmp_path: Path) -> None:
    """Rows that come out of order within the last minute are seen with the next delta."""
    async with live(tmp_path) as (running, upstream):
        begin(upstream)
        for step in (70, 85):
            upstream.remove("loss", step)
        await right(running, upstream, "logName=loss&limit=10")
        assert await later(running, upstream, grow=lambda: upstream.log("loss", [70, 100])) == [since(50)]
        assert await later(running, upstream, seconds=40, grow=lambda: upstream.log("loss", [85])) == [since(50)]


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


# What goes wrong.


# What is kept.


# Groups.
