"""The plan for one query carried out: serve what is in hand, fetch an answer, or serve and refresh."""

import asyncio
from dataclasses import dataclass, replace
from typing import assert_never

from proxy.clock import Clock
from proxy.core.budget.line import Priority
from proxy.core.freshness.entry import Entry
from proxy.core.freshness.outcome import Made, Stale
from proxy.core.freshness.plan import Condition, Plan
from proxy.core.freshness.verdict import Verdict
from proxy.errors import NothingStored, Offline, UpstreamError
from proxy.service.answer import Answer, forwarded, hit
from proxy.service.fetching.memo import Failure
from proxy.service.lifetimes.run_lifetimes import RunLifetimes
from proxy.service.series.asking import Asker
from proxy.service.series.refreshing import Refresher
from proxy.service.series.wanted import WantedAnswer
from proxy.settings import Settings
from proxy.upstream.client import NEVER_ASKED, Upstream


@dataclass(frozen=True, slots=True, kw_only=True)
class InHand:
    """What there is to answer a query with: an entry, None where there is none.

    `made`: how it was put together, where it was computed. `verdict`: what may be done with it, None where there is no entry.
    """

    entry: Entry | None
    made: Made | None
    verdict: Verdict | None


class Executor:
    """Carries out plans."""

    def __init__(
        self,
        *,
        asker: Asker,
        refresher: Refresher,
        upstream: Upstream,
        lifetimes: RunLifetimes,
        clock: Clock,
        settings: Settings,
    ) -> None:
        self._asker = asker
        self._refresher = refresher
        self._upstream = upstream
        self._lifetimes = lifetimes
        self._clock = clock
        self._settings = settings

    async def carry_out(self, plan: Plan, wanted: WantedAnswer, in_hand: InHand, failed: Failure | None) -> Answer:
        """Return the answer that a plan leads to. `failed`: the failure of the upstream that is remembered for the query.

        Raises UpstreamError where the upstream fails and nothing usable is in hand, NothingStored or Offline for
        `Plan.UNUSABLE`.
        """
        match plan:
            case Plan.SERVE:
                return self._serve(wanted, in_hand)
            case Plan.SERVE_AND_REFRESH:
                return self._serve_and_refresh(wanted, in_hand, Stale.REVALIDATING)
            case Plan.SERVE_STALE:
                return self._serve(wanted, in_hand, stale=self._reason(failed))
            case Plan.FETCH_BRIEFLY:
                # With an answer in hand the call goes as a refresh. If its turn comes too late anyway, nobody waits for it.
                if self._upstream.wait_s(Priority.REFRESH) > self._settings.now.freshness.stale_wait_s:
                    return self._serve_and_refresh(wanted, in_hand, Stale.QUEUE)
                return await self._fetch_briefly(wanted, in_hand)
            case Plan.FETCH:
                return await self._fetch(wanted, in_hand.verdict)
            case Plan.UNUSABLE:
                if self._is_offline:
                    raise Offline(NEVER_ASKED)
                raise NothingStored("nothing usable is stored, and the request says only-if-cached")
            case _:
                assert_never(plan)

    @property
    def _is_offline(self) -> bool:
        return self._upstream.condition() is Condition.OFFLINE

    def _reason(self, failed: Failure | None) -> str:
        """Return why a stale answer is served without asking."""
        if self._is_offline:
            return Stale.OFFLINE
        return Stale.COOL_DOWN if failed is None else failed.error.code

    def _serve(self, wanted: WantedAnswer, in_hand: InHand, *, stale: str | None = None) -> Answer:
        if in_hand.entry is None:
            raise AssertionError("a plan to serve comes with an entry")
        lifetimes = self._lifetimes.of(wanted.query, wanted.tenant)
        return hit(wanted.tenant, in_hand.entry, lifetimes, self._clock.now_s(), made=in_hand.made, stale=stale)

    def _serve_and_refresh(self, wanted: WantedAnswer, in_hand: InHand, reason: str) -> Answer:
        if in_hand.entry is None:
            raise AssertionError("a refresh is of an entry")
        self._refresher.refresh(wanted, in_hand.entry)
        return self._serve(wanted, in_hand, stale=reason)

    async def _fetch(self, wanted: WantedAnswer, verdict: Verdict | None) -> Answer:
        obtained = await self._asker.obtain(wanted)
        fetched = obtained.fetched
        if not fetched.called:
            return hit(wanted.tenant, fetched.entry, self._lifetimes.of(wanted.query, wanted.tenant), self._clock.now_s())
        now_s = self._clock.now_s()
        return forwarded(obtained, self._lifetimes.of(wanted.query, fetched.tenant), now_s, verdict=verdict)

    async def _fetch_briefly(self, wanted: WantedAnswer, in_hand: InHand) -> Answer:
        """Fetch, and fall back on the entry in hand where that fails or takes longer than `stale_wait_s`."""
        try:
            async with asyncio.timeout(self._settings.now.freshness.stale_wait_s):
                # The entry is fresh after all if the run has ended: its answers live longer.
                if in_hand.entry is not None and await self._refresher.has_ended(wanted, in_hand.entry):
                    return self._serve(wanted, in_hand)
                return await self._fetch(wanted, in_hand.verdict)
        except TimeoutError:
            pass
        except UpstreamError as exc:
            if not self._is_usable(wanted, in_hand):
                raise
            return self._serve(wanted, in_hand, stale=exc.code)
        if not self._is_usable(wanted, in_hand):
            # There is nothing to fall back on any more: the client waits for the call.
            return await self._fetch(replace(wanted, need=replace(wanted.need, urgent=True)), in_hand.verdict)
        # The call goes on. The refresh joins it, so that its answer is taken apart.
        return self._serve_and_refresh(wanted, in_hand, Stale.SLOW)

    def _is_usable(self, wanted: WantedAnswer, in_hand: InHand) -> bool:
        """Tell whether the entry in hand may still be handed out: it may be too old by now, or the key may be refused."""
        if in_hand.entry is None:
            return False
        verdict = self._lifetimes.judge(in_hand.entry, wanted.query, wanted.tenant)
        refused = self._upstream.condition() is Condition.KEY_REFUSED
        return verdict is not Verdict.EXPIRED and (verdict is Verdict.FRESH or not refused)
