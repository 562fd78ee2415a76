"""Answers computed from what is known of series: `core.series.extents` has the theory.

A computed answer is an entry in memory like any other. Its age counts from when the tail of its series was asked for: the
oldest tail where there are several. Where the rest is older still, `full_asked_s` tells.
"""

from proxy.clock import Clock
from proxy.core.freshness.entry import Entry, digest_of
from proxy.core.question.keeping import Keeping
from proxy.core.question.query import Query
from proxy.core.series.known_series import KnownSeries, known_series
from proxy.core.series.long_rows import LongRows
from proxy.core.series.metrics_query import MetricsQuery, metrics_query
from proxy.core.series.recipes import Recipe, computing, recipe_of
from proxy.service.fetching.encoder import Encoder
from proxy.service.knowledge.shelves import Shelves
from proxy.service.lifetimes.run_lifetimes import RunLifetimes
from proxy.service.proof.checks import Checks
from proxy.service.series.interest import Interest
from proxy.service.series.wanted import WantedSeries
from proxy.service.tenancy import Tenant
from proxy.settings import Settings
from proxy.slices import in_slices


class Computer:
    """Computes answers."""

    def __init__(
        self,
        *,
        shelves: Shelves,
        checks: Checks,
        interest: Interest,
        encoder: Encoder,
        lifetimes: RunLifetimes,
        clock: Clock,
        settings: Settings,
    ) -> None:
        """`enabled`: whether anything is computed; if not, every query is asked as it came."""
        self._shelves = shelves
        self._checks = checks
        self._interest = interest
        self._encoder = encoder
        self._lifetimes = lifetimes
        self._clock = clock
        self._settings = settings
        self.computed = 0
        """How many answers were computed."""
        self.tail_age_s = self.whole_age_s = 0.0
        """How many seconds ago the newest rows of the last computed answer were asked for, and all of it."""

    def computable(self, query: Query) -> MetricsQuery | None:
        """Return what a query asks of series, None where no answer to it can be computed now."""
        if not self._settings.now.series.enabled:
            return None
        metrics = metrics_query(query)
        if not self._shelves.is_open:
            self._checks.check_again(metrics)
            return None
        return metrics

    async def look_up(self, tenant: Tenant, question: MetricsQuery, *, newer_than_s: float) -> KnownSeries:
        """Note that somebody asks a question, and return what is known of it.

        The disk is read where memory has nothing that was asked for after `newer_than_s` (wall time).
        """
        self._interest.note(question)
        known = self._shelves.known(tenant, question)
        newest = known.newest
        if (newest is None or newest.tail_asked_s <= newer_than_s) and self._shelves.missing(tenant, question.selections):
            loaded = await self._shelves.load(tenant, question.selections)
            return known_series(question, loaded, changes=self._shelves.changes)
        return known

    def known_now(self, wanted: WantedSeries) -> KnownSeries:
        """Return what memory knows now of a question that was looked up before."""
        return self._shelves.known(wanted.tenant, wanted.metrics, wanted.known)

    async def compute_newer(self, wanted: WantedSeries, known: KnownSeries) -> Entry | None:
        """Return an answer computed from what other queries brought since this one was looked up, None where that won't do.

        `known`: what is known of the question now.
        """
        if not known.recipes:
            return None
        need, lifetimes, now_s = wanted.need, self._lifetimes.of(wanted.query, wanted.tenant), self._clock.now_s()
        tail_s = max(need.not_before_s, now_s - lifetimes.fresh_s, need.refreshed_s)
        whole_s = need.not_before_s if wanted.in_full else now_s - max(lifetimes.fresh_s, lifetimes.rewrite_check_s)
        recipe = known.since(tail_s, whole_s)
        return None if recipe is None else await self.compute(wanted.tenant, wanted.query, recipe)

    def may_compute_from(self, entry: Entry) -> bool:
        """Tell whether answers may be computed from an entry: the rule holds, and the entry isn't of what was forgotten."""
        return self._shelves.is_open and entry.sent_at_s > self._shelves.forgotten_s

    async def compute(self, tenant: Tenant, query: Query, recipe: Recipe) -> Entry | None:
        """Return a computed answer as an entry, stored in memory; None where its rows were forgotten meanwhile, or lost."""
        ready = await self._ready(tenant, recipe)
        if ready is None:
            return None
        recipe = ready
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
            # Its series are empty, that is, not only its window.
            scant=computed.through is None,
        )
        self._encoder.keep(tenant, query.target, entry, Keeping.MEMORY)
        return entry

    async def compare(self, tenant: Tenant, question: MetricsQuery, said: Entry) -> None:
        """Compare an answer of the upstream with what would have been computed, where that is possible and due."""
        if not self._checks.is_curious:
            return
        known = next(iter(self._shelves.known(tenant, question).recipes), None)
        recipe = None if known is None else await self._ready(tenant, known)
        if recipe is None:
            return
        computed = await in_slices(computing(recipe))
        if computed.body != said.body:
            self._checks.suspect(question, computed.body, recipe.source.question)

    async def _ready(self, tenant: Tenant, recipe: Recipe) -> Recipe | None:
        """Return a recipe with all rows that it reads in memory, None where some are lost."""
        if not any(isinstance(extent.rows, LongRows) for extent in recipe.chosen):
            return recipe
        window = recipe.source
        for first, last in recipe.read:
            if (brought := await self._shelves.present(tenant, window, first, last)) is None:
                return None
            window = brought
        return recipe if window is recipe.source else recipe_of(window, recipe.query)
