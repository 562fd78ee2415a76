"""Answers computed from extents: `core.series.extents` has the theory."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from proxy.core.pieces import Work, finished
from proxy.core.series.extents import PREFIX, SUFFIX, Extent, Extents, Known, window_of
from proxy.core.series.long_rows import LongRows
from proxy.core.series.metrics_query import MetricsQuery
from proxy.core.series.sampling import sampled, stride

# There is a break after so many rows, about 0.5 ms of work.
_MOST_AT_ONCE = 5_000
# So few rows at most are read one by one, each from its chunk.
_FEW = 4
_CERTAIN = frozenset({Known.ALL, Known.NONE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Computed:
    """An answer computed from extents, with the ages of its oldest part (wall times).

    `through`: the last step up to which all of its series are known; None where it has no rows.
    """

    body: bytes
    tail_asked_s: float
    full_asked_s: float
    through: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How an answer is computed: from which extents (`chosen`), and the ages and the last step that it will have.

    `grouped`: whether rows of other groups must be left out.
    """

    query: MetricsQuery
    source: Extents
    chosen: tuple[Extent, ...]
    grouped: bool
    tail_asked_s: float
    full_asked_s: float
    through: int | None

    @property
    def is_sampled(self) -> bool:
        """Whether the limit leaves rows out."""
        windows = (window_of(extent.steps, self.query.first, self.query.last) for extent in self.chosen)
        return any(end - begin > self.query.limit for begin, end in windows)

    @property
    def read(self) -> list[tuple[int, int | None]]:
        """The windows of steps, inclusive, whose rows are read. A few rows of one series are read one by one."""
        if len(self.chosen) == 1 and self.query.limit <= _FEW and not self.grouped:
            steps = self.chosen[0].steps
            first, last = window_of(steps, self.query.first, self.query.last)
            found = [steps[first + place] for place in sampled(last - first, self.query.limit)]
            return [(step, step) for step in found]
        return [(self.query.first, self.query.last)]


def answer(extents: Extents, query: MetricsQuery) -> Computed | None:
    """Return how the upstream would have answered `query` at the time of `extents`; None where that is uncertain."""
    recipe = recipe_of(extents, query)
    return None if recipe is None else finished(computing(recipe))


def recipe_of(extents: Extents, query: MetricsQuery) -> Recipe | None:
    """Return how a question is answered from extents, None where that is uncertain. The rows are not looked at."""
    if not extents.question.holds(query):
        return None
    chosen = tuple(_chosen(extents, query))
    if any(extent.known not in _CERTAIN for extent in chosen):
        return None
    ends = [extent.steps[-1] for extent in chosen if extent.rows]
    if ends:
        tails, fulls = (
            [one.tail_asked_s for one in chosen],
            [one.full_asked_between_s(query.first, query.last) for one in chosen],
        )
        names = [] if query.name is not None else [extents]
        tail_asked_s = min([*tails, *(one.tail_asked_s for one in names)])
        full_asked_s = min([*fulls, *(one.full_asked_s for one in names)])
    else:
        # Only a question about all rows proves that there are none: a delta doesn't see those before its first step.
        tail_asked_s = full_asked_s = min((extent.full_asked_s for extent in chosen), default=extents.full_asked_s)
    return Recipe(
        query=query,
        source=extents,
        chosen=chosen,
        grouped=query.group is not None and extents.question.group is None,
        tail_asked_s=tail_asked_s,
        full_asked_s=full_asked_s,
        through=min(ends, default=None),
    )


def computing(recipe: Recipe) -> Work[Computed]:
    """Compute an answer, with breaks."""
    parts: list[tuple[bytes, Sequence[bytes]]] = []
    number = 0
    for extent in recipe.chosen:
        rows = yield from _selecting(extent, recipe.query, recipe.grouped)
        parts.append((extent.head, rows))
        number += len(rows)
        if number >= _MOST_AT_ONCE:
            number = 0
            yield None
    body = yield from laying_out(parts)
    return Computed(body=body, tail_asked_s=recipe.tail_asked_s, full_asked_s=recipe.full_asked_s, through=recipe.through)


def is_outstanding(extents: Extents, query: MetricsQuery) -> bool:
    """Tell whether `answer` returns None only because some names are still to be asked for in full."""
    return {extent.known for extent in _chosen(extents, query)} - _CERTAIN == {Known.NOT_YET}


def _chosen(extents: Extents, query: MetricsQuery) -> Iterable[Extent]:
    """Return the extents that belong, or may belong, to the answer to a question."""
    if query.name is not None:
        names = [extents.by_name[query.name]] if query.name in extents.by_name else []
    else:
        names = [extent for extent in extents.by_name.values() if extent.known is not Known.NONE]
    if query.group is None or extents.question.group is not None:
        return names
    return (extent for extent in names if may_have_rows_of(extent, query.group))


def may_have_rows_of(extent: Extent, group: str) -> bool:
    """Tell whether a name has rows of a group, as far as is known: True where that is uncertain."""
    if extent.known not in _CERTAIN:
        return True
    return group == extent.group if extent.groups is None else group in extent.groups


def _selecting(extent: Extent, query: MetricsQuery, grouped: bool) -> Work[Sequence[bytes]]:
    """Return the rows of an extent that a question selects, without their common head. There are breaks in a long series."""
    first, last = window_of(extent.steps, query.first, query.last)
    rows = extent.rows
    if grouped and extent.groups is not None:
        groups = extent.groups
        of_it = [number for number in range(first, last) if groups[number] == query.group]
        return [rows[of_it[place]] for place in sampled(len(of_it), query.limit)]
    every = stride(last - first, query.limit)
    chosen = (yield from rows.parts.reading(first, last, every)) if isinstance(rows, LongRows) else rows[first:last:every]
    return [*chosen, rows[last - 1]] if every > 1 and (last - first - 1) % every else chosen


def laying_out(parts: Iterable[tuple[bytes, Sequence[bytes]]]) -> Work[bytes]:
    """Lay rows out as the upstream does, with breaks. Each part is the head that its rows begin with, and the rest of each."""
    done: list[bytes] = []
    number = 0
    before: tuple[bytes, list[bytes]] | None = None
    opening = PREFIX
    for head, rows in parts:
        if not rows:
            continue
        if before is not None:
            done.append(before[0].join(before[1]))
        # What goes before the first row is joined with it: a small answer is copied only once.
        before = (b"," + head, list(rows))
        before[1][0] = opening + head + rows[0]
        opening = b","
        number += len(rows)
        if number >= _MOST_AT_ONCE:
            number = 0
            yield None
    if before is None:
        return PREFIX + SUFFIX
    before[1][-1] += SUFFIX
    done.append(before[0].join(before[1]))
    return done[0] if len(done) == 1 else (yield done)
