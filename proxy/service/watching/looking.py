"""One series read as a panel would read it, and its version."""

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
from proxy.service.obtaining import Obtainer
from proxy.service.tenancy import Tenancy
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
        obtainer: Obtainer,
        shelves: Shelves,
        tenancy: Tenancy,
        lifetimes: RunLifetimes,
        clock: Clock,
    ) -> None:
        self._obtainer = obtainer
        self._shelves = shelves
        self._tenancy = tenancy
        self._lifetimes = lifetimes
        self._clock = clock

    async def read(self, series: Series, *, client: str) -> Look:
        """Read a series, asking the upstream in a client's turn where need be. Raises ProxyError."""
        query = series.query
        fresh_s = self._lifetimes.of(query, self._tenancy.current()).fresh_s
        obtained = await self._obtainer.obtain(query, Demand(max_age_s=max(fresh_s, SOONEST_S)), client=client)
        whole, answer = obtained.whole, obtained.answer
        return replace(
            _sampled(answer.entry) if whole is None else _in_full(whole.recipe),
            wait_s=self._wait_s(obtained.query, answer),
            status_changes=self._lifetimes.status_changes_of(series.question, answer.tenant),
            trouble=trouble_of_answer(answer),
        )

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
