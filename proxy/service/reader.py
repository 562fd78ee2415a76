"""One question answered: look up, judge, then serve, fetch or refresh.

`read` finds the entry, lets `core.freshness.plan` decide, and carries the plan out; the upstream is reached through the fetcher
alone.
"""

import asyncio
from dataclasses import dataclass, replace
from typing import assert_never

from proxy.clock import Clock
from proxy.core.budget import Priority
from proxy.core.freshness.directives import NO_DEMAND, Demand
from proxy.core.freshness.entry import Entry
from proxy.core.freshness.outcome import REVALIDATING, Forward, Made, Outcome
from proxy.core.freshness.plan import Condition, Plan, decide
from proxy.core.freshness.verdict import Lifetimes, Verdict, age_s, judge, stale_s
from proxy.core.question.query import Query
from proxy.core.series.known_series import nothing_known
from proxy.errors import NothingStored, UpstreamError
from proxy.service.fetching.memo import Failure
from proxy.service.fetching.need import Need
from proxy.service.lifetimes.run_lifetimes import RunLifetimes
from proxy.service.lookup import Found, Lookup
from proxy.service.series.asked import Asked, AskedSeries
from proxy.service.series.asking import Asker
from proxy.service.series.refreshing import Refresher
from proxy.service.tenancy import Tenancy, Tenant
from proxy.upstream.client import Upstream


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An entry to hand out, its age in seconds at that moment, and how it came about.

    `tenant` is whose it is. `upstream_s` is how long the upstream took, None where it wasn't asked for this answer.
    """

    tenant: Tenant
    entry: Entry
    age_s: float
    outcome: Outcome
    upstream_s: float | None = None

    @property
    def whole_age_s(self) -> float | None:
        """How long ago all of it was asked for, where only what was new has been asked for since."""
        full_asked_s = self.entry.full_asked_s
        return None if full_asked_s is None else self.age_s + self.entry.sent_at_s - full_asked_s


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ask:
    """One request on its way: the question, whose key asks it, what was found in the store, what is needed otherwise.

    `asked` is what is to be asked for upstream; `made`: how what was found was put together.
    """

    asked: Asked
    entry: Entry | None
    made: Made | None
    verdict: Verdict | None

    @property
    def query(self) -> Query:
        return self.asked.query

    @property
    def tenant(self) -> Tenant:
        return self.asked.tenant


class Reader:
    """Answers questions from the store and the upstream."""

    def __init__(
        self,
        *,
        lookup: Lookup,
        asker: Asker,
        refresher: Refresher,
        upstream: Upstream,
        tenancy: Tenancy,
        lifetimes: RunLifetimes,
        clock: Clock,
        stale_wait_s: float,
    ) -> None:
        """`stale_wait_s`: how long the upstream is waited for where a stale answer is at hand."""
        self._lookup = lookup
        self._asker = asker
        self._refresher = refresher
        self._upstream = upstream
        self._tenancy = tenancy
        self._lifetimes = lifetimes
        self._clock = clock
        self._stale_wait_s = stale_wait_s

    async def read(
        self, query: Query, demand: Demand = NO_DEMAND, *, client: str = "", deadline_s: float | None = None
    ) -> Answer:
        """Answer a question of a client, by `deadline_s` (monotonic clock; not given: as long as any request may take).

        Raises UpstreamError where there is neither a usable entry nor an answer of the upstream, and NothingStored where
        there is no usable entry and the request forbids asking.
        """
        not_before_s = self._clock.now_s() - demand.max_age_s
        deadline_s = self._upstream.deadline_s() if deadline_s is None else deadline_s
        tenant = self._tenancy.current()
        lifetimes = self._lifetimes.of(query, tenant)
        found = await self._lookup.find(tenant, query, lifetimes, not_before_s=not_before_s)
        entry, said = found.entry, found.said
        if isinstance(said, Entry):
            if said.sent_at_s >= not_before_s:
                return self._serve(tenant, lifetimes, said, detail="remembered")
            said = None
        verdict = None if entry is None else judge(entry, self._clock.now_s(), lifetimes)
        condition = self._condition(said)
        plan = decide(
            verdict,
            satisfied=entry is not None and entry.sent_at_s >= not_before_s,
            only_if_cached=demand.only_if_cached,
            condition=condition,
        )
        if plan is Plan.SERVE:
            return self._serve(tenant, lifetimes, entry, made=found.made)
        if plan is Plan.FETCH and said is not None and condition is not Condition.KEY_REFUSED:
            raise said.again()
        need = Need(
            not_before_s=not_before_s,
            persist=not demand.no_store,
            landings=found.landings,
            client=client,
            urgent=plan is Plan.FETCH,
            refreshed_s=0.0 if entry is None else entry.sent_at_s,
            deadline_s=deadline_s,
        )
        asked = self._asked(tenant, query, need, found, whole=demand.max_age_s <= 0)
        return await self._carry_out(plan, _Ask(asked=asked, entry=entry, made=found.made, verdict=verdict), said)

    def _asked(self, tenant: Tenant, query: Query, need: Need, found: Found, *, whole: bool) -> Asked:
        patience_s = self._stale_wait_s if need.urgent else self._stale_wait_s / 2
        if found.metrics is None:
            return Asked(tenant=tenant, query=query, need=need, whole=whole, patience_s=patience_s)
        return AskedSeries(
            tenant=tenant,
            query=query,
            need=need,
            whole=whole,
            patience_s=patience_s,
            metrics=found.metrics,
            known=found.known or nothing_known(found.metrics),
        )

    def _condition(self, failed: Failure | None) -> Condition:
        condition = self._upstream.condition()
        return Condition.RESTING if condition is Condition.OPEN and failed is not None else condition

    async def _carry_out(self, plan: Plan, ask: _Ask, failed: Failure | None) -> Answer:
        match plan:
            case Plan.SERVE:
                return self._found(ask)
            case Plan.SERVE_AND_REFRESH:
                return self._refresh(ask, REVALIDATING)
            case Plan.SERVE_STALE:
                reason = failed.error.code if failed is not None else "cool-down"
                return self._found(ask, stale=reason)
            case Plan.FETCH_BRIEFLY:
                # Whoever would not get through the line in time needn't stand in it.
                if self._upstream.wait_s(Priority.REFRESH) > self._stale_wait_s:
                    return self._refresh(ask, "upstream-queue")
                return await self._fetch_briefly(ask)
            case Plan.FETCH:
                return await self._fetch(ask)
            case Plan.UNUSABLE:
                raise NothingStored("nothing usable is stored, and the request says only-if-cached")
            case _:
                assert_never(plan)

    def _refresh(self, ask: _Ask, reason: str) -> Answer:
        if ask.entry is None:
            raise AssertionError("a refresh is of an entry")
        self._refresher.refresh(ask.asked, ask.entry)
        return self._found(ask, stale=reason)

    async def _fetch_briefly(self, ask: _Ask) -> Answer:
        """Fetch, and fall back on the entry that is there where that fails or takes too long."""
        try:
            async with asyncio.timeout(self._stale_wait_s):
                if ask.entry is not None and await self._refresher.has_ended(ask.asked, ask.entry):
                    return self._found(ask)
                return await self._fetch(ask)
        except TimeoutError:
            pass
        except UpstreamError as exc:
            if not self._is_usable(ask):
                raise
            return self._found(ask, stale=exc.code)
        if not self._is_usable(ask):
            return await self._fetch(replace(ask, asked=replace(ask.asked, need=replace(ask.asked.need, urgent=True))))
        # The call is still under way: somebody must be there to take its answer apart.
        return self._refresh(ask, "upstream-slow")

    def _is_usable(self, ask: _Ask) -> bool:
        """Tell whether what was found may still be handed out: it may have grown too old, or the key have been refused."""
        if ask.entry is None:
            return False
        verdict = self._lifetimes.judge(ask.entry, ask.query, ask.tenant)
        refused = self._upstream.condition() is Condition.KEY_REFUSED
        return verdict is not Verdict.EXPIRED and (verdict is Verdict.FRESH or not refused)

    async def _fetch(self, ask: _Ask) -> Answer:
        brought = await self._asker.ask(ask.asked)
        fetched = brought.fetched
        if not fetched.asked:
            return self._serve(ask.tenant, self._lifetimes.of(ask.query, ask.tenant), fetched.entry)
        now_s = self._clock.now_s()
        outcome = Outcome(
            forward=_forward(ask.verdict),
            forward_status=fetched.entry.status,
            stored=fetched.stored,
            collapsed=brought.collapsed,
            ttl_s=-stale_s(fetched.entry, now_s, self._lifetimes.of(ask.query, fetched.tenant)) if fetched.stored else None,
            made=brought.made,
        )
        age = age_s(fetched.entry, now_s)
        return Answer(tenant=fetched.tenant, entry=fetched.entry, age_s=age, outcome=outcome, upstream_s=fetched.elapsed_s)

    def _found(self, ask: _Ask, *, stale: str | None = None) -> Answer:
        return self._serve(ask.tenant, self._lifetimes.of(ask.query, ask.tenant), ask.entry, made=ask.made, stale=stale)

    def _serve(
        self,
        tenant: Tenant,
        lifetimes: Lifetimes,
        entry: Entry | None,
        *,
        made: Made | None = None,
        stale: str | None = None,
        detail: str | None = None,
    ) -> Answer:
        if entry is None:
            raise AssertionError("a plan to serve comes with an entry")
        now_s = self._clock.now_s()
        # How long a remembered 4xx is kept counts from when it was told, not from when it was asked for.
        ttl_s = -stale_s(entry, now_s, lifetimes) if entry.status == 200 else None
        outcome = Outcome(hit=True, ttl_s=ttl_s, made=made, stale=stale, detail=detail)
        return Answer(tenant=tenant, entry=entry, age_s=age_s(entry, now_s), outcome=outcome)


def _forward(verdict: Verdict | None) -> Forward:
    match verdict:
        case None:
            return Forward.URI_MISS
        case Verdict.FRESH:
            return Forward.REQUEST
        case Verdict.STALE_WHILE_REVALIDATE | Verdict.STALE_IF_ERROR | Verdict.EXPIRED:
            return Forward.STALE
        case _:
            assert_never(verdict)
