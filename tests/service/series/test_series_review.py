"""What a review of the series engine tried to break: what is asked in vain, checks that never end, answers in wrong places."""

import asyncio
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from aiohttp import web

from proxy.config import KeySource
from proxy.core.budget import Priority
from proxy.core.pieces import Work
from proxy.core.series import metrics_query
from proxy.core.series.answers import splitting
from proxy.core.series.extents import Extents
from proxy.core.series.metrics_query import MetricsQuery
from proxy.service.series import series
from proxy.service.series.runs import Runs
from tests.support.broken_rules import LONG, ask, no_last_row, printed, rows_in
from tests.support.oracle import Asked, permitted
from tests.support.oracle_upstream import (
    REFUSAL,
    HeldUpstream,
    OracleUpstream,
    asked_of,
    proxied,
    right,
    row,
    series_world,
    target,
)
from tests.support.world import ManualClock, World, until

WIDE = target("logName=loss&limit=10000")
WHOLE = target("limit=10000")


async def polled(running: World, upstream: OracleUpstream, raws: list[str], *, times: int, every_s: float = 11) -> int:
    """Ask some questions again and again; return how many metric queries the upstream was asked."""
    calls = upstream.metrics_calls
    for _ in range(times):
        for raw in raws:
            await right(running, upstream, raw)
        running.advance(every_s)
    return upstream.metrics_calls - calls


async def test_a_wide_question_that_is_refused(tmp_path: Path) -> None:
    """What the upstream says to the wide question (here: too many rows) is no answer to the one that was asked."""
    async with series_world(tmp_path) as (running, upstream):
        upstream.put(row("loss", step) for step in range(50))

        def refusing(query: Any) -> bytes:
            if query["limit"] == "10000":
                raise web.HTTPBadRequest(text=REFUSAL, content_type="application/json")
            return upstream.answer(query)

        upstream.instead = refusing
        await right(running, upstream, "logName=loss&limit=10")
        await right(running, upstream, "logName=loss&limit=11")
        assert upstream.asked == [WIDE, target("logName=loss&limit=10"), target("logName=loss&limit=11")]
        assert (await running.get(target("logName=loss&limit=10000"))).status == 400


async def test_a_refresh_that_is_refused(tmp_path: Path) -> None:
    """A refresh that the upstream refuses to answer wide is made as it was asked, and lands within the stale window."""
    async with series_world(tmp_path) as (running, upstream):
        upstream.put(row("loss", step) for step in range(50))
        await right(running, upstream, "logName=loss&limit=10")

        def refusing(query: Any) -> bytes:
            if query["limit"] == "10000":
                raise web.HTTPBadRequest(text=REFUSAL, content_type="application/json")
            return upstream.answer(query)

        upstream.instead = refusing
        running.advance(6)
        for _ in range(5):
            await right(running, upstream, "logName=loss&limit=10")
            await running.settled()
        assert upstream.asked[1:] == [WIDE, target("logName=loss&limit=10")]


async def test_a_key_that_changes_on_the_way(tmp_path: Path) -> None:
    """What is computed from an answer belongs to the key that it was fetched with, whoever began to ask for it."""
    path = tmp_path / "key"
    path.write_text("mlpi_A")
    upstream = HeldUpstream(clock=ManualClock(), holds=lambda path: "runId=2" in path)
    upstream.put(row("loss", step) for step in range(50))
    settings = {"key": KeySource(path=path), "upstream__max_concurrency": 1}
    async with upstream.serve() as url, proxied(tmp_path, upstream, url, **settings) as running:
        first = asyncio.create_task(running.get(target("x").replace("runId=1", "runId=2")))
        await until(upstream.arrived)
        second = asyncio.create_task(running.get(target("logName=loss&limit=10")))
        line = running.parts.upstream.turnstile.budget.line
        while not line.waiting(Priority.PERSON):  # noqa: ASYNC110 -- no event tells it
            await asyncio.sleep(0)
        path.write_text("mlpi_now_B")
        upstream.gate.set()
        await asyncio.gather(first, second)
        path.write_text("mlpi_A")
        await right(running, upstream, "logName=loss&limit=10")


async def test_an_answer_cut_off_in_full_only(tmp_path: Path) -> None:
    """The shadow looks at the very question that was computed from; what is not cut off can win trust back."""
    async with series_world(tmp_path, series__shadow_s=60) as (running, upstream):
        upstream.put(row(name, step) for name in "abcd" for step in range(300))

        def capped(query: Any) -> bytes:
            rows = rows_in(next(permitted(upstream.rows.values(), asked_of(query))))
            return printed(rows if "logName" in query else rows[:700])

        upstream.instead = capped
        checks = running.parts.series.checks
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


async def test_the_canary_is_a_series_that_can_be_one(tmp_path: Path) -> None:
    """The longest series of a run may be too long to prove anything; the longest that is complete is asked for."""
    async with series_world(tmp_path) as (running, upstream):
        upstream.put(row("loss", step) for step in range(LONG))
        upstream.put(row("too/long", step) for step in range(5_001))
        await ask(running, "logName=none")
        await ask(running, "logName=loss")
        checks = running.parts.series.checks
        assert (checks.trusted, checks.passed) == (True, 1)


async def test_trust_comes_back_though_the_canary_outgrew_its_cage(tmp_path: Path) -> None:
    """Where the series that broke trust can tell nothing any more, another one that is asked for does."""
    async with series_world(tmp_path) as (running, upstream):
        upstream.put(row("loss", step, value=step / 7) for step in range(LONG))
        upstream.instead = no_last_row(upstream)
        await ask(running, "logName=loss&limit=10")
        checks = running.parts.series.checks
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
        checks = running.parts.series.checks
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
        checks = running.parts.series.checks
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
        checks = running.parts.series.checks
        assert not checks.trusted

        def growing(query: Any) -> bytes:
            upstream.put([row("loss", len(upstream.rows))])
            return upstream.answer(query)

        upstream.instead = growing
        running.advance(301)
        await ask(running, "logName=loss&limit=10")
        assert checks.trusted


async def test_a_check_that_is_refused(tmp_path: Path) -> None:
    """The upstream's own 4xx to a check says nothing about its rule."""
    async with series_world(tmp_path) as (running, upstream):
        upstream.put(row("loss", step) for step in range(LONG))
        seen = 0

        def refusing(query: Any) -> bytes:
            nonlocal seen
            seen += 1
            if seen > 1:
                raise web.HTTPBadRequest(text=REFUSAL, content_type="application/json")
            return upstream.answer(query)

        upstream.instead = refusing
        await ask(running, "logName=loss&limit=10")
        checks = running.parts.series.checks
        assert (checks.trusted, checks.passed, checks.failed) == (True, 0, 0)


async def test_trust_lost_while_an_answer_is_computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is computed any more, not even what was begun before."""
    async with series_world(tmp_path) as (running, upstream):
        upstream.put(row("loss", step) for step in range(900))
        checks = running.parts.series.checks

        def losing(body: bytes, question: MetricsQuery, **further: Any) -> Work[Extents]:
            checks.trusted = False
            return splitting(body, question, **further)

        monkeypatch.setattr(series, "splitting", losing)
        await right(running, upstream, "logName=loss&limit=10")
        assert upstream.asked[-1] == target("logName=loss&limit=10")
        assert running.parts.series.computed == 0


async def test_a_refresh_in_the_background_that_is_too_large(tmp_path: Path) -> None:
    """A series that has outgrown the bound is given up once, then refreshed as it is asked for."""
    async with series_world(tmp_path, series__max_fetch_bytes=20_000) as (running, upstream):
        upstream.put(row("loss", step) for step in range(100))
        await right(running, upstream, "logName=loss&limit=10")
        upstream.put(row("loss", step) for step in range(100, 400))
        running.advance(6)
        for _ in range(5):
            await running.get(target("logName=loss&limit=10"))
            await running.settled()
        assert upstream.asked == [WIDE, WIDE, target("logName=loss&limit=10")]
        assert (await right(running, upstream, "logName=loss&limit=10")).headers["Age"] == "0"


async def test_a_refresh_in_the_background_that_proves_nothing(tmp_path: Path) -> None:
    """A series that has become too long to be complete is noticed when its refresh has landed."""
    with patch.object(metrics_query, "MAX_LIMIT", 20):
        async with series_world(tmp_path) as (running, upstream):
            upstream.put(row("loss", step) for step in range(10))
            await right(running, upstream, "logName=loss&limit=5")
            upstream.put(row("loss", step) for step in range(10, 15))
            running.advance(6)
            for _ in range(5):
                await running.get(target("logName=loss&limit=5"))
                await running.settled()
            assert len(upstream.asked) == 3
            assert (await right(running, upstream, "logName=loss&limit=5")).headers["Age"] == "0"


async def test_a_whole_run_that_is_too_large_is_given_up_once(tmp_path: Path) -> None:
    """Not once for every metric of it."""
    async with series_world(tmp_path, series__max_fetch_bytes=20_000) as (running, upstream):
        upstream.put(row(f"m{number}", step) for number in range(8) for step in range(100))
        for number in range(8):
            await right(running, upstream, f"logName=m{number}")
        assert upstream.asked.count(WHOLE) == 1


async def test_details_that_fail_are_not_asked_for_every_question(tmp_path: Path) -> None:
    """How large a run is is asked once a minute at most where nobody can say it."""
    async with series_world(tmp_path) as (running, upstream):
        upstream.put(row(name, step) for name in "ab" for step in range(9))
        upstream.names_listed = 0
        plain = upstream._details

        def failing(_: int) -> object:
            raise web.HTTPInternalServerError

        upstream._details = failing  # type: ignore[method-assign, assignment]  # broken from now on
        for _ in range(5):
            for name in "ab":
                await right(running, upstream, f"logName={name}")
            running.advance(11)
        assert len(upstream.asked) - upstream.metrics_calls == 1
        assert upstream.metrics_calls == 10
        upstream._details = plain  # type: ignore[method-assign]  # as it was
        running.advance(60)
        for name in "ab":
            await right(running, upstream, f"logName={name}")
        assert len(upstream.asked) - upstream.metrics_calls == 2


async def test_details_that_hang_hold_up_nothing_for_long(tmp_path: Path) -> None:
    """A panel is refreshed though the size of its run is never told."""
    upstream = HeldUpstream(clock=ManualClock(), holds=lambda path: "/details/" in path)
    upstream.put(row(name, step) for name in "ab" for step in range(9))
    settings = {"freshness__stale_wait_s": 0.4, "freshness__stale_while_revalidate_s": 0}
    async with upstream.serve() as url, proxied(tmp_path, upstream, url, **settings) as running:
        await right(running, upstream, "logName=a")
        await right(running, upstream, "logName=b")
        upstream.put([row("a", 100)])
        running.advance(6)
        assert (await right(running, upstream, "logName=a")).headers["Age"] == "0"
        upstream.gate.set()


async def test_all_calls_of_a_question_share_its_deadline(tmp_path: Path) -> None:
    """What was given up for its size has used up the time: nobody waits for twice upstream.deadline_s."""
    async with series_world(tmp_path, series__max_fetch_bytes=1000) as (running, upstream):
        upstream.put(row("loss", step) for step in range(300))

        def slow(query: Any) -> bytes:
            running.clock.advance(26)
            return upstream.answer(query)

        upstream.instead = slow
        assert (await running.get(target("logName=loss&limit=3"))).status == 503


async def test_a_wide_answer_is_taken_apart_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many panels wait for it."""
    async with series_world(tmp_path) as (running, upstream):
        upstream.put(row("loss", step) for step in range(900))
        taken = 0

        def counted(body: bytes, question: MetricsQuery, **further: Any) -> Work[Extents]:
            nonlocal taken
            taken += 1
            return splitting(body, question, **further)

        monkeypatch.setattr(series, "splitting", counted)
        await asyncio.gather(*(right(running, upstream, f"logName=loss&limit={limit}") for limit in range(100, 110)))
        assert upstream.asked == [WIDE]
        assert taken == 1


async def test_windows_that_are_too_long_are_not_tried_each(tmp_path: Path) -> None:
    """A window that slides along a long series costs one call a place, not two."""
    with patch.object(metrics_query, "MAX_LIMIT", 20):
        async with series_world(tmp_path, series__max_fetch_rows=30) as (running, upstream):
            upstream.put(row("loss", step) for step in range(100))
            for first in range(1, 11):
                await right(running, upstream, f"logName=loss&limit=5&stepMin={first}&stepMax={first + 30}")
            assert upstream.metrics_calls == 12
            await right(running, upstream, "logName=loss&limit=5&stepMin=3&stepMax=9")
            assert upstream.metrics_calls == 13
            await right(running, upstream, "logName=loss&limit=4&stepMin=3&stepMax=9")
            assert upstream.metrics_calls == 13


async def test_what_is_too_old_is_not_computed_with(tmp_path: Path) -> None:
    """What no client may get isn't taken apart, and nothing made of it takes room."""
    async with series_world(tmp_path) as (running, upstream):
        upstream.put(row("loss", step) for step in range(50))
        await right(running, upstream, "logName=loss&limit=10")
        running.advance(7200)
        upstream.failing = True
        assert (await running.get(target("logName=loss&limit=11"))).status == 502
        assert running.parts.series.computed == 1


@pytest.mark.parametrize("step", [-1, -(10**22)])
async def test_steps_below_zero_pass(tmp_path: Path, step: int) -> None:
    """Steps that the upstream's type doesn't have are passed on, and nothing is computed with them."""
    async with series_world(tmp_path) as (running, upstream):
        upstream.put([row("loss", step)])
        upstream.instead = lambda _: next(permitted(upstream.rows.values(), Asked(first=step)))
        assert (await running.get(target("logName=loss&limit=3"))).status == 200
        assert upstream.asked[-1] == target("logName=loss&limit=3")


@pytest.mark.parametrize(("name", "group"), [("\ufffd", ""), ("a", "\ufffd")])
async def test_unreadable_names_are_not_computed_with(tmp_path: Path, name: str, group: str) -> None:
    """Names and groups of other bytes than UTF-8 are all printed alike: what looks like one may be two."""
    async with series_world(tmp_path) as (running, upstream):
        upstream.put([row(name, 1, group=group), row("b", 2)])
        for limit in (3, 4):
            await right(running, upstream, f"limit={limit}")
            assert upstream.asked[-1] == target(f"limit={limit}")


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
            assert not running.parts.series.checks.trusted


def test_what_is_watched_is_bounded() -> None:
    """A client that asks for a million names of a run leaves some behind, for a minute."""
    clock = ManualClock()
    runs = Runs(clock, max_rows=1000)
    questions = [
        MetricsQuery(run="1", project="p", name=str(number), group=None, limit=5, first=0, last=None) for number in range(1000)
    ]
    for question in questions:
        runs.watch(question)
    assert len(runs.run(questions[0]).watched) == 200 == len(runs.watched(questions[0]))
    assert runs.needs_size(questions[0])
    clock.advance(61)
    runs.watch(questions[0])
    assert runs.watched(questions[0]) == [("0", None)]


@pytest.mark.parametrize("enabled", ["true", "false"])
@pytest.mark.parametrize(
    ("raws", "extra"),
    [
        (["logName=loss&limit=5"], 1),  # too long: tried in full once an hour
        (["logName=loss&limit=5&stepMin=3&stepMax=60"], 2),
        (["logName=loss&logGroup=g&limit=5"], 1),
        (["logName=none"], 0),
        (["logName=short&limit=3", "logName=none"], 0),
        (["limit=3"], 1),
    ],
)
async def test_pollers_cost_no_more_than_without(tmp_path: Path, raws: list[str], extra: int, enabled: str) -> None:
    """Over many lifetimes the same questions cost as many calls as without the engine, and what was tried in vain."""
    with patch.object(metrics_query, "MAX_LIMIT", 20):
        async with series_world(tmp_path, series__enabled=enabled, freshness__stale_wait_s=30) as (running, upstream):
            upstream.put(row("loss", step, group="g") for step in range(100))
            upstream.put(row("short", step) for step in range(5))
            assert await polled(running, upstream, raws, times=30) <= 30 * len(raws) + (extra if enabled == "true" else 0)


@pytest.mark.parametrize(
    "settings", [{"cache__memory_bytes": 0}, {"series__memory_bytes": 0}, {"cache__memory_bytes": 0, "series__memory_bytes": 0}]
)
async def test_without_memory(tmp_path: Path, settings: dict[str, int]) -> None:
    """Older answers on disk never take the place of newer wide ones."""
    async with series_world(tmp_path, freshness__stale_while_revalidate_s=0, **settings) as (running, upstream):
        for step in range(0, 50, 5):
            upstream.put(row("loss", step + more) for more in range(5))
            for raw in ("logName=loss&limit=10000", "logName=loss&limit=4", "logName=loss&limit=4&stepMin=3"):
                await right(running, upstream, raw)
                await running.flushed()
            running.advance(6)
        assert upstream.metrics_calls == 10
