"""What is being watched of a live run, and which calls bring it up to date: `core.series.deltas` plans most of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from zlib import crc32

from cachetools import LRUCache

from proxy.clock import Clock
from proxy.config.model import SeriesSettings
from proxy.core.series.deltas import deltas
from proxy.core.series.extents import Extents, Known, may_hold
from proxy.core.series.known_series import KnownSeries
from proxy.core.series.metrics_query import MetricsQuery
from proxy.service.knowledge.shelves import Shelves
from proxy.service.lifetimes.run_lifetimes import RunLifetimes
from proxy.service.series.asked import AskedSeries
from proxy.service.series.interest import Interest
from proxy.service.series.widening_policy import WideningPolicy
from proxy.service.tenancy import Tenant

_MOST_RUNS = 2_000
# So many names are asked for one by one when they came up new; more of them with the whole run.
_MOST_SINGLY = 8
# When all of a run is asked for again, as shares of the time after which it must have been: runs that were opened together take
# turns, and nobody has to wait for it.
_EARLIEST, _LATEST = 0.75, 0.95


@dataclass(slots=True, kw_only=True)
class Wanted:
    """What is wanted of one window: which of its names, and whether names that nobody has seen yet are.

    `others`: how many names there are beside those of the window.
    """

    extents: Extents
    names: set[str] = field(default_factory=set)
    all_names: bool = False
    others: int = 0


class Watched:
    """Says which windows deltas can bring up to date, and which calls that takes."""

    def __init__(
        self,
        *,
        shelves: Shelves,
        interest: Interest,
        policy: WideningPolicy,
        lifetimes: RunLifetimes,
        clock: Clock,
        settings: SeriesSettings,
    ) -> None:
        self._shelves = shelves
        self._interest = interest
        self._policy = policy
        self._lifetimes = lifetimes
        self._clock = clock
        self._rewrite_check_s = settings.rewrite_check_s
        self._call_cost_rows = settings.call_cost_rows
        # By run and project: what was asked for in full before that wall time is to be asked for again.
        self._suspect_since_s: LRUCache[tuple[str, str], float] = LRUCache(_MOST_RUNS)

    def suspect(self, run: MetricsQuery) -> None:
        """Note that a run's rows may have changed anywhere: what is known of them is to be asked for in full."""
        self._suspect_since_s[run.run, run.project] = self._clock.now_s()

    def serving(self, tenant: Tenant, known: KnownSeries) -> Extents | None:
        """Return what a question can be answered from once that has been brought up to date by deltas."""
        asked = known.question
        live_since_s = self._lifetimes.live_since_s(asked, tenant) if known.recipes else None
        if live_since_s is None:
            return None
        since_s = max(self._suspect_since_s.get((asked.run, asked.project), -math.inf), live_since_s)
        # Not at the same time for all runs that were first looked at together.
        share = _EARLIEST + (_LATEST - _EARLIEST) * crc32(asked.run.encode()) / 2**32
        checked_s = self._clock.now_s() - self._rewrite_check_s * share
        for recipe in known.recipes:
            # What is known to be empty has no tail: that is asked for from the first step on.
            if recipe.source.question.last is not None or recipe.through is None:
                continue
            if recipe.full_asked_s > checked_s and recipe.full_asked_s >= since_s:
                return recipe.source
        return None

    def look(self, asked: AskedSeries, before: KnownSeries) -> KnownSeries:
        """Return what is known now of a question, of which something was known before."""
        return self._shelves.look(asked.tenant, asked.metrics, before)

    def names(self, run: MetricsQuery) -> list[str]:
        """Return the names that are being watched of a run."""
        return [name for name, _ in self._interest.watched(run) if name is not None]

    def wanted(self, tenant: Tenant, run: MetricsQuery) -> list[Wanted]:
        """Return what is being watched of a run, by the windows that it is answered from."""
        wanted: dict[int, Wanted] = {}
        for name, group in self._interest.watched(run):
            asked = replace(run, name=name, group=group)
            extents = self.serving(tenant, self._shelves.look(tenant, asked))
            if extents is None:
                continue
            one = wanted.setdefault(id(extents), Wanted(extents=extents))
            one.names.update(_names(extents, asked))
            one.all_names = one.all_names or name is None
        return list(wanted.values())

    def plan(self, wanted: Sequence[Wanted]) -> list[MetricsQuery]:
        """Return the calls that bring what is new of it."""
        return [
            question
            for one in self._together(wanted)
            for question in deltas(
                one.extents,
                one.names,
                all_names=one.all_names,
                call_cost_rows=self._call_cost_rows,
                others=one.others,
            )
        ]

    def unfit(self, tenant: Tenant, wanted: Sequence[Wanted]) -> list[MetricsQuery]:
        """Return what is to be asked for in full, since it came up new or no longer fits."""
        questions: list[MetricsQuery] = []
        for one in wanted:
            scope = one.extents.question
            for extents in self._shelves.peek(tenant, scope.wide):
                if extents.question != scope:
                    continue
                known = extents.by_name.items()
                names = [
                    name for name, extent in known if extent.known is Known.NOT_YET and (one.all_names or name in one.names)
                ]
                if len(names) > _MOST_SINGLY:
                    continue  # whoever needs it finds nothing, and asks for all of it
                questions += [replace(scope.windowed, name=name) for name in names]
        return list(dict.fromkeys(questions))

    def _together(self, wanted: Sequence[Wanted]) -> list[Wanted]:
        """Return the windows to plan calls for: those of single names as one, since a call for all names may do for them."""
        planned: list[Wanted] = []
        singles: dict[MetricsQuery, list[Wanted]] = {}
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
            planned.append(Wanted(extents=extents, names=set(by_name), others=others))
        return planned


def _names(extents: Extents, asked: MetricsQuery) -> list[str]:
    if asked.name is not None:
        return [asked.name]
    group = None if extents.question.group is not None else asked.group
    return [name for name, extent in extents.by_name.items() if group is None or may_hold(extent, group)]
