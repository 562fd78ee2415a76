"""Which calls bring the series of a live run up to date at the least cost.

A call for one name brings only what that name needs, and costs a call. A call for all names brings the rows of each from one
step on. A small limit keeps it cheap: names with at most half the limit of rows come whole (`core.series.sampling`), and of
the others little more than the limit is sent, which tells nothing. So the names whose tails are at about the same step share a
call, and those far behind the others, with few rows each, share one with a small limit.

The cost of some calls is their number x `call_cost_rows` + the rows.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import NamedTuple

from proxy.core.question.routes import MAX_LIMIT
from proxy.core.series.extents import Extent, Extents, Known, window_of
from proxy.core.series.growth import overlap_from
from proxy.core.series.metrics_query import MetricsQuery

# At most so many steps are tried as the first one of a call for all names.
_MOST_TRIED = 12
# A limit leaves room for as many new rows of a name as are known from the first step on, and for so many more.
_ROOM_ROWS = 6
# A greater limit than needed is taken where it costs at most so many rows: more rows may have come than is thought.
_SPARE_ROWS = 200


def deltas(
    extents: Extents,
    names: Collection[str],
    *,
    all_names: bool,
    call_cost_rows: int,
    others: int = 0,
    empty: Collection[str | None] = (),
) -> list[MetricsQuery]:
    """Return the questions whose answers extend `extents` by what is new of those of `names` that are known in full.

    `all_names`: names that are new are wanted, too, so that one call must ask for all names. `others`: how many names there are
    beside those of `extents`; each is taken to have as many rows as the name with the most. `empty`: names that are known to
    have no rows, of which it is to be found out whether they still have none; None stands for a group without any.
    """
    known = (name for name in names if extents.by_name[name].known is Known.ALL)
    begins: dict[str | None, int] = {name: overlap_from(extents.by_name[name]) for name in known}
    begins |= dict.fromkeys(empty, extents.question.first)
    if extents.question.name is not None:
        return [_from(extents, name, first) for name, first in begins.items()]
    if not begins:
        ends = (extent.steps[-1] for extent in extents.by_name.values() if extent.steps)
        return [_from(extents, None, max(ends, default=extents.question.first))] if all_names else []
    steps = sorted(set(begins.values()))
    tried = steps[:: max(1, -(-len(steps) // _MOST_TRIED))]
    parts = _cheapest(
        extents, begins, [_Rows.of(extents, first, others) for first in tried], call_cost_rows, all_names=all_names
    )
    questions: list[MetricsQuery] = []
    for part in parts:
        if part.rows is None:
            questions += [_from(extents, name, begins[name]) for name in part.names]
        else:
            question = _from(extents, None, part.rows.first)
            questions.append(replace(question, limit=min(question.limit, part.rows.roomy(part.limit))))
    return questions


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows:
    """How many rows each name has from step `first` on, as far as is known.

    `counts`: the same in order of the numbers; `sums[i]` is the sum of the first i of them. `others`: how many more names there
    are, each taken to have as many rows as the name with the most.
    """

    first: int
    by_name: Mapping[str | None, int]
    counts: Sequence[int]
    sums: Sequence[int]
    others: int

    @classmethod
    def of(cls, extents: Extents, first: int, others: int) -> "_Rows":
        by_name: dict[str | None, int] = {name: _count(extent, first) for name, extent in extents.by_name.items()}
        counts = sorted(by_name.values())
        return cls(first=first, by_name=by_name, counts=counts, sums=[0, *accumulate(counts)], others=others)

    def sent(self, limit: int) -> int:
        """Return how many rows a call for all names from the first step on brings at most, new ones aside."""
        whole = bisect_right(self.counts, limit)
        others = self.others * min([limit + 1, *self.counts[-1:]])
        return self.sums[whole] + (limit + 1) * (len(self.counts) - whole) + others

    def roomy(self, limit: int) -> int:
        """Return a limit that is greater where that costs next to nothing."""
        most = self.sent(limit) + _SPARE_ROWS
        while limit < MAX_LIMIT and self.sent(wider := min(2 * limit, MAX_LIMIT)) <= most:
            limit = wider
        return limit


class _Part(NamedTuple):
    """How some names are asked for: with one call for all names (`rows`, `limit`), or with one call each (`rows` is None)."""

    cost: float
    names: Sequence[str | None]
    rows: _Rows | None
    limit: int


class _Plan(NamedTuple):
    """Parts, and their cost in rows."""

    cost: float
    parts: tuple[_Part, ...]

    def after(self, part: _Part) -> "_Plan":
        """Return this plan with another part before it."""
        return _Plan(part.cost + self.cost, (part, *self.parts))


def _cheapest(
    extents: Extents, begins: Mapping[str | None, int], rows_from: Sequence[_Rows], call_cost_rows: int, *, all_names: bool
) -> Sequence[_Part]:
    """Return the cheapest way to ask for some names: those that follow each other by their first steps go together.

    `begins`: the first step of each. `rows_from`: from which steps on all names may be asked for together.
    """
    names = sorted(begins, key=begins.__getitem__)
    places = [bisect_left(names, rows.first, key=begins.__getitem__) for rows in rows_from] + [len(names)]
    alone = [0.0, *accumulate(_cost_alone(extents, name, begins[name]) + call_cost_rows for name in names)]
    nothing, impossible = _Plan(0, ()), _Plan(math.inf, ())
    # By place: the cheapest plan for the names from there on, and the cheapest that has a call for all names.
    cheapest, telling = [*[impossible] * len(rows_from), nothing], [impossible] * len(places)
    for begin in reversed(range(len(rows_from))):
        for end in range(begin + 1, len(places)):
            first, last = places[begin], places[end]
            together = _together(names[first:last], rows_from[begin], call_cost_rows)
            singly = _Part(alone[last] - alone[first], names[first:last], None, MAX_LIMIT)
            plans = [cheapest[end].after(together), telling[end].after(singly)]
            telling[begin] = min(telling[begin], *plans, key=_cost)
            cheapest[begin] = min(cheapest[begin], *plans, cheapest[end].after(singly), key=_cost)
    return (telling if all_names else cheapest)[0].parts


def _cost(plan: _Plan) -> float:
    return plan.cost


def _together(names: Sequence[str | None], rows: _Rows, call_cost_rows: int) -> _Part:
    limit = _limit_for(max(rows.by_name.get(name, 0) for name in names))
    return _Part(rows.sent(limit) + call_cost_rows, names, rows, limit)


def _limit_for(rows: int) -> int:
    """Return a limit with which a name of which so many rows are known surely comes whole, and some that are new with it."""
    return min(MAX_LIMIT, 2 * (2 * rows + _ROOM_ROWS))


def _cost_alone(extents: Extents, name: str | None, first: int) -> float:
    """Return how many rows a call for one name brings; a group without rows cannot be asked for by itself."""
    if name is None:
        return math.inf
    return _count(extents.by_name[name], first) if name in extents.by_name else 0


def _count(extent: Extent, first: int) -> int:
    begin, end = window_of(extent.steps, first, None)
    return end - begin


def _from(extents: Extents, name: str | None, first: int) -> MetricsQuery:
    return replace(extents.question.densest, name=extents.question.name or name, first=first, last=None)
