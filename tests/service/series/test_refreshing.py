"""Refreshes that begin before anybody asks: when they do, and for whom they don't."""

import asyncio
from collections.abc import Callable
from typing import cast

import pytest

from proxy.core.freshness.entry import Entry, digest_of
from proxy.core.freshness.verdict import Lifetimes, Verdict
from proxy.core.series.known_series import nothing_known
from proxy.core.series.metrics_query import MetricsQuery
from proxy.errors import UpstreamFailed
from proxy.service.fetching.fetcher import Fetcher
from proxy.service.fetching.need import Fetched, Need
from proxy.service.lifetimes.run_lifetimes import RunLifetimes
from proxy.service.series.asking import Asker
from proxy.service.series.interest import Interest
from proxy.service.series.refreshing import Refresher
from proxy.service.series.wanted import ObtainedAnswer, WantedSeries
from proxy.service.statuses import Statuses
from proxy.service.tenancy import Tenant
from tests.support.world import ManualClock

# 40 ms after it was asked for an answer is refreshed: 0.6 of the time in which it is handed out stale have passed.
LIFETIMES = Lifetimes(fresh_s=0.01, stale_while_revalidate_s=0.05, stale_if_error_s=1, negative_s=1)
DUE_S, LATE_S = 0.04, 0.1
LOSS = MetricsQuery(run="1", project="p", name="loss", group=None, limit=10_000, first=0, last=None)


def entry_of(sent_at_s: float) -> Entry:
    return Entry(body=b"", sent_at_s=sent_at_s, digest=digest_of(b""))


class Watching:
    """A Refresher of which everything else is played; `asked_s` tells of which answers a newer one was asked for."""

    landings = 0

    def __init__(
        self, lifetimes: Lifetimes = LIFETIMES, *, live: bool = True, verdict: Verdict = Verdict.STALE_WHILE_REVALIDATE
    ) -> None:
        self.clock = ManualClock()
        self.interest = Interest(self.clock)
        self.asked_s: list[float] = []
        self.brings_s: list[float] = []
        self._lifetimes = lifetimes
        self._live = live
        self._verdict = verdict
        self.refresher = Refresher(
            asker=cast("Asker", self),
            fetcher=cast("Fetcher", self),
            statuses=cast("Statuses", self),
            interest=self.interest,
            lifetimes=cast("RunLifetimes", self),
            clock=self.clock,
        )

    async def obtain(self, asked: WantedSeries) -> ObtainedAnswer:
        """See Asker."""
        self.asked_s.append(asked.need.refreshed_s)
        if not self.brings_s:
            raise UpstreamFailed("a refresh ahead brings nothing here, so that no other one follows it")
        entry = entry_of(self.brings_s.pop(0))
        return ObtainedAnswer(fetched=Fetched(tenant=asked.tenant, entry=entry, stored=True), collapsed=False)

    async def learn(self, *_: object, **__: object) -> None:
        """See Statuses."""

    def of(self, *_: object) -> Lifetimes:
        """See RunLifetimes."""
        return self._lifetimes

    def judge(self, *_: object) -> Verdict:
        """See RunLifetimes."""
        return self._verdict

    def live_since_s(self, *_: object) -> float | None:
        """See RunLifetimes."""
        return 0.0 if self._live else None

    async def refresh(self, *brings_s: float) -> None:
        """Have loss refreshed, once for each answer: that was asked for at these times."""
        for sent_at_s in brings_s:
            self.brings_s.append(sent_at_s)
            asked = WantedSeries(
                tenant=Tenant("key", "n"),
                query=LOSS.query,
                need=Need(not_before_s=0, persist=True, landings=0),
                in_full=False,
                extra_wait_s=1,
                metrics=LOSS,
                known=nothing_known(LOSS),
            )
            self.refresher.refresh(asked, entry_of(0))
            while self.refresher.refreshing:  # noqa: ASYNC110 -- nothing else tells it
                await asyncio.sleep(0)
        self.asked_s.clear()


async def test_what_is_watched_is_refreshed_before_it_is_too_old() -> None:
    """A refresh is followed by one ahead, however many of the run's questions were refreshed at the same time."""
    watching = Watching()
    watching.interest.note(LOSS)
    sent_at_s = watching.clock.now_s()
    await watching.refresh(sent_at_s, sent_at_s, sent_at_s)
    await asyncio.sleep(DUE_S / 2)
    assert watching.asked_s == []
    await asyncio.sleep(LATE_S)
    assert watching.asked_s == [sent_at_s]


async def test_a_newer_answer_moves_it() -> None:
    """What was refreshed by somebody else isn't due any more; an older answer that comes later changes nothing."""
    watching = Watching()
    watching.interest.note(LOSS)
    sent_at_s = watching.clock.now_s()
    await watching.refresh(sent_at_s, sent_at_s + 0.01, sent_at_s)
    await asyncio.sleep(LATE_S)
    assert watching.asked_s == [sent_at_s + 0.01]


@pytest.mark.parametrize(("since_s", "begun"), [(0.05, 1), (0.07, 0)])
async def test_who_has_left_is_not_refreshed_for(since_s: float, begun: int) -> None:
    """A refresh ahead needs somebody who has looked while answers were handed out."""
    watching = Watching()
    watching.interest.note(LOSS)
    await watching.refresh(watching.clock.now_s())
    watching.clock.advance(since_s)
    await asyncio.sleep(LATE_S)
    assert len(watching.asked_s) == begun


@pytest.mark.parametrize(
    "made",
    [
        lambda: Watching(live=False),
        lambda: Watching(Lifetimes(fresh_s=0.01, stale_while_revalidate_s=0, stale_if_error_s=1, negative_s=1)),
    ],
)
async def test_where_it_is_of_no_use(made: Callable[[], Watching]) -> None:
    """A run that has ended lives longer anyway; without stale-while-revalidate every refresh is waited for."""
    watching = made()
    watching.interest.note(LOSS)
    await watching.refresh(watching.clock.now_s())
    await asyncio.sleep(LATE_S)
    assert watching.asked_s == []


async def test_nothing_begins_after_the_end() -> None:
    """A refresh that was planned is given up when the proxy ends."""
    watching = Watching()
    watching.interest.note(LOSS)
    await watching.refresh(watching.clock.now_s())
    await watching.refresher.aclose()
    await asyncio.sleep(LATE_S)
    assert watching.asked_s == []


async def test_what_somebody_else_found_out_to_be_fresh_is_not_refreshed() -> None:
    """Its run has been seen to have ended since it was judged: nothing need be learned for that any more, nor asked."""
    watching = Watching(verdict=Verdict.FRESH)
    await watching.refresh(0)
    assert watching.brings_s == [0]
