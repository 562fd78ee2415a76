"""Canary and shadow: an upstream that no longer answers by the rule is noticed, and nothing is computed for as long."""

import asyncio
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from proxy.core.series import growth
from proxy.service.knowledge import learner
from tests.support.broken_rules import LONG, ask, no_last_row, printed, rows_in
from tests.support.oracle import permitted
from tests.support.oracle_upstream import REFUSAL, OracleUpstream, asked_of, row, series_world, target


def capped(upstream: OracleUpstream) -> Callable[[Any], bytes]:
    """No more than 1,200 rows in an answer, the first ones."""
    return lambda query: printed(rows_in(next(permitted(upstream.rows.values(), asked_of(query))))[:1200])


def other_stride(upstream: OracleUpstream) -> Callable[[Any], bytes]:
    """What is sampled begins at the second row."""

    def answer(query: Any) -> bytes:
        asked = asked_of(query)
        rows = rows_in(next(permitted(upstream.rows.values(), asked)))
        return printed(rows[1:] if len(rows) > 1 and len(rows) <= asked.limit // 2 + 1 else rows)

    return answer


async def test_the_canary_passes(tmp_path: Path) -> None:
    """A long series is checked once it is there, four calls more, and ten minutes later again."""
    async with series_world(tmp_path) as (running, upstream):
        upstream.put(row("loss", step, value=step / 7) for step in range(LONG))
        await ask(running, "logName=loss&limit=10")
        checks = running.parts.proof.checks
        assert (checks.trusted, checks.passed, checks.failed) == (True, 1, 0)
        assert len(upstream.asked) == 5
        for seconds, passed in ((500, 1), (200, 2)):
            running.advance(seconds)
            await ask(running, "logName=loss&limit=10")
            assert checks.passed == passed


async def test_short_series_are_no_canaries(tmp_path: Path) -> None:
    """A series that could be whole by any bound proves nothing, and costs no calls."""
    async with series_world(tmp_path) as (running, upstream):
        upstream.put(row("loss", step) for step in range(1000))
        await ask(running, "logName=loss&limit=10")
        assert len(upstream.asked) == 1


@pytest.mark.parametrize("broken", [capped, other_stride, no_last_row])
async def test_a_changed_rule(tmp_path: Path, broken: Callable[[OracleUpstream], Callable[[Any], bytes]]) -> None:
    """It is told, what was computed is forgotten, every question is asked as it comes, until the canary passes again."""
    async with series_world(tmp_path) as (running, upstream):
        upstream.put(row("loss", step, value=step / 7) for step in range(LONG))
        upstream.instead = broken(upstream)
        await ask(running, "logName=loss&limit=10")
        assert not running.parts.proof.checks.trusted
        assert "another rule" in (await running.get("/readyz")).body.decode()
        assert "pluto_proxy_series_trusted 0.0" in (await running.get("/metrics")).body.decode()
        for limit in (10, 11):
            await ask(running, f"logName=loss&limit={limit}")
            assert upstream.asked[-1] == target(f"logName=loss&limit={limit}")
        upstream.instead = None
        running.advance(301)
        await ask(running, "logName=loss&limit=12")
        assert running.parts.proof.checks.trusted
        await ask(running, "logName=loss&limit=13")
        calls = len(upstream.asked)
        await ask(running, "logName=loss&limit=14")
        assert len(upstream.asked) == calls


async def test_rows_that_come_meanwhile_are_no_breach(tmp_path: Path) -> None:
    """A series that grows between the canary's questions says nothing about the rule; it is asked again later."""
    async with series_world(tmp_path) as (running, upstream):
        upstream.put(row("loss", step) for step in range(LONG))
        plain = upstream.answer

        def growing(query: Any) -> bytes:
            upstream.put([row("loss", len(upstream.rows))])
            return plain(query)

        upstream.instead = growing
        await ask(running, "logName=loss&limit=10")
        checks = running.parts.proof.checks
        assert (checks.trusted, checks.passed, checks.failed) == (True, 0, 0)
        tried = upstream.asked.count(target("logName=loss&limit=10000"))
        for _ in range(12):  # an hour
            running.advance(301)
            await ask(running, "logName=loss&limit=10")
        # Each try asks for all of it once more, besides the refreshes: after 5 minutes, and then every 10.
        assert upstream.asked.count(target("logName=loss&limit=10000")) - tried == 12 + 6
        upstream.instead = None
        running.advance(2401)
        await ask(running, "logName=loss&limit=10")
        assert checks.passed == 1


async def test_the_shadow(tmp_path: Path) -> None:
    """A computed answer that the upstream itself gives otherwise, twice, breaks trust; one that changed meanwhile doesn't."""
    async with series_world(tmp_path, series__shadow_s=60) as (running, upstream):
        upstream.put(row("loss", step, value=step) for step in range(90))
        await ask(running, "logName=loss&limit=10")
        checks = running.parts.proof.checks
        assert (checks.passed, checks.failed) == (1, 0)
        running.advance(1)
        await ask(running, "logName=loss&limit=11")
        assert checks.passed == 1
        upstream.put([row("loss", 3, value=5)])
        running.advance(60)
        await ask(running, "logName=loss&limit=12")
        assert (checks.trusted, checks.passed, checks.failed) == (True, 2, 0)
        upstream.instead = no_last_row(upstream)
        running.advance(61)
        await ask(running, "logName=loss&limit=14")
        assert not checks.trusted
        upstream.failing = True
        running.advance(301)
        await asyncio.gather(*(running.get(target(f"logName=loss&limit={limit}")) for limit in (20, 21)))
        await checks.settled()
        assert not checks.trusted


@pytest.mark.parametrize("within", [False, True], ids=["before it is kept", "while it is put together"])
async def test_distrust_while_an_answer_is_taken_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, within: bool) -> None:
    """What was asked for before the rule was found broken isn't computed from, however far it had come, once it holds again."""
    async with series_world(tmp_path) as (running, upstream):
        upstream.put(row("loss", step) for step in range(LONG))
        checks, splitter = running.parts.proof.checks, running.parts.proof.splitter
        await running.get(target("logName=loss&limit=10000"))
        await checks.settled()
        # Long enough for all of it to be asked for again, by nobody else.
        checks._next_canary_s = math.inf
        running.advance(20_000)
        upstream.instead = capped(upstream)
        keeping_settled, taken_apart = growth.keeping_settled, splitter.take_apart

        def break_the_rule() -> None:
            checks._judge(False, check="canary")
            upstream.instead = None

        def broken_within(*args: Any, **more: Any) -> Any:
            yield None
            break_the_rule()
            yield None
            return (yield from keeping_settled(*args, **more))

        async def broken_before(*args: Any) -> Any:
            extents = await taken_apart(*args)
            break_the_rule()
            return extents

        with monkeypatch.context() as broken:
            if within:
                broken.setattr(learner, "keeping_settled", broken_within)
            else:
                broken.setattr(splitter, "take_apart", broken_before)
            assert (await running.get(target("logName=loss&limit=10000"))).status == 200
        assert not checks.trusted
        assert not running.parts.shelves.size_bytes
        running.advance(1)
        checks._judge(True, check="canary")
        said = await running.get(target("logName=loss&stepMin=1000&limit=10000"))
        assert len(rows_in(said.body)) == LONG - 1000


async def test_a_comparison_behind_the_end_of_a_series(tmp_path: Path) -> None:
    """A question that begins behind the last step of one of its series is compared as it came, not with an empty window."""
    async with series_world(tmp_path, series__shadow_s=60) as (running, upstream):
        upstream.put([*(row("a", step) for step in range(10)), *(row("b", step) for step in range(100))])
        await ask(running, "limit=9&stepMin=50")
        assert upstream.asked[-1] == target("limit=9&stepMin=50")
        assert running.parts.proof.checks.passed == 1


async def test_the_canary_is_a_series_that_can_be_one(tmp_path: Path) -> None:
    """The longest series of a run may be too long to prove anything; the longest that is complete is asked for."""
    async with series_world(tmp_path) as (running, upstream):
        upstream.put(row("loss", step) for step in range(LONG))
        upstream.put(row("too/long", step) for step in range(5_001))
        await ask(running, "logName=none")
        await ask(running, "logName=loss")
        checks = running.parts.proof.checks
        assert (checks.trusted, checks.passed) == (True, 1)


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
        checks = running.parts.proof.checks
        assert (checks.trusted, checks.passed, checks.failed) == (True, 0, 0)
