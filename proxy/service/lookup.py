"""What there is to answer a query with: a stored entry, a computed one, or the upstream's 4xx or failure of a moment ago."""

from dataclasses import dataclass

from proxy.clock import Clock
from proxy.core.freshness.entry import Entry
from proxy.core.freshness.outcome import Made
from proxy.core.freshness.verdict import Lifetimes, Verdict, judge
from proxy.core.question.query import Query
from proxy.core.series.known_series import KnownSeries
from proxy.core.series.metrics_query import MetricsQuery
from proxy.service.fetching.call_key import CallKey
from proxy.service.fetching.fetcher import Fetcher
from proxy.service.fetching.memo import Failure, Memo
from proxy.service.series.computer import Computer
from proxy.service.tenancy import Tenant
from proxy.store.tiers import TieredStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What was found.

    - `entry`: the newest answer, None where there is none. `made`: how it was put together, where it was computed.
    - `remembered`: the upstream's 4xx or failure of a moment ago.
    - `metrics`: the query as a question about series, None where no answer to it can be computed. `known`: what is known of
      those series, None where that wasn't looked up.
    - `landings`: how many flights had ended before the look-up.
    """

    entry: Entry | None
    made: Made | None
    remembered: Entry | Failure | None
    metrics: MetricsQuery | None
    known: KnownSeries | None
    landings: int


class Lookup:
    """Looks up what there is, without asking the upstream."""

    def __init__(self, store: TieredStore, memo: Memo, computer: Computer, fetcher: Fetcher, clock: Clock) -> None:
        self._store = store
        self._memo = memo
        self._computer = computer
        self._fetcher = fetcher
        self._clock = clock

    async def find(self, tenant: Tenant, query: Query, lifetimes: Lifetimes, *, not_before_s: float) -> Found:
        """Return what there is.

        The entry is the newest answer that is stored or can be computed. One in memory is taken without a further look if it is
        fresh, and was asked for at `not_before_s` (wall time) or later.
        """
        landings = self._fetcher.landings
        metrics = self._computer.computable(query)
        entry, made, known = await self._newest(tenant, query, metrics, lifetimes, not_before_s)
        remembered = self._memo.get(CallKey(tenant.fingerprint, query.target))
        return Found(entry=entry, made=made, remembered=remembered, metrics=metrics, known=known, landings=landings)

    async def _newest(
        self, tenant: Tenant, query: Query, metrics: MetricsQuery | None, lifetimes: Lifetimes, not_before_s: float
    ) -> tuple[Entry | None, Made | None, KnownSeries | None]:
        if metrics is None:
            return await self._store.get(tenant.namespace, query.target, query.keeping), None, None
        entry, now_s = self._store.peek(tenant.namespace, query.target), self._clock.now_s()
        if entry is not None and entry.sent_at_s >= not_before_s and judge(entry, now_s, lifetimes) is Verdict.FRESH:
            return entry, None, None
        newer_than_s = now_s - lifetimes.usable_s if entry is None else entry.sent_at_s
        known = await self._computer.look_up(tenant, metrics, newer_than_s=newer_than_s)
        recipe = known.newest
        if recipe is not None and recipe.tail_asked_s > newer_than_s:
            computed = await self._computer.compute(tenant, query, recipe)
            if computed is not None:
                # An answer that can be computed isn't stored on disk itself.
                return computed, Made.SERIES, known
        return await self._store.get(tenant.namespace, query.target, query.keeping), None, known
