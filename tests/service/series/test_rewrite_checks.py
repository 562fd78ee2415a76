"""All of a live series is fetched again now and then, and for whoever demands it."""

from pathlib import Path
from urllib.parse import parse_qsl

import pytest

from tests.support.live_runs import PANEL, PROMPT, WHOLE, WIDE, begin, later, live, settle, since
from tests.support.oracle import permitted
from tests.support.oracle_upstream import OracleUpstream, asked_of, proxied, right, target
from tests.support.world import ManualClock

pytestmark = pytest.mark.usefixtures("on_time")


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


async def test_a_name_that_came_later_makes_the_others_no_younger(tmp_path: Path) -> None:
    """The whole look at all series is due when it is for the oldest of them."""
    async with live(tmp_path, series__rewrite_check_s=60) as (running, upstream):
        begin(upstream, "a", "b")
        await right(running, upstream, "limit=10")
        asked = await later(running, upstream, "limit=10", seconds=50, grow=lambda: settle(upstream, "new", [0, 3, 98]))
        assert asked == [since(50, None)] or WHOLE not in asked
        await later(running, upstream, "limit=10", grow=lambda: upstream.log("new", [100]))
        assert await later(running, upstream, "limit=10", seconds=5) == [WHOLE]
