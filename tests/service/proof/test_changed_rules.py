"""A changed rule is noticed within a minute, also by series that never stand still or are too long for one answer."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from proxy.core.proof.limits import Limits
from proxy.core.series import metrics_query
from tests.support.broken_rules import printed, rows_in
from tests.support.oracle import permitted
from tests.support.oracle_upstream import OracleUpstream, asked_of, moment, row, series_world, target
from tests.support.world import World

Rule = Callable[[OracleUpstream], Callable[[Any], bytes]]
NOTICED_S = 60


def sampling(chosen: Callable[[int, int], list[int]]) -> Rule:
    """Let the upstream send, of so many rows at a limit, others than it should."""

    def rule(upstream: OracleUpstream) -> Callable[[Any], bytes]:
        def answer(query: Any) -> bytes:
            asked = asked_of(query)
            rows = rows_in(next(permitted(upstream.rows.values(), replace(asked, limit=10**6))))
            return printed(rows if len(rows) <= asked.limit else [rows[place] for place in chosen(len(rows), asked.limit)])

        return answer

    return rule


second_row = sampling(lambda rows, limit: [*range(1, rows - 1, -(-rows // limit)), rows - 1])
no_last_row = sampling(lambda rows, limit: list(range(0, rows - 1, -(-rows // limit))))
the_first = sampling(lambda rows, limit: [*range(limit - 1), rows - 1])


def no_last_step(upstream: OracleUpstream) -> Callable[[Any], bytes]:
    """The end of a window no longer belongs to it."""

    def answer(query: Any) -> bytes:
        asked = asked_of(query)
        return next(permitted(upstream.rows.values(), replace(asked, last=None if asked.last is None else asked.last - 1)))

    return answer


def log(upstream: OracleUpstream) -> None:
    """Let a row come."""
    step = len(upstream.rows)
    upstream.rows["loss", "", step] = row("loss", step, value=step / 7, time=moment(1.8e9 + step))


def asked(number: int) -> str:
    """Return one of ten questions a second: sampled ones and windows."""
    first = number % 300
    return f"logName=loss&limit={20 + number % 13}" if number % 2 else f"logName=loss&stepMin={first}&stepMax={first + 30}"


async def ask(running: World, upstream: OracleUpstream, number: int, *, grows: bool) -> None:
    running.advance(0.1)
    if grows:
        upstream.meanwhile = [lambda: log(upstream)] * 20
    await running.get(target(asked(number)))
    await running.parts.proof.checks.settled()


@pytest.mark.parametrize("grows", [False, True], ids=["stands still", "grows with each answer"])
@pytest.mark.parametrize("after_s", [31, 45])
@pytest.mark.parametrize("rule", [second_row, no_last_row, the_first, no_last_step], ids=["second", "last", "first", "step"])
async def test_a_changed_rule_is_noticed_within_a_minute(tmp_path: Path, rule: Rule, after_s: int, grows: bool) -> None:
    """Whatever the rule is, and whenever it changes; after it holds again it is trusted again, though rows keep coming."""
    async with series_world(tmp_path, limits=Limits(), series__shadow_s=30) as (running, upstream):
        for _ in range(900):
            log(upstream)
        checks = running.parts.proof.checks
        for number in range(10 * after_s):
            await ask(running, upstream, number, grows=grows)
        assert checks.trusted
        assert checks.passed
        upstream.instead = rule(upstream)
        for number in range(10 * NOTICED_S):
            await ask(running, upstream, number, grows=grows)
            if not checks.trusted:
                break
        assert not checks.trusted
        upstream.instead = None
        running.advance(301)
        await ask(running, upstream, 1, grows=grows)
        assert checks.trusted


@pytest.mark.parametrize("rule", [second_row, no_last_row, the_first], ids=["second", "last", "first"])
async def test_a_changed_rule_is_noticed_by_a_long_series(tmp_path: Path, rule: Rule) -> None:
    """One that was put together is compared in a part of it, since it can't be asked for in one answer."""
    with patch.object(metrics_query, "MAX_LIMIT", 1_000):
        async with series_world(tmp_path, limits=Limits(), series__shadow_s=30) as (running, upstream):
            for _ in range(2_500):
                log(upstream)
            checks = running.parts.proof.checks
            for number in range(1, 600):
                await ask(running, upstream, number, grows=False)
                await running.settled()
            assert running.parts.series.loader.finished
            assert checks.trusted
            upstream.instead = rule(upstream)
            for number in range(10 * NOTICED_S):
                await ask(running, upstream, number, grows=False)
                if not checks.trusted:
                    break
            assert not checks.trusted
            upstream.instead = None
            running.advance(301)
            await ask(running, upstream, 1, grows=False)
            assert checks.trusted
