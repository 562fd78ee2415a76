"""Which calls bring the series of a live run up to date, at the least cost.

A call from a step on brings the rows of all names, of those too that need them from a later step only; asked one by one, names
bring what they need and cost a call each. What is cheapest: calls x `call_cost_rows` + rows."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from proxy.core.series.extents import Extent, Extents, Known, window_of
from proxy.core.series.growth import overlap_from
from proxy.core.series.metrics_query import MetricsQuery

# Where to begin a call for all names is tried at so many steps at most.
_MOST_TRIED = 12


def deltas(
    extents: Extents, names: Collection[str], *, all_names: bool, call_cost_rows: int, others: int = 0
) -> list[MetricsQuery]:
    """Return the questions whose answers extend `extents` by what is new of some names, known in full.

    `all_names`: new names are of interest as well, so that one call must ask for all of them. `others`: how many names there
    are beside those of `extents`, of which as much is taken to be new as of the one that grows most.
    """
    begins = {name: overlap_from(extents.by_name[name]) for name in names if extents.by_name[name].known is Known.ALL}
    singly = {name: _rows(extents.by_name[name], first) + call_cost_rows for name, first in begins.items()}
    if extents.question.name is not None:
        return [_from(extents, name, first) for name, first in begins.items()]
    steps = sorted(set(begins.values()))
    tried = steps[:: max(1, -(-len(steps) // _MOST_TRIED))]
    if all_names and not tried:
        tried = [max((extent.steps[-1] for extent in extents.by_name.values() if extent.steps), default=extents.question.first)]
    costs = {first: _cost(extents.by_name.values(), begins, singly, first, others) + call_cost_rows for first in tried}
    best = min(costs, key=costs.__getitem__, default=None)
    if best is None or (not all_names and costs[best] > sum(singly.values())):
        return [_from(extents, name, first) for name, first in begins.items()]
    return [_from(extents, None, best), *(_from(extents, name, first) for name, first in begins.items() if first < best)]


def _cost(extents: Iterable[Extent], begins: Mapping[str, int], singly: Mapping[str, int], first: int, others: int) -> int:
    """Return the rows of a call from a step on, and what those names cost that need more than that."""
    rows = [_rows(extent, first) for extent in extents]
    return sum(rows) + others * max(rows, default=0) + sum(singly[name] for name in begins if begins[name] < first)


def _rows(extent: Extent, first: int) -> int:
    begin, end = window_of(extent.steps, first, None)
    return end - begin


def _from(extents: Extents, name: str | None, first: int) -> MetricsQuery:
    return replace(extents.question.densest, name=extents.question.name or name, first=first, last=None)
