"""What costs trust in the documented rule, and what wins it back."""

from pathlib import Path
from typing import Any

import pytest

from proxy.core.freshness.purge import Purge
from proxy.core.pieces import Work
from proxy.core.series.answers import splitting
from proxy.core.series.extents import Extents
from proxy.core.series.metrics_query import MetricsQuery
from proxy.service.proof import splitter
from tests.support.broken_rules import LONG, ask, no_last_row, printed, rows_in
from tests.support.live_runs import PANEL, WIDE, begin
from tests.support.oracle import permitted
from tests.support.oracle_upstream import OracleUpstream, asked_of, proxied, right, row, series_world, target
from tests.support.world import ManualClock


async def test_an_answer_cut_off_in_full_only(tmp_path: Path) -> None:
    """The shadow looks at the very question that was computed from; what is not cut off can win trust back."""
    async with series_world(tmp_path, series__shadow_s=60) as (running, upstream):
        upstream.put(row(name, step) for name in "abcd" for step in range(300))

        def capped(query: Any) -> bytes:
            rows = rows_in(next(permitted(upstream.rows.values(), asked_of(query))))
            return printed(rows if "logName" in query else rows[:700])

        upstream.instead = capped
        checks = running.parts.proof.checks
        for name, seconds in (("a", 40), ("b", 31), ("d", 0)):
            await ask(running, f"logName={name}&limit=10")
            running.advance(seconds)
        assert not checks.trusted
        upstream.put(row("long", step) for step in range(LONG))
        running.advance(301)
        await ask(running, "logName=long&limit=10")
        assert not checks.trusted
        running.advance(301)
        await ask(running, "logName=long&limit=10")
        assert checks.trusted


async def test_trust_comes_back_though_the_canary_outgrew_its_cage(tmp_path: Path) -> None:
    """Where the series that broke trust can tell nothing any more, another one that is asked for does."""
    async with series_world(tmp_path) as (running, upstream):
        upstream.put(row("loss", step, value=step / 7) for step in range(LONG))
        upstream.instead = no_last_row(upstream)
        await ask(running, "logName=loss&limit=10")
        checks = running.parts.proof.checks
        assert not checks.trusted
        upstream.instead = None
        upstream.put(row("loss", step) for step in range(LONG, 5_001))
        upstream.put(row("short", step) for step in range(100))
        upstream.put(row("other", step) for step in range(LONG))
        for raw in ("logName=loss", "", "logName=short", "logName=other"):
            running.advance(301)
            await ask(running, raw)
        assert checks.trusted


@pytest.mark.parametrize("raw", ["logName=loss&limit=1", "limit=1"])
async def test_trust_comes_back_after_a_short_series(tmp_path: Path, raw: str) -> None:
    """Trust that a short series or a whole run has cost is won back by it."""
    async with series_world(tmp_path, series__shadow_s=60) as (running, upstream):
        upstream.put(row("loss", step) for step in (0, 1))
        upstream.instead = no_last_row(upstream)
        await ask(running, raw)
        running.advance(11)
        await ask(running, raw)
        checks = running.parts.proof.checks
        assert not checks.trusted
        running.advance(301)
        await ask(running, raw)
        assert not checks.trusted
        upstream.instead = None
        running.advance(301)
        await ask(running, raw)
        assert checks.trusted


async def test_what_broke_trust_may_be_gone(tmp_path: Path) -> None:
    """Where what broke trust isn't computed any more, a long series tells."""
    async with series_world(tmp_path, series__shadow_s=60) as (running, upstream):
        upstream.put(row("loss", step) for step in range(90))
        upstream.instead = no_last_row(upstream)
        await ask(running, "logName=loss&limit=10")
        checks = running.parts.proof.checks
        assert not checks.trusted

        upstream.instead = None
        upstream.put([row("loss", 0, group="g1"), *(row("long", step) for step in range(LONG))])
        for _ in range(2):
            assert not checks.trusted
            running.advance(301)
            await ask(running, "logName=long&limit=10")
        assert checks.trusted


async def test_trust_comes_back_by_a_series_that_grows(tmp_path: Path) -> None:
    """Rows that come with each answer don't hide that the rule holds again."""
    async with series_world(tmp_path, series__shadow_s=60) as (running, upstream):
        upstream.put(row("loss", step) for step in range(90))
        upstream.instead = no_last_row(upstream)
        await ask(running, "logName=loss&limit=10")
        checks = running.parts.proof.checks
        assert not checks.trusted

        def growing(query: Any) -> bytes:
            upstream.put([row("loss", len(upstream.rows))])
            return upstream.answer(query)

        upstream.instead = growing
        running.advance(301)
        await ask(running, "logName=loss&limit=10")
        assert checks.trusted


async def test_trust_lost_while_an_answer_is_computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is computed any more, not even what was begun before."""
    async with series_world(tmp_path) as (running, upstream):
        upstream.put(row("loss", step) for step in range(900))

        def losing(body: bytes, question: MetricsQuery, **further: Any) -> Work[Extents]:
            running.parts.shelves.close()
            return splitting(body, question, **further)

        monkeypatch.setattr(splitter, "splitting", losing)
        await right(running, upstream, "logName=loss&limit=10")
        assert upstream.asked[-1] == target("logName=loss&limit=10")
        assert running.parts.series.computer.computed == 0


async def test_trust_does_not_come_back_for_nothing(tmp_path: Path) -> None:
    """That a run which broke trust has no rows any more proves nothing."""
    async with series_world(tmp_path, series__shadow_s=60) as (running, upstream):
        upstream.put(row("loss", step) for step in range(90))
        upstream.instead = no_last_row(upstream)
        await ask(running, "logName=loss&limit=10")
        upstream.rows.clear()
        for _ in range(3):
            running.advance(301)
            await ask(running, "logName=loss&limit=10")
            assert not running.parts.proof.checks.trusted


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
            running.parts.proof.checks._judge(False, check="canary")
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
