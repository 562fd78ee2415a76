"""One series read as a panel would read it, and its version.

Where the series is known in full, the query is a tiny one, whose answer is computed: what is asked upstream for it are the rows
that are new of the run, for everybody at once. Elsewhere the query is for as many rows as one answer may have.
"""

import math
import re
from dataclasses import dataclass, replace

from proxy.clock import Clock
from proxy.core.freshness.directives import Demand
from proxy.core.freshness.entry import Entry
from proxy.core.freshness.verdict import stale_s
from proxy.core.question.query import Query
from proxy.core.series.extents import Extent
from proxy.core.series.recipes import Recipe
from proxy.core.view.version import NO_ROWS, version_of
from proxy.service.answer import Answer
from proxy.service.knowledge.shelves import Shelves
from proxy.service.lifetimes.run_lifetimes import RunLifetimes
from proxy.service.reader import Reader
from proxy.service.series.computer import Computer
from proxy.service.tenancy import Tenancy, Tenant
from proxy.service.watching.troubles import Trouble, trouble_of_answer
from proxy.service.watching.values import Series

# A series is read no more often than that, whatever the lifetimes are.
SOONEST_S = 1.0
# What a refresh brings that is under way is noticed, or found that much later.
_REFRESHED_S = 5.0
# The last row of an answer is no longer than that.
_LAST_ROW_BYTES = 4_000
# No text in JSON holds this: a quotation mark in a text has a backslash before it.
_STEP = re.compile(rb'"step":"?(\d+)')


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What was found.

    - `version` and `through` as in `SeriesState`. `extent`: the rows, where all of them are known.
    - `wait_s`: for how many seconds there will be nothing new.
    - `status_changes`: how often what is known of the run's status had changed then (`RunLifetimes`).
    - `trouble`: why what was found is staler than it should be.
    """

    version: str
    through: int | None
    extent: Extent | None
    wait_s: float = SOONEST_S
    status_changes: int = 0
    trouble: Trouble | None = None


class SeriesReader:
    """Reads series."""

    def __init__(
        self,
        *,
        reader: Reader,
        computer: Computer,
        shelves: Shelves,
        tenancy: Tenancy,
        lifetimes: RunLifetimes,
        clock: Clock,
    ) -> None:
        self._reader = reader
        self._computer = computer
        self._shelves = shelves
        self._tenancy = tenancy
        self._lifetimes = lifetimes
        self._clock = clock

    async def read(self, series: Series, *, client: str) -> Look:
        """Read a series, asking the upstream in a client's turn where need be. Raises ProxyError."""
        tenant = self._tenancy.current()
        if await self._load(tenant, series) is not None:
            query = replace(series.question, limit=1).query
            answer = await self._answer(tenant, query, client)
            if (recipe := self._whole(series, answer)) is not None:
                return self._look(series, _in_full(recipe), query, answer)
        answer = await self._answer(tenant, series.query, client)
        recipe = self._whole(series, answer)
        found = _sampled(answer.entry) if recipe is None else _in_full(recipe)
        return self._look(series, found, series.query, answer)

    def peek(self, series: Series, before: Extent | None) -> Look | None:
        """Return what memory knows of a series; None where that isn't all rows, or the same as `before`.

        Its `wait_s` says nothing.
        """
        recipe = self._shelves.known(self._tenancy.current(), series.question).newest
        if recipe is None or (before is not None and any(extent is before for extent in recipe.chosen)):
            return None
        return _in_full(recipe)

    @property
    def status_changes(self) -> int:
        """How often what is known of the status of any run has changed."""
        return self._lifetimes.status_changes

    def status_changes_of(self, series: Series) -> int:
        """Return how often what is known of the status of a series' run has changed."""
        return self._lifetimes.status_changes_of(series.question, self._tenancy.current())

    async def _load(self, tenant: Tenant, series: Series) -> Recipe | None:
        """Return how to compute the series from what is known, None where it isn't known in full, or may not be computed."""
        if self._computer.computable(series.query) is None:
            return None
        # However old that is: the question that follows sees to its age.
        known = await self._computer.look_up(tenant, series.question, newer_than_s=-math.inf)
        return known.newest

    def _whole(self, series: Series, answer: Answer) -> Recipe | None:
        """Return how to compute the series from what is known, if that is all of it, and as new as an answer about it."""
        recipe = self._shelves.known(answer.tenant, series.question).newest
        return None if recipe is None or recipe.tail_asked_s < answer.entry.sent_at_s else recipe

    def _look(self, series: Series, found: Look, query: Query, answer: Answer) -> Look:
        """Return what was found, with what an answer tells of its age."""
        changes = self._lifetimes.status_changes_of(series.question, answer.tenant)
        return replace(found, wait_s=self._wait_s(query, answer), status_changes=changes, trouble=trouble_of_answer(answer))

    async def _answer(self, tenant: Tenant, query: Query, client: str) -> Answer:
        fresh_s = self._lifetimes.of(query, tenant).fresh_s
        return await self._reader.read(query, Demand(max_age_s=max(fresh_s, SOONEST_S)), client=client)

    def _wait_s(self, query: Query, answer: Answer) -> float:
        lifetimes = self._lifetimes.of(query, answer.tenant)
        if answer.entry.status != 200:
            return max(SOONEST_S, lifetimes.negative_s)
        fresh_s = -stale_s(answer.entry, self._clock.now_s(), lifetimes)
        return max(SOONEST_S, fresh_s if fresh_s > 0 else min(lifetimes.fresh_s, _REFRESHED_S))


def _in_full(recipe: Recipe) -> Look:
    extent = recipe.chosen[0] if recipe.chosen else None
    version = NO_ROWS if extent is None or recipe.through is None else version_of(extent)
    return Look(version=version, through=recipe.through, extent=extent)


def _sampled(entry: Entry) -> Look:
    if entry.status != 200:
        return Look(version=f"{entry.status}-{entry.digest}", through=None, extent=None)
    steps = _STEP.findall(entry.body, max(0, len(entry.body) - _LAST_ROW_BYTES))
    if not steps:
        return Look(version=NO_ROWS, through=None, extent=None)
    return Look(version=entry.digest, through=int(steps[-1]), extent=None)
