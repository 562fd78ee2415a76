"""One question answered: look up, judge, then serve, fetch or refresh.

`read` finds the entry, lets `core.plan` decide, and carries the plan out; the upstream is reached through the fetcher alone.
"""

import asyncio
import math
from dataclasses import dataclass, replace
from functools import partial
from typing import assert_never

from proxy.clock import Clock
from proxy.core.budget import Priority
from proxy.core.directives import NO_DEMAND, Demand
from proxy.core.entry import Entry
from proxy.core.freshness import Lifetimes, Verdict, age_s, judge
from proxy.core.lifetimes import LifetimeTable
from proxy.core.metrics_query import MetricsQuery
from proxy.core.outcome import Forward, Outcome
from proxy.core.plan import Condition, Plan, decide
from proxy.core.query import Query
from proxy.errors import AnswerTooLarge, KeyRefused, NothingStored, UpstreamBusy, UpstreamError
from proxy.service.fetcher import Fetched, Fetcher, Need
from proxy.service.memo import Failure, Memo
from proxy.service.question import Question
from proxy.service.series import Series
from proxy.service.tenancy import Tenancy, Tenant
from proxy.store.tiers import TieredStore
from proxy.upstream.client import Upstream

# A run gains series in its first minutes; how many it has only decides what is asked at once.
SIZE_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An entry to hand out, its age in seconds at that moment, and how it came about.

    `tenant` is whose it is. `upstream_s` is how long the upstream took, None where it wasn't asked for this
    answer.
    """

    tenant: Tenant
    entry: Entry
    age_s: float
    outcome: Outcome
    upstream_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ask:
    """One request on its way: the question, whose key asks it, what was found in the store, what is needed otherwise.

    `asked` is the question taken apart, where others' answers may hold its own.
    """

    query: Query
    asked: MetricsQuery | None
    tenant: Tenant
    entry: Entry | None
    verdict: Verdict | None
    need: Need


class Reader:
    """Answers questions from the store and the upstream."""

    def __init__(
        self,
        *,
        upstream: Upstream,
        store: TieredStore,
        tenancy: Tenancy,
        fetcher: Fetcher,
        memo: Memo,
        series: Series,
        lifetimes: LifetimeTable,
        clock: Clock,
        stale_wait_s: float,
    ) -> None:
        self._upstream = upstream
        self._store = store
        self._tenancy = tenancy
        self._fetcher = fetcher
        self._memo = memo
        self._series = series
        self._lifetimes = lifetimes
        self._clock = clock
        self._stale_wait_s = stale_wait_s

    async def read(self, query: Query, demand: Demand = NO_DEMAND, *, client: str = "") -> Answer:
        """Answer a question of a client.

        Raises UpstreamError where there is neither a usable entry nor an answer of the upstream, and NothingStored where
        there is no usable entry and the request forbids asking.
        """
        not_before_s = self._clock.now_s() - demand.oldest_s
        deadline_s = self._upstream.deadline_s()
        landings = self._fetcher.landings
        tenant = self._tenancy.current()
        lifetimes = self._lifetimes.of(query)
        entry = await self._store.get(tenant.namespace, query.target, query.keeping)
        asked = self._series.understood(query)
        computed = False
        if asked is not None and not self._good_enough(entry, lifetimes, not_before_s):
            newer_than_s = self._clock.now_s() - lifetimes.usable_s if entry is None else entry.sent_at_s
            if (found := await self._series.lookup(tenant, query, asked, newer_than_s=newer_than_s)) is not None:
                entry, computed = found, True
        said = self._memo.get(Question(tenant.fingerprint, query.target))
        if isinstance(said, Entry):
            if said.sent_at_s >= not_before_s:
                return self._serve(tenant, query, said, detail="remembered")
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
            return self._serve(tenant, query, entry, series=computed)
        if plan is Plan.FETCH and said is not None and condition is not Condition.KEY_REFUSED:
            raise said.again()
        need = Need(
            not_before_s=not_before_s,
            persist=not demand.no_store,
            landings=landings,
            client=client,
            urgent=plan is Plan.FETCH,
            refreshed_s=0.0 if entry is None else entry.sent_at_s,
            deadline_s=deadline_s,
        )
        ask = _Ask(query=query, asked=asked, tenant=tenant, entry=entry, verdict=verdict, need=need)
        return await self._carry_out(plan, ask, said)

    def _good_enough(self, entry: Entry | None, lifetimes: Lifetimes, not_before_s: float) -> bool:
        if entry is None or entry.sent_at_s < not_before_s:
            return False
        return judge(entry, self._clock.now_s(), lifetimes) is Verdict.FRESH

    def _condition(self, failed: Failure | None) -> Condition:
        condition = self._upstream.condition()
        return Condition.RESTING if condition is Condition.OPEN and failed is not None else condition

    async def _carry_out(self, plan: Plan, ask: _Ask, failed: Failure | None) -> Answer:
        match plan:
            case Plan.SERVE:
                return self._serve(ask.tenant, ask.query, ask.entry)
            case Plan.SERVE_AND_REFRESH:
                return self._refresh(ask, "revalidating")
            case Plan.SERVE_STALE:
                reason = failed.error.code if failed is not None else "cool-down"
                return self._serve(ask.tenant, ask.query, ask.entry, stale=reason)
            case Plan.FETCH_BRIEFLY:
                # Whoever would not get through the line in time needn't stand in it.
                if self._upstream.turnstile.wait_s(Priority.REFRESH) > self._stale_wait_s:
                    return self._refresh(ask, "upstream-queue")
                return await self._fetch_briefly(ask)
            case Plan.FETCH:
                return await self._fetch(ask)
            case Plan.UNUSABLE:
                raise NothingStored("nothing usable is stored, and the request says only-if-cached")
            case _:
                assert_never(plan)

    def _refresh(self, ask: _Ask, reason: str) -> Answer:
        wider, query = self._series.to_ask(ask.query, ask.asked)
        need = ask.need if wider is None or wider == ask.asked else self._bounded(ask.need, wider)
        self._fetcher.refresh(ask.tenant, query, need)
        return self._serve(ask.tenant, ask.query, ask.entry, stale=reason)

    def _bounded(self, need: Need, wider: MetricsQuery) -> Need:
        """Return what is needed of a flight that brings more than was asked for."""
        return replace(need, max_bytes=self._series.max_bytes, in_vain=partial(self._series.note_hopeless, wider))

    async def _fetch_briefly(self, ask: _Ask) -> Answer:
        """Fetch, and fall back on the entry that is there where that fails or takes too long."""
        failure: UpstreamError | None = None
        try:
            async with asyncio.timeout(self._stale_wait_s):
                return await self._fetch(ask)
        except TimeoutError:
            reason = "upstream-slow"
        except UpstreamError as exc:
            failure, reason = exc, exc.code
        # Time has passed: the entry may have grown too old meanwhile, or the key have been refused.
        lifetimes = self._lifetimes.of(ask.query)
        verdict = Verdict.EXPIRED if ask.entry is None else judge(ask.entry, self._clock.now_s(), lifetimes)
        refused = self._upstream.condition() is Condition.KEY_REFUSED
        if verdict is Verdict.EXPIRED or (refused and verdict is not Verdict.FRESH):
            if failure is not None:
                raise failure
            return await self._fetch(replace(ask, need=replace(ask.need, urgent=True)))
        return self._serve(ask.tenant, ask.query, ask.entry, stale=reason)

    async def _fetch(self, ask: _Ask) -> Answer:
        fetched, collapsed = await self._fetch_wide(ask) or await self._fetcher.fetch(ask.tenant, ask.query, ask.need)
        if not fetched.asked:
            return self._serve(ask.tenant, ask.query, fetched.entry)
        age = age_s(fetched.entry, self._clock.now_s())
        outcome = Outcome(
            forward=_forward(ask.verdict),
            forward_status=fetched.entry.status,
            stored=fetched.stored,
            collapsed=collapsed,
            ttl_s=self._lifetimes.of(ask.query).fresh_s - age if fetched.stored else None,
        )
        return Answer(tenant=ask.tenant, entry=fetched.entry, age_s=age, outcome=outcome, upstream_s=fetched.elapsed_s)

    async def _fetch_wide(self, ask: _Ask) -> tuple[Fetched, bool] | None:
        """Ask for more than was asked for, where that serves the next questions too; None where it did not serve this one."""
        if ask.asked is None:
            return None
        await self._learn_size(ask, ask.asked)
        wider, query = self._series.to_ask(ask.query, ask.asked)
        if wider is None or wider == ask.asked:
            return None
        try:
            fetched, collapsed = await self._fetcher.fetch(ask.tenant, query, self._bounded(ask.need, wider))
        except AnswerTooLarge:
            self._series.note_hopeless(wider)
            return None
        except (UpstreamBusy, KeyRefused):
            raise
        except UpstreamError as exc:
            # Perhaps it was too much: next time it is asked for as it came, once the failure is no longer remembered.
            self._series.note_hopeless(wider)
            self._memo.remember(Question(ask.tenant.fingerprint, ask.query.target), Failure(error=exc))
            raise
        if fetched.entry.status != 200:
            # What is said to another question is no answer to this one.
            self._series.note_hopeless(wider)
            return None
        entry = await self._series.compute(
            fetched.tenant, ask.query, ask.asked, source=wider, target=query.target, entry=fetched.entry
        )
        if entry is None:
            self._series.note_vain(wider, ask.asked)
            return None
        return replace(fetched, entry=entry), collapsed

    async def _learn_size(self, ask: _Ask, asked: MetricsQuery) -> None:
        """Learn how large the run is, where somebody looks at several of its series: perhaps one call will do for all."""
        details = self._series.size_question(asked)
        if details is None:
            return
        entry = await self._store.get(ask.tenant.namespace, details.target)
        if entry is None or self._clock.now_s() - entry.sent_at_s > SIZE_S or not self._series.is_of(asked, entry):
            try:
                # It is no part of the answer: nobody waits long for it.
                async with asyncio.timeout(self._stale_wait_s if ask.need.urgent else self._stale_wait_s / 2):
                    fetched, _ = await self._fetcher.fetch(ask.tenant, details, replace(ask.need, not_before_s=-math.inf))
            except (UpstreamBusy, KeyRefused):
                raise
            except (UpstreamError, TimeoutError):
                self._series.note_no_size(asked)
                return
            entry = fetched.entry
        self._series.note_size(asked, entry)

    def _serve(
        self,
        tenant: Tenant,
        query: Query,
        entry: Entry | None,
        *,
        series: bool = False,
        stale: str | None = None,
        detail: str | None = None,
    ) -> Answer:
        if entry is None:
            raise AssertionError("a plan to serve comes with an entry")
        age = age_s(entry, self._clock.now_s())
        # How long a remembered 4xx is kept counts from when it was told, not from when it was asked for.
        ttl_s = self._lifetimes.of(query).fresh_s - age if entry.status == 200 else None
        outcome = Outcome(hit=True, ttl_s=ttl_s, series=series, stale=stale, detail=detail)
        return Answer(tenant=tenant, entry=entry, age_s=age, outcome=outcome)


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
