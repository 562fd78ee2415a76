"""One query answered: look up, judge, decide; the plan is carried out by `service.executor`."""

import asyncio

from proxy.clock import Clock
from proxy.core.budget.line import Priority
from proxy.core.freshness.directives import NO_DEMAND, Demand
from proxy.core.freshness.entry import Entry
from proxy.core.freshness.outcome import Detail
from proxy.core.freshness.plan import Condition, Plan, decide
from proxy.core.freshness.verdict import judge
from proxy.core.question.query import Query
from proxy.core.series.known_series import nothing_known
from proxy.service.answer import Answer, hit
from proxy.service.executor import Executor, InHand
from proxy.service.fetching.memo import Failure
from proxy.service.fetching.need import Need
from proxy.service.lifetimes.run_lifetimes import RunLifetimes
from proxy.service.lookup import Found, Lookup
from proxy.service.series.wanted import WantedAnswer, WantedSeries
from proxy.service.tenancy import Tenancy, Tenant
from proxy.settings import Settings
from proxy.upstream.client import Upstream
from proxy.upstream.turnstile import too_busy


class Reader:
    """Decides how a query is answered; the executor does it."""

    def __init__(
        self,
        *,
        lookup: Lookup,
        executor: Executor,
        upstream: Upstream,
        tenancy: Tenancy,
        lifetimes: RunLifetimes,
        clock: Clock,
        settings: Settings,
    ) -> None:
        self._lookup = lookup
        self._executor = executor
        self._upstream = upstream
        self._tenancy = tenancy
        self._lifetimes = lifetimes
        self._clock = clock
        self._settings = settings

    async def read(
        self, query: Query, demand: Demand = NO_DEMAND, *, client: str = "", deadline_s: float | None = None
    ) -> Answer:
        """Answer a client's query by `deadline_s` (monotonic clock; None: as long as any request may take).

        Raises UpstreamError where there is neither a usable entry nor an answer of the upstream, and NothingStored where
        there is no usable entry and the request forbids asking.
        """
        not_before_s = self._clock.now_s() - demand.max_age_s
        deadline_s = self._upstream.deadline_s() if deadline_s is None else deadline_s
        tenant = self._tenancy.current()
        lifetimes = self._lifetimes.of(query, tenant)
        found = await self._lookup.find(tenant, query, lifetimes, not_before_s=not_before_s)
        entry, failed = found.entry, found.remembered
        if isinstance(failed, Entry):
            if failed.sent_at_s >= not_before_s:
                return hit(tenant, failed, lifetimes, self._clock.now_s(), detail=Detail.REMEMBERED)
            failed = None
        verdict = None if entry is None else judge(entry, self._clock.now_s(), lifetimes)
        condition = self._condition(failed)
        plan = decide(
            verdict,
            satisfied=entry is not None and entry.sent_at_s >= not_before_s,
            only_if_cached=demand.only_if_cached,
            condition=condition,
        )
        if plan is Plan.SERVE and entry is not None:
            return hit(tenant, entry, lifetimes, self._clock.now_s(), made=found.made)
        # Where the key is refused, that is the reason to tell, not what failed before.
        if plan is Plan.FETCH and failed is not None and condition is not Condition.KEY_REFUSED:
            raise failed.to_raise()
        need = Need(
            not_before_s=not_before_s,
            persist=not demand.no_store,
            landings=found.landings,
            client=client,
            urgent=plan is Plan.FETCH and not demand.in_background,
            prefetch=demand.in_background,
            refreshed_s=0.0 if entry is None else entry.sent_at_s,
            deadline_s=deadline_s,
        )
        wanted = self._wanted(tenant, query, need, found, in_full=demand.max_age_s <= 0)
        in_hand = InHand(entry=entry, made=found.made, verdict=verdict)
        if demand.in_background:
            return await self._in_background(plan, wanted, in_hand, failed)
        return await self._executor.carry_out(plan, wanted, in_hand, failed)

    async def _in_background(self, plan: Plan, wanted: WantedAnswer, in_hand: InHand, failed: Failure | None) -> Answer:
        """Carry out a plan whose calls have no deadline of their own: others may always go first. Raises UpstreamBusy then."""
        try:
            async with asyncio.timeout(max(0.0, wanted.need.deadline_s - self._clock.monotonic_s())):
                return await self._executor.carry_out(plan, wanted, in_hand, failed)
        except TimeoutError:
            raise too_busy(self._upstream.wait_s(Priority.PREFETCH)) from None

    def _wanted(self, tenant: Tenant, query: Query, need: Need, found: Found, *, in_full: bool) -> WantedAnswer:
        """Return what is wanted of the upstream, as much as `found` tells of it."""
        stale_wait_s = self._settings.now.freshness.stale_wait_s
        extra_wait_s = stale_wait_s if need.urgent else stale_wait_s / 2
        if found.metrics is None:
            return WantedAnswer(tenant=tenant, query=query, need=need, in_full=in_full, extra_wait_s=extra_wait_s)
        return WantedSeries(
            tenant=tenant,
            query=query,
            need=need,
            in_full=in_full,
            extra_wait_s=extra_wait_s,
            metrics=found.metrics,
            known=found.known or nothing_known(found.metrics),
        )

    def _condition(self, failed: Failure | None) -> Condition:
        """Return the upstream's condition; for a query that failed a moment ago it counts as resting."""
        condition = self._upstream.condition()
        return Condition.RESTING if condition is Condition.OPEN and failed is not None else condition
