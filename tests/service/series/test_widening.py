"""A question is asked wider than it came, so that its answer serves other panels too; what fails is asked as it came."""

from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from aiohttp import web

from proxy.core.series import metrics_query
from proxy.core.series.answers import split
from proxy.core.series.extents import Extents
from proxy.core.series.metrics_query import MetricsQuery
from proxy.service.series.interest import Interest
from proxy.service.series.widening_policy import WideningPolicy
from tests.support.live_runs import PANEL, WHOLE, WIDE, begin, import_run, live, unlooked
from tests.support.oracle import OracleRow, permitted
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
from tests.support.settings import settings
from tests.support.world import ManualClock, World


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
        plain = upstream.answer_details

        def failing(_: int) -> object:
            raise web.HTTPInternalServerError

        upstream.answer_details = failing  # type: ignore[method-assign, assignment]  # broken from now on
        for _ in range(5):
            for name in "ab":
                await right(running, upstream, f"logName={name}")
            running.advance(11)
        assert len(upstream.asked) - upstream.metrics_calls == 1
        assert upstream.metrics_calls == 10
        upstream.answer_details = plain  # type: ignore[method-assign]  # as it was
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


async def test_windows_that_are_too_long_are_not_tried_each(tmp_path: Path) -> None:
    """A window that slides along a long series costs one call a place, not two; the first is tried, with a probe."""
    with patch.object(metrics_query, "MAX_LIMIT", 20):
        async with series_world(tmp_path, series__max_rows=30) as (running, upstream):
            upstream.put(row("loss", step) for step in range(100))
            for first in range(1, 11):
                await right(running, upstream, f"logName=loss&limit=5&stepMin={first}&stepMax={first + 30}")
            assert upstream.metrics_calls == 13
            await right(running, upstream, "logName=loss&limit=5&stepMin=3&stepMax=9")
            assert upstream.metrics_calls == 14
            await right(running, upstream, "logName=loss&limit=4&stepMin=3&stepMax=9")
            assert upstream.metrics_calls == 14


def test_what_is_watched_is_bounded() -> None:
    """A client that asks for a million names of a run leaves some behind, for a minute."""
    clock = ManualClock()
    interest = Interest(clock)
    policy = WideningPolicy(interest, settings(series__max_fetch_rows=1000), clock)
    questions = [
        MetricsQuery(run="1", project="p", name=str(number), group=None, limit=5, first=0, last=None) for number in range(1000)
    ]
    for question in questions:
        interest.note(question)
    assert len(interest.watched(questions[0])) == 200
    assert policy.needs_size(questions[0])
    clock.advance(61)
    interest.note(questions[0])
    assert interest.watched(questions[0]) == [("0", None)]


@pytest.mark.parametrize("enabled", ["true", "false"])
@pytest.mark.parametrize(
    ("raws", "extra"),
    [
        (["logName=loss&limit=5"], 1),  # too long: tried in full once an hour
        (["logName=loss&limit=5&stepMin=3&stepMax=60"], 3),  # the window, too, with a probe
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


async def test_a_wide_answer_that_can_only_be_had_as_it_came_is_kept(tmp_path: Path) -> None:
    """One of its series is too long: nothing else would answer the wide question itself."""
    async with live(tmp_path) as (running, upstream):
        begin(upstream, "a", "b")
        upstream.log("long", range(10_500), ago_s=3600)
        for raw in ("logName=a&limit=9", "logName=b&limit=9"):
            await right(running, upstream, raw)
        assert upstream.asked[-1] == WHOLE
        upstream.asked.clear()
        assert (await running.get(WHOLE)).is_hit
        assert upstream.asked == []


async def test_what_came_meanwhile_lives_as_long_as_its_run_says_by_then(tmp_path: Path) -> None:
    """A question that was long on its way needs no call where others have learned that its run has ended."""
    async with live(tmp_path) as (running, upstream):
        begin(upstream)
        import_run(upstream)
        upstream.written_s = upstream.status_since_s
        asked = unlooked(running, "loss")
        await right(running, upstream, PANEL)
        running.advance(6)
        await right(running, upstream, PANEL)
        running.advance(6)
        upstream.asked.clear()
        assert not (await running.parts.series.asker.obtain(asked)).fetched.called
        assert upstream.asked == []


def told(rows: list[OracleRow], question: MetricsQuery) -> Extents:
    """Return what an answer with these rows tells."""
    return split(next(permitted(rows, asked_of(question.query.values))), question, sent_at_s=0)


def test_a_run_like_the_last_ones() -> None:
    """Nobody asks how many series a run has if three others of its project were small; one after a large one is asked about."""
    clock = ManualClock()
    interest = Interest(clock)
    policy = WideningPolicy(interest, settings(series__max_fetch_rows=100), clock)

    def is_asked(run: str, project: str = "p") -> bool:
        first = MetricsQuery(run=run, project=project, name="a", group=None, limit=9, first=0, last=None)
        second = replace(first, name="b")
        interest.note(first)
        interest.note(second)
        assert (policy.choose(second) == second.whole_run) != policy.needs_size(second)
        return policy.needs_size(second)

    def learn(run: str, rows: int) -> None:
        whole = MetricsQuery(run=run, project="p", name=None, group=None, limit=10_000, first=0, last=None)
        policy.note_rows(told([row("a", step) for step in range(rows)], whole))

    for run in "123":
        assert is_asked(run)
        learn(run, 40)
        learn(run, 50)
    assert not is_asked("4")
    assert is_asked("4", "another")
    learn("4", 51)
    assert is_asked("5")


def test_one_long_series_makes_no_large_run() -> None:
    """The rows of a run are those that came, and those of its other series are taken to be as many as of these."""
    clock = ManualClock()
    interest = Interest(clock)
    policy = WideningPolicy(interest, settings(series__max_fetch_rows=12_000), clock)
    names = [MetricsQuery(run="1", project="p", name=name, group=None, limit=10_000, first=0, last=None) for name in "abcd"]
    for question in names:
        interest.note(question)
    policy.note_size(names[0], 4)
    for question, rows in zip(names, (8_000, 10, 20, 5_000), strict=True):
        assert policy.choose(names[3]) == names[3].whole_run
        policy.note_rows(told([row(question.name or "", step) for step in range(rows)], question))
    assert policy.choose(names[3]) == names[3].in_full
