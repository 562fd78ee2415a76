"""What is being watched of a live run, and which calls bring it up to date: `core.series.deltas` plans most of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from zlib import crc32

from proxy.clock import Clock
from proxy.config import model
from proxy.core.series.deltas import deltas
from proxy.core.series.extents import Extents, Known, may_hold
from proxy.core.series.metrics_query import MetricsQuery
from proxy.service.fetching.tenancy import Tenant
from proxy.service.series.series import Series
from proxy.service.status.lifetimes import RunLifetimes

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

    def __init__(self, series: Series, lifetimes: RunLifetimes, clock: Clock, settings: model.Series) -> None:
        self._series = series
        self._lifetimes = lifetimes
        self._clock = clock
        self._rewrite_check_s = settings.rewrite_check_s
        self._call_cost_rows = settings.call_cost_rows

    def serving(self, tenant: Tenant, asked: MetricsQuery) -> Extents | None:
        """Return what a question can be answered from once that has been brought up to date by deltas."""
        if not self._lifetimes.is_live(asked, tenant) or not self._series.checks.trusted:
            return None
        # Not at the same time for all runs that were first looked at together.
        share = _EARLIEST + (_LATEST - _EARLIEST) * crc32(asked.run.encode()) / 2**32
        checked_s, since_s = self._clock.now_s() - self._rewrite_check_s * share, self._series.runs.run(asked).suspect_since_s
        for extents, computed in self._series.known(tenant, asked):
            # What is known to be empty has no tail: that is asked for from the first step on.
            if extents.question.last is not None or computed.through is None:
                continue
            if computed.whole_at_s > checked_s and computed.whole_at_s >= since_s:
                return extents
        return None

    def has_come(self, tenant: Tenant, asked: MetricsQuery, since_s: float) -> bool:
        """Tell whether a question can be answered from what was asked for since then."""
        return any(computed.tail_at_s >= since_s for _, computed in self._series.known(tenant, asked))

    def wanted(self, tenant: Tenant, run: MetricsQuery) -> list[Wanted]:
        """Return what is being watched of a run, by the windows that it is answered from."""
        wanted: dict[int, Wanted] = {}
        for name, group in self._series.runs.watched(run):
            asked = replace(run, name=name, group=group)
            extents = self.serving(tenant, asked)
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
            for extents in self._series.shelves.peek(tenant, scope.wide):
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
            others = self._series.runs.others(question, len(alone))
            if others is None or len(alone) < 2:
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
