"""Answers computed from what is known of series: `core.series.extents` has the theory.

A computed answer is an entry in memory like any other, with the age of its oldest part.
"""

from proxy.clock import Clock
from proxy.core.freshness.entry import Entry, digest_of
from proxy.core.question.keeping import Keeping
from proxy.core.question.query import Query
from proxy.core.series.extents import Recipe, computing
from proxy.core.series.known_series import KnownSeries, known_series
from proxy.core.series.metrics_query import MetricsQuery, metrics_query
from proxy.service.fetching.encoder import Encoder
from proxy.service.knowledge.shelves import Shelves
from proxy.service.proof.checks import Checks
from proxy.service.series.interest import Interest
from proxy.service.series.wanted import WantedSeries
from proxy.service.tenancy import Tenant
from proxy.slices import in_slices


class Computer:
    """Computes answers."""

    def __init__(
        self, shelves: Shelves, checks: Checks, interest: Interest, encoder: Encoder, clock: Clock, *, enabled: bool
    ) -> None:
        """`enabled`: False where every question is to be asked as it came."""
        self._shelves = shelves
        self._checks = checks
        self._interest = interest
        self._encoder = encoder
        self._clock = clock
        self._enabled = enabled
        self.computed = 0
        """How many answers were computed."""
        self.tail_age_s = self.whole_age_s = 0.0
        """How long ago the newest rows of the last computed answer, and all of it, were asked for."""

    def computable(self, query: Query) -> MetricsQuery | None:
        """Take a query apart; None where it is only ever asked as it came."""
        if not self._enabled:
            return None
        metrics = metrics_query(query)
        if not self._shelves.is_open:
            self._checks.check_again(metrics)
            return None
        return metrics

    async def look_up(self, tenant: Tenant, asked: MetricsQuery, *, newer_than_s: float) -> KnownSeries:
        """Note that somebody asks, and return what is known of it; from the disk, too, where memory has nothing as new."""
        self._interest.note(asked)
        known = self._shelves.known(tenant, asked)
        newest = known.newest
        if (newest is None or newest.tail_asked_s <= newer_than_s) and self._shelves.missing(tenant, asked.scopes):
            loaded = await self._shelves.load(tenant, asked.scopes)
            return known_series(asked, loaded, changes=self._shelves.changes)
        return known

    def known_now(self, asked: WantedSeries) -> KnownSeries:
        """Return what is known now of a question that was looked up before."""
        return self._shelves.known(asked.tenant, asked.metrics, asked.known)

    async def compute_newer(self, asked: WantedSeries, known: KnownSeries) -> Entry | None:
        """Return an answer computed from what others have brought since a question was looked up, None where they didn't.

        `known`: what is known of it now.
        """
        need, lifetimes, now_s = asked.need, asked.lifetimes, self._clock.now_s()
        tail_s = max(need.not_before_s, now_s - lifetimes.fresh_s, need.refreshed_s)
        whole_s = need.not_before_s if asked.in_full else now_s - max(lifetimes.fresh_s, lifetimes.rewrite_check_s)
        recipe = known.since(tail_s, whole_s)
        return None if recipe is None else await self.compute(asked.tenant, asked.query, recipe)

    def may_compute_from(self, entry: Entry) -> bool:
        """Tell whether anything may be computed from an answer: the rule holds, and was not found broken since it came."""
        return self._shelves.is_open and entry.sent_at_s > self._shelves.forgotten_s

    async def compute(self, tenant: Tenant, query: Query, recipe: Recipe) -> Entry | None:
        """Return a computed answer as an entry, kept like any other; None where its rows were forgotten meanwhile."""
        computed = await in_slices(computing(recipe))
        if not self._shelves.is_open or recipe.full_asked_s <= self._shelves.forgotten_s:
            return None
        self._checks.note(recipe.source)
        self.computed += 1
        self.tail_age_s = self._clock.now_s() - computed.tail_asked_s
        self.whole_age_s = self._clock.now_s() - computed.full_asked_s
        self._checks.compare(recipe.query, computed, recipe.source, sampled=recipe.is_sampled)
        entry = Entry(
            body=computed.body,
            sent_at_s=computed.tail_asked_s,
            digest=digest_of(computed.body),
            full_asked_s=computed.full_asked_s if computed.full_asked_s < computed.tail_asked_s else None,
            through=computed.through,
            # Nothing of its series, that is, not only of its window.
            scant=computed.through is None,
        )
        self._encoder.keep(tenant, query.target, entry, Keeping.MEMORY)
        return entry

    async def compare(self, tenant: Tenant, asked: MetricsQuery, said: Entry) -> None:
        """Compare an answer of the upstream with what would have been computed, where that is possible."""
        if not self._checks.is_curious:
            return
        recipe = next(iter(self._shelves.known(tenant, asked).recipes), None)
        if recipe is None:
            return
        computed = await in_slices(computing(recipe))
        if computed.body != said.body:
            self._checks.suspect(asked, computed.body, recipe.source.question)
