"""Refreshes that begin before anybody asks: when they do, and for whom they don't."""

import asyncio
from collections.abc import Callable
from typing import cast

import pytest

from proxy.core.freshness.entry import Entry, digest_of
from proxy.core.freshness.verdict import Lifetimes
from proxy.core.series.metrics_query import MetricsQuery
from proxy.service.fetching.need import Need
from proxy.service.fetching.tenancy import Tenant
from proxy.service.series.ahead import Ahead
from proxy.service.series.runs import Runs
from proxy.service.series.widening import Asked
from proxy.service.status.lifetimes import RunLifetimes
from tests.support.world import ManualClock

# 40 ms after it was asked for an answer is refreshed: 0.6 of the time in which it is handed out stale have passed.
LIFETIMES = Lifetimes(fresh_s=0.01, stale_while_revalidate_s=0.05, stale_if_error_s=1, negative_s=1)
DUE_S, LATE_S = 0.04, 0.1
LOSS = MetricsQuery(run="1", project="p", name="loss", group=None, limit=10_000, first=0, last=None)


class Planner:
    """An Ahead with what it needs; `begun` tells the answers that it had refreshed."""

    def __init__(self, lifetimes: Lifetimes = LIFETIMES, *, live: bool = True) -> None:
        self.clock = ManualClock()
        self.runs = Runs(self.clock, max_rows=1)
        self.begun: list[float] = []
        self._lifetimes = lifetimes
        self._live = live
        self.ahead = Ahead(
            self.runs, cast("RunLifetimes", self), self.clock, lambda _, entry: self.begun.append(entry.sent_at_s)
        )

    def of(self, *_: object) -> Lifetimes:
        """See RunLifetimes."""
        return self._lifetimes

    def is_live(self, *_: object) -> bool:
        """See RunLifetimes."""
        return self._live

    def plan(self, sent_at_s: float | None = None) -> None:
        """Tell of a refresh of loss that brought an answer which was asked for at some time, now by default."""
        need = Need(not_before_s=0, persist=True, landings=0)
        asked = Asked(tenant=Tenant("key", "n"), query=LOSS.query, metrics=LOSS, need=need, whole=False, patience_s=0)
        sent_at_s = self.clock.now_s() if sent_at_s is None else sent_at_s
        self.ahead.plan(asked, Entry(body=b"", sent_at_s=sent_at_s, digest=digest_of(b"")))


async def test_what_is_watched_is_refreshed_before_it_is_too_old() -> None:
    """Once for each refresh of before, however many questions of the run came with that."""
    planner = Planner()
    planner.runs.watch(LOSS)
    sent_at_s = planner.clock.now_s()
    for _ in range(3):
        planner.plan()
    await asyncio.sleep(DUE_S / 2)
    assert planner.begun == []
    await asyncio.sleep(LATE_S)
    assert planner.begun == [sent_at_s]


async def test_a_newer_answer_moves_it() -> None:
    """What was refreshed by somebody else isn't due any more; an older answer that comes later changes nothing."""
    planner = Planner()
    planner.runs.watch(LOSS)
    sent_at_s = planner.clock.now_s()
    planner.plan()
    planner.plan(sent_at_s + 0.01)
    planner.plan(sent_at_s)
    await asyncio.sleep(LATE_S)
    assert planner.begun == [sent_at_s + 0.01]


@pytest.mark.parametrize(("since_s", "begun"), [(0.05, 1), (0.07, 0)])
async def test_who_has_left_is_not_refreshed_for(since_s: float, begun: int) -> None:
    """Nobody has looked for as long as answers are handed out."""
    planner = Planner()
    planner.runs.watch(LOSS)
    planner.plan()
    planner.clock.advance(since_s)
    await asyncio.sleep(LATE_S)
    assert len(planner.begun) == begun


@pytest.mark.parametrize(
    "planner",
    [
        lambda: Planner(live=False),
        lambda: Planner(Lifetimes(fresh_s=0.01, stale_while_revalidate_s=0, stale_if_error_s=1, negative_s=1)),
    ],
)
async def test_where_it_is_of_no_use(planner: Callable[[], Planner]) -> None:
    """A run that has ended lives longer anyway; without stale-while-revalidate every refresh is waited for."""
    planned = planner()
    planned.runs.watch(LOSS)
    planned.plan()
    await asyncio.sleep(LATE_S)
    assert planned.begun == []


async def test_nothing_begins_after_the_end() -> None:
    """What was planned is given up."""
    planner = Planner()
    planner.runs.watch(LOSS)
    planner.plan()
    planner.ahead.close()
    await asyncio.sleep(LATE_S)
    assert planner.begun == []
