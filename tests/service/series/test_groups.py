"""Groups of a live run: what is known of one says nothing about another, nor about the series as a whole."""

from pathlib import Path

import pytest

from tests.support.live_runs import begin, later, live, settle, since
from tests.support.oracle_upstream import right, target

pytestmark = pytest.mark.usefixtures("on_time")


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


async def test_what_is_new_of_all_groups_serves_one(tmp_path: Path) -> None:
    """Where a series is known in all groups and in one, what is new of all of them is asked for, for both."""
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
        assert asked == [since(97, "a")]


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
