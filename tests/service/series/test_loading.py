"""Long series: once several questions about one have come, it is put together from windows and answers all of them."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import patch

import pytest

from proxy.core.series import metrics_query
from tests.support.live_runs import WIDE, live
from tests.support.oracle import OracleRow
from tests.support.oracle_upstream import OracleUpstream, right, row, series_world
from tests.support.world import World

MOST = 40


@pytest.mark.parametrize(("count", "gap"), [(45, 1), (100, 3), (333, 7), (500, 1)])
async def test_a_long_series_is_put_together(tmp_path: Path, count: int, gap: int) -> None:
    """After as many questions as it has windows these are asked for; from then on every panel of it is computed."""
    with patch.object(metrics_query, "MAX_LIMIT", MOST):
        async with series_world(tmp_path) as (running, upstream):
            upstream.put(row("loss", step * gap, value=step) for step in range(count))
            await poll(running, upstream, range(5, 5 + count // 10))
            calls = upstream.metrics_calls
            # As many for windows as had been asked for before, and some that showed how many rows there are.
            assert calls <= 2 * (count // 10) + 4
            for raw in ("limit=8", "limit=5", "limit=40", "stepMin=50&limit=7", "stepMin=3&stepMax=200&limit=30", "limit=3000"):
                reply = await right(running, upstream, f"logName=loss&{raw}")
                assert reply.is_hit, raw
            assert upstream.metrics_calls == calls
            assert running.parts.series.loader.finished == 1


async def test_one_panel_is_no_reason(tmp_path: Path) -> None:
    """A long series of which one panel is looked at now and then is asked for as it came, and once in full, with a probe."""
    with patch.object(metrics_query, "MAX_LIMIT", MOST):
        async with series_world(tmp_path) as (running, upstream):
            upstream.put(row("loss", step) for step in range(100))
            for _ in range(4):
                await right(running, upstream, "logName=loss&limit=5")
                running.advance(100)
            await running.settled()
            assert running.parts.series.loader.finished == 0
            assert upstream.metrics_calls == 6


async def test_a_long_live_series_grows(tmp_path: Path) -> None:
    """Once it is put together a delta refreshes it, and all of it is looked at again, window by window, after a while."""
    settings = {"freshness__stale_while_revalidate_s": 0, "series__rewrite_check_s": 60}
    with patch.object(metrics_query, "MAX_LIMIT", MOST):
        async with series_world(tmp_path, **settings) as (running, upstream):
            upstream.put(logged(0, 50))
            await poll(running, upstream, range(5, 15))
            assert running.parts.series.loader.finished == 1
            for more in range(5):
                calls = upstream.metrics_calls
                upstream.put(logged(50 + more, 51 + more))
                running.advance(6)
                for limit in (5, 9, 11):
                    await right(running, upstream, f"logName=loss&limit={limit}")
                assert upstream.metrics_calls == calls + 1
                assert "stepMin=4" in upstream.asked[-1]
            upstream.put([row("loss", 17, value=5)])
            running.advance(60)
            await poll(running, upstream, range(5, 15))
            assert running.parts.series.loader.finished == 2
            calls = upstream.metrics_calls
            await right(running, upstream, "logName=loss&limit=40&stepMin=10&stepMax=30")
            assert upstream.metrics_calls == calls


def logged(first: int, last: int) -> Iterator[OracleRow]:
    """Yield rows that were logged every ten seconds."""
    for step in range(first, last):
        yield row("loss", step, time=str(datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=10 * step)))


async def poll(running: World, upstream: OracleUpstream, limits: range, name: str = "loss") -> None:
    """Ask for one series with several limits, and wait for what that sets off."""
    for limit in limits:
        await right(running, upstream, f"logName={name}&limit={limit}")
        await running.settled()


async def test_after_a_restart_it_is_still_together(tmp_path: Path) -> None:
    """What was put together is on disk like any other series."""
    with patch.object(metrics_query, "MAX_LIMIT", MOST):
        async with series_world(tmp_path, series__memory_bytes=100_000) as (running, upstream):
            upstream.put(row("loss", step) for step in range(150))
            await poll(running, upstream, range(5, 25))
            await running.flushed()
            running.parts.shelves._shelves.clear()
            running.parts.store.memory.clear()
            calls = upstream.metrics_calls
            assert (await right(running, upstream, "logName=loss&limit=32")).is_hit
            assert upstream.metrics_calls == calls


async def test_what_cannot_be_put_together(tmp_path: Path) -> None:
    """More rows than may be held, or two of one step, and it is left alone for a while."""
    with patch.object(metrics_query, "MAX_LIMIT", MOST):
        async with series_world(tmp_path, series__max_rows=80) as (running, upstream):
            upstream.put(row("long", step) for step in range(300))
            upstream.put(row("tied", step) for step in range(60))
            upstream.put([row("tied", 55, group="g")])
            for name in ("long", "tied"):
                await poll(running, upstream, range(5, 40), name)
            assert running.parts.series.loader.finished == 0
            calls = upstream.metrics_calls
            for name in ("long", "tied"):
                await poll(running, upstream, range(4, 5), name)
            assert upstream.metrics_calls == calls + 2


async def test_questions_about_a_long_series_are_not_hoarded(tmp_path: Path) -> None:
    """A panel whose window moves on with every poll is a new question each time: only those of the last minutes count."""
    with patch.object(metrics_query, "MAX_LIMIT", 20):
        async with live(tmp_path, series__max_rows=30) as (running, upstream):
            upstream.log("loss", range(400))
            for first in range(100, 200):
                await right(running, upstream, f"logName=loss&limit=5&stepMin={first}")
                running.advance(6)
            (questions,) = running.parts.series.loader._asked.values()
            assert len(questions) <= 51


async def test_an_empty_window_of_a_long_series(tmp_path: Path) -> None:
    """Whoever waits for rows beyond the end of a series that is too long to be complete costs a call a time, and no rows."""
    with patch.object(metrics_query, "MAX_LIMIT", 20):
        async with live(tmp_path, series__max_rows=60) as (running, upstream):
            upstream.log("loss", range(400))
            for _ in range(10):
                await right(running, upstream, "logName=loss&limit=5&stepMin=500&stepMax=600")
                running.advance(61)
            assert upstream.asked.count(WIDE.replace("10000", "20")) <= 1
            assert upstream.metrics_calls <= 11
