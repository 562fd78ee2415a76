"""Which calls bring the series of a live run up to date at the least cost.

One call for all names brings the rows of each from the same step on, more than needed of names that need fewer. A call for each
name brings only what that name needs, and costs a call. The cost of some calls is their number x `call_cost_rows` + the rows.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from proxy.core.series.extents import Extent, Extents, Known, window_of
from proxy.core.series.growth import overlap_from
from proxy.core.series.metrics_query import MetricsQuery

# At most so many steps are tried as the first one of a call for all names.
_MOST_TRIED = 12


def deltas(
    extents: Extents, names: Collection[str], *, all_names: bool, call_cost_rows: int, others: int = 0
) -> list[MetricsQuery]:
    """Return the questions whose answers extend `extents` by what is new of those of `names` that are known in full.

    `all_names`: names that are new are wanted, too, so that one call must ask for all names. `others`: how many names there are
    beside those of `extents`; each is taken to have as many new rows as the name with the most.
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
    """Return the cost, in rows, of a call for all names from step `first` on and of calls for names that need earlier steps."""
    rows = [_rows(extent, first) for extent in extents]
    return sum(rows) + others * max(rows, default=0) + sum(singly[name] for name in begins if begins[name] < first)


def _rows(extent: Extent, first: int) -> int:
    begin, end = window_of(extent.steps, first, None)
    return end - begin


def _from(extents: Extents, name: str | None, first: int) -> MetricsQuery:
    return replace(extents.question.densest, name=extents.question.name or name, first=first, last=None)
