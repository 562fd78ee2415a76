"""One question answered: look up, judge, then serve, fetch or refresh.

`read` finds the entry, lets `core.plan` decide, and carries the plan out; the upstream is reached through the fetcher alone.
"""

import asyncio
from dataclasses import dataclass
from typing import assert_never

from proxy.clock import Clock
from proxy.core.directives import NO_DEMAND, Demand
from proxy.core.entry import Entry
from proxy.core.freshness import Lifetimes, Verdict, age_s, judge
from proxy.core.outcome import Forward, Outcome
from proxy.core.plan import Condition, Plan, decide
from proxy.core.query import Query
from proxy.errors import NothingStored, UpstreamError
from proxy.service.fetcher import Fetched, Fetcher, Need
from proxy.service.memo import Failure, Memo
from proxy.service.tenancy import Tenancy
from proxy.store.tiers import TieredStore
from proxy.upstream.client import Upstream


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An entry to hand out, its age in seconds at that moment, and how it came about.

    `namespace` is where the entry is stored. `upstream_s` is how long the upstream took, None where it wasn't asked for this
    answer.
    """

    namespace: str
    entry: Entry
    age_s: float
    outcome: Outcome
    upstream_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ask:
    """One request on its way: the question, where its answers are stored, what was found there, what is needed otherwise."""

    query: Query
    namespace: str
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
        lifetimes: Lifetimes,
        clock: Clock,
        stale_wait_s: float,
    ) -> None:
        self._upstream = upstream
        self._store = store
        self._tenancy = tenancy
        self._fetcher = fetcher
        self._memo = memo
        self._lifetimes = lifetimes
        self._clock = clock
        self._stale_wait_s = stale_wait_s

    async def read(self, query: Query, demand: Demand = NO_DEMAND) -> Answer:
        """Answer a question.

        Raises UpstreamError where there is neither a usable entry nor an answer of the upstream, and NothingStored where
        there is no usable entry and the request forbids asking.
        """
        need = Need(
            not_before_s=self._clock.now_s() - demand.oldest_s,
            persist=not demand.no_store,
            landings=self._fetcher.landings,
        )
        namespace = self._tenancy.current().namespace
        entry = await self._store.get(namespace, query.target)
        said = self._memo.get(namespace, query.target)
        if isinstance(said, Entry):
            return self._serve(namespace, said, detail="remembered")
        verdict = None if entry is None else judge(entry, self._clock.now_s(), self._lifetimes)
        ask = _Ask(query=query, namespace=namespace, entry=entry, verdict=verdict, need=need)
        plan = decide(
            verdict,
            satisfied=entry is not None and entry.sent_at_s >= need.not_before_s,
            only_if_cached=demand.only_if_cached,
            condition=self._condition(said),
        )
        return await self._carry_out(plan, ask, said)

    def _condition(self, failed: Failure | None) -> Condition:
        condition = self._upstream.condition()
        return Condition.RESTING if condition is Condition.OPEN and failed is not None else condition

    async def _carry_out(self, plan: Plan, ask: _Ask, failed: Failure | None) -> Answer:
        match plan:
            case Plan.SERVE:
                return self._serve(ask.namespace, ask.entry)
            case Plan.SERVE_AND_REFRESH:
                self._fetcher.refresh(ask.namespace, ask.query, ask.need)
                return self._serve(ask.namespace, ask.entry, stale="revalidating")
            case Plan.SERVE_STALE:
                reason = failed.error.code if failed is not None else "cool-down"
                return self._serve(ask.namespace, ask.entry, stale=reason)
            case Plan.FETCH_BRIEFLY:
                return await self._fetch_briefly(ask)
            case Plan.FETCH:
                if failed is not None:
                    raise failed.error
                return await self._fetch(ask)
            case Plan.UNUSABLE:
                raise NothingStored("nothing usable is stored, and the request says only-if-cached")
            case _:
                assert_never(plan)

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
        verdict = Verdict.EXPIRED if ask.entry is None else judge(ask.entry, self._clock.now_s(), self._lifetimes)
        refused = self._upstream.condition() is Condition.KEY_REFUSED
        if verdict is Verdict.EXPIRED or (refused and verdict is not Verdict.FRESH):
            if failure is not None:
                raise failure
            return await self._fetch(ask)
        return self._serve(ask.namespace, ask.entry, stale=reason)

    async def _fetch(self, ask: _Ask) -> Answer:
        fetched, collapsed = await self._fetcher.fetch(ask.namespace, ask.query, ask.need)
        if not fetched.asked:
            return self._serve(ask.namespace, fetched.entry)
        age = age_s(fetched.entry, self._clock.now_s())
        outcome = Outcome(
            forward=_forward(ask.verdict),
            forward_status=fetched.entry.status,
            stored=fetched.stored,
            collapsed=collapsed,
            ttl_s=self._ttl_s(fetched, age),
        )
        return Answer(namespace=ask.namespace, entry=fetched.entry, age_s=age, outcome=outcome, upstream_s=fetched.elapsed_s)

    def _ttl_s(self, fetched: Fetched, age: float) -> float | None:
        return self._lifetimes.fresh_s - age if fetched.stored else None

    def _serve(self, namespace: str, entry: Entry | None, *, stale: str | None = None, detail: str | None = None) -> Answer:
        if entry is None:
            raise AssertionError("a plan to serve comes with an entry")
        age = age_s(entry, self._clock.now_s())
        lifetime_s = self._lifetimes.fresh_s if entry.status == 200 else self._lifetimes.negative_s
        outcome = Outcome(hit=True, ttl_s=lifetime_s - age, stale=stale, detail=detail)
        return Answer(namespace=namespace, entry=entry, age_s=age, outcome=outcome)


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
