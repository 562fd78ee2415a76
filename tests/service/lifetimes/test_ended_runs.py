"""Runs that end, go on, or never ended at all: what their series cost, and how long what is there is served."""

from pathlib import Path

import pytest

from tests.support.live_runs import HOUR_S, PANEL, PROMPT, WIDE, begin, later, live, since
from tests.support.oracle_upstream import OracleUpstream, proxied, right, target
from tests.support.world import ManualClock, World

DETAILS = "/api/runs/details/1"


async def polled(running: World, upstream: OracleUpstream, *, times: int, every_s: float) -> list[str]:
    """Ask for the panel again and again, and return what the upstream was asked, lists apart."""
    upstream.asked.clear()
    for _ in range(times):
        running.advance(every_s)
        await right(running, upstream, PANEL)
        await running.settled()
    return list(upstream.asked)


async def ended(running: World, upstream: OracleUpstream, *, ago_s: float, status: str = "COMPLETED") -> None:
    """Let the run have ended some time ago, and be looked at until it is believed to stand still."""
    upstream.change_status(status)
    upstream.log("loss", range(100), ago_s=100)
    running.advance(ago_s)
    await right(running, upstream, PANEL)
    for seconds in (6, 100, 2000):
        running.advance(seconds)
        assert (await right(running, upstream, PANEL)).headers["Age"] == "0"
    running.advance(6)
    assert (await right(running, upstream, PANEL)).headers["Age"] == "6"
    assert upstream.asked.count(WIDE) == 4
    upstream.asked.clear()


async def test_one_list_of_a_project(tmp_path: Path) -> None:
    """However many panels are polled, one list every status_s tells that the run is running; nobody asks for its details."""
    async with live(tmp_path) as (running, upstream):
        begin(upstream)
        for _ in range(50):
            running.advance(6)
            for raw in (PANEL, "logName=loss&limit=9"):
                await right(running, upstream, raw)
        assert 15 <= upstream.listed <= 20
        assert DETAILS not in upstream.asked


async def test_a_run_on_the_second_page(tmp_path: Path) -> None:
    """A run that is listed behind 200 others is running."""
    async with live(tmp_path) as (running, upstream):
        upstream.others = tuple(range(1000, 1250))
        # Its details would say otherwise.
        upstream.status_since_s = upstream.clock.now_s() - HOUR_S
        begin(upstream)
        await right(running, upstream, PANEL)
        for step in range(100, 110):
            asked = await later(running, upstream, seconds=15, grow=lambda step=step: upstream.log("loss", [step]))  # type: ignore[misc]  # a default that binds the step
            assert len(asked) == 1
        assert upstream.listed == 20


async def test_an_ended_run_costs_nothing(tmp_path: Path) -> None:
    """For the lifetime of its answers no metrics are asked for; that grows with the time since it ended."""
    async with live(tmp_path) as (running, upstream):
        await ended(running, upstream, ago_s=10 * HOUR_S)
        assert await polled(running, upstream, times=239, every_s=15) in ([], [DETAILS])
        assert await polled(running, upstream, times=1, every_s=15) == [DETAILS, WIDE] or upstream.asked == [WIDE]


async def test_a_run_that_has_just_ended(tmp_path: Path) -> None:
    """While it settles it is asked for what is new as if it ran; then for all of it, every five minutes."""
    async with live(tmp_path) as (running, upstream):
        begin(upstream)
        await right(running, upstream, PANEL)
        await later(running, upstream)
        upstream.change_status("COMPLETED")
        asked = await polled(running, upstream, times=9, every_s=30)
        assert [path for path in asked if path != DETAILS].count(WIDE) == 1  # when it changed its status
        assert len(asked) == 10
        asked = await polled(running, upstream, times=40, every_s=30)
        assert 3 <= len(asked) <= 5
        assert set(asked) == {WIDE}


async def test_late_rows_of_an_ended_run(tmp_path: Path) -> None:
    """Rows that come after the end are seen with the next look, and the lifetime begins to grow anew."""
    async with live(tmp_path) as (running, upstream):
        await ended(running, upstream, ago_s=10 * HOUR_S)
        upstream.log("loss", [7, 100], value=3)
        running.advance(HOUR_S)
        assert await polled(running, upstream, times=1, every_s=15) in ([DETAILS, WIDE], [WIDE])
        upstream.log("loss", [8, 101], value=3)
        assert WIDE not in await polled(running, upstream, times=1, every_s=6)
        assert await polled(running, upstream, times=1, every_s=6) != []


@pytest.mark.parametrize("all_of_it", [False, True])
@pytest.mark.parametrize("status", ["COMPLETED", "FAILED", "TERMINATED", "CANCELLED"])
async def test_an_ended_run_while_the_upstream_fails(tmp_path: Path, status: str, all_of_it: bool) -> None:
    """What is there is served for a day after its lifetime, however seldom it is looked at and whatever fails; then no more."""
    async with live(tmp_path, freshness__stale_wait_s=0.3) as (running, upstream):
        await ended(running, upstream, ago_s=10 * HOUR_S, status=status)
        upstream.metrics_failing, upstream.failing = True, all_of_it
        for hours in (1.1, 8, 14.8):
            running.advance(hours * HOUR_S)
            reply = await running.get(target(PANEL))
            assert reply.status == 200
            assert "stale: " in reply.cache_status
        running.advance(1.2 * HOUR_S)
        assert (await running.get(target(PANEL))).status == 502


async def test_a_resumed_run_while_the_upstream_fails(tmp_path: Path) -> None:
    """As soon as a list has it again it is a running run, of which nothing is served that is older than an hour."""
    async with live(tmp_path) as (running, upstream):
        await ended(running, upstream, ago_s=10 * HOUR_S)
        upstream.metrics_failing = True
        upstream.change_status("RUNNING")
        running.advance(16)
        await running.get(target(PANEL))
        running.advance(1.1 * HOUR_S)
        assert (await running.get(target(PANEL))).status == 502


async def test_a_resumed_run_is_live_again(tmp_path: Path) -> None:
    """With the next list: all of it is asked for once, then what is new."""
    async with live(tmp_path) as (running, upstream):
        await ended(running, upstream, ago_s=10 * HOUR_S)
        assert await polled(running, upstream, times=2, every_s=16) == []
        upstream.change_status("RUNNING")
        upstream.log("loss", [3, 100], value=5)
        # The list was asked for a moment ago.
        running.advance(14)
        assert (await running.get(target(PANEL))).headers["Age"] != "0"
        running.advance(2)
        await running.get(target(PANEL))
        await running.settled()
        assert await later(running, upstream, seconds=16, grow=lambda: upstream.log("loss", [101])) != []
        assert (await right(running, upstream, PANEL)).headers["Age"] == "0"
        assert await later(running, upstream, grow=lambda: upstream.log("loss", [102])) == [since(100)]


async def test_a_run_that_was_called_failed_too_early(tmp_path: Path) -> None:
    """It goes on logging: its rows are seen as those of a running run, for as long as they come."""
    async with live(tmp_path) as (running, upstream):
        begin(upstream)
        await right(running, upstream, PANEL)
        await later(running, upstream)
        upstream.change_status("FAILED")
        for step in range(100, 150):
            running.advance(60)
            upstream.log("loss", [step])
            reply = await right(running, upstream, PANEL)
            assert reply.headers["Age"] == "0"
        # Then half an hour after the last of them it has ended after all.
        await polled(running, upstream, times=60, every_s=30)
        asked = await polled(running, upstream, times=20, every_s=30)
        assert len(asked) <= 3


@pytest.mark.parametrize("lag_s", [5, 40])
async def test_a_list_that_lags_behind(tmp_path: Path, lag_s: float) -> None:
    """A run that has ended counts as running while the list still has it, and one that was resumed by its own details."""
    async with live(tmp_path) as (running, upstream):
        upstream.lag_s = lag_s
        begin(upstream)
        running.advance(100)
        await right(running, upstream, PANEL)
        await later(running, upstream)
        upstream.change_status("COMPLETED")
        for step in range(100, 110):
            assert (await later(running, upstream, grow=lambda step=step: upstream.log("loss", [step]))) != []  # type: ignore[misc]  # a default that binds the step
        await polled(running, upstream, times=100, every_s=15)
        upstream.change_status("RUNNING")
        upstream.log("loss", [3, 200], value=5)
        for _ in range(5):
            running.advance(16)
            await running.get(target(PANEL))
            await running.settled()
        await right(running, upstream, PANEL)


async def test_a_change_of_status_is_a_look_at_all_of_it(tmp_path: Path) -> None:
    """What was written again before the run ended is seen as soon as its end is, and so when it is resumed."""
    async with live(tmp_path) as (running, upstream):
        begin(upstream)
        await right(running, upstream, PANEL)
        assert await later(running, upstream) == [since(50)]
        for status in ("COMPLETED", "RUNNING"):
            upstream.change_status(status)
            upstream.log("loss", [3], value=7 if status == "RUNNING" else 8)
            running.advance(16)
            await running.get(target(PANEL))
            await running.settled()
            upstream.log("loss", [4], value=7 if status == "RUNNING" else 8)
            running.advance(6)
            upstream.asked.clear()
            await running.get(target(PANEL))
            assert [path for path in upstream.asked if path != DETAILS] in ([since(50)], [WIDE])
            await right(running, upstream, "logName=loss&stepMax=3")


async def test_an_unknown_status_counts_as_running(tmp_path: Path) -> None:
    """Whatever the upstream says that nobody understands, or doesn't say at all, costs calls and no rows."""
    async with live(tmp_path) as (running, upstream):
        begin(upstream)
        upstream.status = "DREAMING"
        upstream.status_since_s = upstream.clock.now_s() - HOUR_S
        await right(running, upstream, PANEL)
        for step in range(100, 110):
            asked = await later(running, upstream, grow=lambda step=step: upstream.log("loss", [step]))  # type: ignore[misc]  # a default that binds the step
            assert [path for path in asked if path != DETAILS] == [since(50)]


async def test_an_ended_run_after_a_restart(tmp_path: Path) -> None:
    """What was stored is looked at once more, since it may have changed meanwhile; where it hasn't, it goes on living."""
    upstream = OracleUpstream(clock=ManualClock())
    async with upstream.serve() as url:
        async with proxied(tmp_path, upstream, url, **PROMPT) as running:
            await ended(running, upstream, ago_s=10 * HOUR_S)
            await running.flushed()
        upstream.asked.clear()
        upstream.clock.advance(1000)
        async with proxied(tmp_path, upstream, url, **PROMPT) as running:
            assert (await right(running, upstream, PANEL)).headers["Age"] == "0"
            assert upstream.asked == [DETAILS, WIDE]
            assert await polled(running, upstream, times=230, every_s=15) == []


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
