"""What a second review of the series engine tried to break: slow upstreams, outages that pass, races, ages not told."""

from pathlib import Path

from tests.series import proxied
from tests.service.test_deltas import WIDE, begin, live
from tests.service.test_series import right, target
from tests.service.test_series_review import HeldUpstream
from tests.support import ManualClock

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
