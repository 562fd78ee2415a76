"""Which calls bring up to date what is being watched of a live run.

`core.series.deltas` plans the calls for one window.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from zlib import crc32

from cachetools import LRUCache

from proxy.clock import Clock
from proxy.core.series.deltas import deltas
from proxy.core.series.extents import Extents, Known, is_long
from proxy.core.series.known_series import KnownSeries
from proxy.core.series.metrics_query import MetricsQuery
from proxy.core.series.recipes import Recipe, may_have_rows_of
from proxy.service.knowledge.shelves import Shelves
from proxy.service.lifetimes.run_lifetimes import RunLifetimes
from proxy.service.series.interest import Interest
from proxy.service.series.wanted import WantedSeries
from proxy.service.series.widening_policy import WideningPolicy
from proxy.service.tenancy import Tenant
from proxy.settings import Settings

_MOST_RUNS = 2_000
# How many rows of each other name it costs to look for a new one.
_LEAST_ROWS = 13
# So many new names at most are asked for one by one; more of them are asked for with the whole run.
_MOST_SINGLY = 8
# When all of a run is asked for again, as shares of `rewrite_check_s`, after which it must have been. Runs that were opened at
# the same time take turns, and nobody has to wait for it.
_EARLIEST, _LATEST = 0.75, 0.95


@dataclass(slots=True, kw_only=True)
class WatchedWindow:
    """What is being watched of one window.

    - `names`: which of its names. `all_names`: whether new names are, too.
    - `empty`: names that are known to have no rows; None stands for a group without any.
    - `others`: how many names the run has beside those of the window.
    """

    extents: Extents
    names: set[str] = field(default_factory=set)
    all_names: bool = False
    empty: set[str | None] = field(default_factory=set)
    others: int = 0


class DeltaPlanner:
    """Says which windows deltas can bring up to date, and which calls that takes."""

    def __init__(
        self,
        *,
        shelves: Shelves,
        interest: Interest,
        policy: WideningPolicy,
        lifetimes: RunLifetimes,
        clock: Clock,
        settings: Settings,
    ) -> None:
        self._shelves = shelves
        self._interest = interest
        self._policy = policy
        self._lifetimes = lifetimes
        self._clock = clock
        self._settings = settings
        # By run and project: what was asked for in full before that wall time is to be asked for again.
        self._suspect_since_s: LRUCache[tuple[str, str], float] = LRUCache(_MOST_RUNS)

    def suspect(self, run: MetricsQuery) -> None:
        """Note that a run's rows may have changed anywhere: its series are to be asked for in full."""
        self._suspect_since_s[run.run, run.project] = self._clock.now_s()

    def updatable(self, tenant: Tenant, known: KnownSeries) -> Recipe | None:
        """Return how a question is answered once deltas have brought a window up to date, None where they can't do that."""
        asked = known.question
        live_since_s = self._lifetimes.live_since_s(asked, tenant) if known.recipes else None
        if live_since_s is None:
            return None
        suspect_s = self._suspect_since_s.get((asked.run, asked.project), -math.inf)
        # The share differs by run, so that runs that were opened together are not asked for in full at the same time.
        share = _EARLIEST + (_LATEST - _EARLIEST) * crc32(asked.run.encode()) / 2**32
        now_s = self._clock.now_s()
        checked_s = now_s - self._settings.now.series.rewrite_check_s * share
        # One window for all that is being watched takes fewer calls than several.
        for recipe in sorted(known.recipes, key=_narrowness):
            # A window with a last step doesn't grow.
            if recipe.source.question.last is not None or (recipe.through is None and not self._may_look_for(recipe)):
                continue
            # A long series is looked at bit by bit, and the last bit of it when the time is up.
            # Asking for all of it instead of a delta that failed is no way out, since no answer holds it.
            whole = is_long(recipe.source)
            least_s, since_s = (
                (now_s - self._settings.now.series.rewrite_check_s, -math.inf) if whole else (checked_s, suspect_s)
            )
            if recipe.full_asked_s > least_s and recipe.full_asked_s >= max(since_s, live_since_s):
                return recipe
        return None

    def _may_look_for(self, empty: Recipe) -> bool:
        """Tell whether a call for all names may find out that what has no rows still has none.

        That has to begin at the first step. A window of one name is asked for as a whole instead, as is a group of a run with
        so many names that a row or two of each would cost more than a call.
        """
        scope, names = empty.source.question, len(empty.source.by_name)
        return scope.name is None and (
            empty.query.name is not None or names * _LEAST_ROWS <= self._settings.now.series.call_cost_rows
        )

    def known_now(self, asked: WantedSeries, before: KnownSeries) -> KnownSeries:
        """Return what is known now of a question; `before`: what was known of it."""
        return self._shelves.known(asked.tenant, asked.metrics, before)

    def names(self, run: MetricsQuery) -> list[str]:
        """Return the names that are being watched of a run, each once."""
        return list(dict.fromkeys(name for name, _ in self._interest.watched(run) if name is not None))

    def windows(self, tenant: Tenant, run: MetricsQuery) -> list[WatchedWindow]:
        """Return the windows that answer what is being watched of a run, and what of them is being watched."""
        wanted: dict[int, WatchedWindow] = {}
        for name, group in self._interest.watched(run):
            asked = replace(run, name=name, group=group)
            recipe = self.updatable(tenant, self._shelves.known(tenant, asked))
            if recipe is None:
                continue
            extents = recipe.source
            one = wanted.setdefault(id(extents), WatchedWindow(extents=extents))
            if recipe.through is None:
                one.empty.add(name)
            else:
                one.names.update(_names(extents, asked))
            one.all_names = one.all_names or name is None
        return list(wanted.values())

    def calls(self, wanted: Sequence[WatchedWindow]) -> list[MetricsQuery]:
        """Return the questions whose answers bring these windows up to date."""
        return [
            question
            for one in self._with_singles_joined(wanted)
            for question in deltas(
                one.extents,
                one.names,
                all_names=one.all_names,
                call_cost_rows=self._settings.now.series.call_cost_rows,
                others=one.others,
                empty=one.empty,
            )
        ]

    def to_ask_in_full(self, tenant: Tenant, wanted: Sequence[WatchedWindow]) -> list[MetricsQuery]:
        """Return the questions for what must be asked for in full, since it is new or what is known of it no longer fits."""
        questions: list[MetricsQuery] = []
        for one in wanted:
            scope = one.extents.question
            for extents in self._shelves.peek(tenant, scope.in_full):
                if extents.question != scope:
                    continue
                known = extents.by_name.items()
                names = [
                    name
                    for name, extent in known
                    if extent.known is Known.NOT_YET and (one.all_names or name in one.names or name in one.empty)
                ]
                if len(names) > _MOST_SINGLY:
                    continue  # a query that needs one of them finds nothing, and asks for all of the run
                questions += [replace(scope.densest, name=name) for name in names]
        return list(dict.fromkeys(questions))

    def _with_singles_joined(self, wanted: Sequence[WatchedWindow]) -> list[WatchedWindow]:
        """Return the windows with those of single names as one, since a call for all names may do for all of them."""
        planned: list[WatchedWindow] = []
        singles: dict[MetricsQuery, list[WatchedWindow]] = {}
        for one in wanted:
            question = one.extents.question
            (planned if question.name is None else singles.setdefault(replace(question, name=None), [])).append(one)
        for question, alone in singles.items():
            others = self._policy.others(question, len(alone)) if len(alone) > 1 else None
            if others is None:
                planned += alone
                continue
            by_name = {name: extent for one in alone for name, extent in one.extents.by_name.items()}
            extents = replace(alone[0].extents, question=question, by_name=by_name)
            planned.append(WatchedWindow(extents=extents, names=set(by_name), others=others))
        return planned


def _narrowness(recipe: Recipe) -> int:
    question = recipe.source.question
    return (question.name is not None) + (question.group is not None)


def _names(extents: Extents, asked: MetricsQuery) -> list[str]:
    if asked.name is not None:
        return [asked.name]
    group = None if extents.question.group is not None else asked.group
    return [name for name, extent in extents.by_name.items() if group is None or may_have_rows_of(extent, group)]
