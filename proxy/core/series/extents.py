"""Complete stretches of series, and answers made of them, byte for byte.

The theory. An answer to a question lists, for every name that has a row in the question's project, run, group and window, the
rows of that name, sampled to the question's limit (`core.series.sampling`). So one answer tells three things for certain, as of
the moment at which it was made:

- a name that isn't in it has no row that the question selects;
- a name with at most half the limit of rows is complete: these are all the rows that there are in that window and group;
- what is complete for a window holds what is asked for a narrower one; what is complete without a group holds each group.

From a complete stretch of a name (an **extent**) the upstream's answer to any narrower question is computed by its own rule:
select, number, sample, and write the very bytes of the rows one after the other as they came. Nothing is parsed again or
re-serialised. `core.series.answers` takes answers apart into extents; `core.series.growth` adds to extents what later answers
tell.

What cannot be computed so, and is left to the upstream (`answer` returns None): names that are not complete; names of which
two rows share a step, because their order is undefined upstream; rows of different shapes (fields in another order, steps
quoted and unquoted) in one name, which means that the upstream was changing; steps of 2^53 and above, which may have lost
digits; names and groups with bytes that aren't UTF-8, which cannot be told from others.

Every extent has two ages. `tail_asked_s`: when its tail, the newest of its rows, was last asked for. `full_asked_s`: when it
was last asked for in full; behind the tail nothing was looked at since. An answer has the ages of its oldest part.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import msgspec

from proxy.core.pieces import Work, finished
from proxy.core.series.metrics_query import MetricsQuery
from proxy.core.series.sampling import sampled, stride

PREFIX, SUFFIX = b'{"metrics":[', b"]}"
Shape = tuple[object, ...]
# A row's object and its place in the list, beside its bytes; its step; rounded up to what the allocator hands out.
_ROW_BYTES = 33 + 8 + 8 + 8
# So many rows are laid out before the work may be left: about 0.5 ms.
_MOST_AT_ONCE = 5_000


class Known(Enum):
    """What is known of a name's rows."""

    ALL = "all"
    """They are all there, and other answers can be computed from them."""
    NONE = "none"
    """There are none, which was found out by asking for the name itself."""
    SOME = "some"
    """There are more of them than one answer can prove to be all."""
    UNCLEAR = "unclear"
    """They share steps, or are of different shapes: what the upstream would answer is for the upstream to say."""
    NOT_YET = "not yet"
    """There are some, and all of them are still to be asked for."""


_CERTAIN = frozenset({Known.ALL, Known.NONE})


class Extent(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The rows of one name, in order of their steps; none unless all of them are `known`.

    `steps[i]` is a row's number, `groups[i]` its group, `groups` None where all rows are in `group`. Its bytes are `head` and
    `rows[i]` behind it: all rows of a name begin alike, which would be a third of what is kept. `row_bytes` is how long `rows`
    are together. `shape` is what all rows have in common: the type of their step and the names of their fields, in order. Both
    ages are wall times. `seen` tells when rows came and the smallest step of those that came then.

    The garbage collector needn't look into any of it, neither into this nor into tuples of bytes and text. At lists of a
    million rows it would look for 100 ms, again and again.
    """

    steps: "array[int]"
    head: bytes
    rows: tuple[bytes, ...]
    row_bytes: int
    group: str
    groups: tuple[str, ...] | None
    shape: Shape
    known: Known
    tail_asked_s: float
    full_asked_s: float
    seen: tuple[tuple[float, int], ...]

    def texts(self, first: int = 0, last: int | None = None) -> list[bytes]:
        """Return rows as they came."""
        return [self.head + row for row in self.rows[first:last]]

    def agrees(self, other: "Extent", mine: slice, others: slice) -> bool:
        """Tell whether some of the rows are the same as some of another extent's."""
        if self.head == other.head:
            return self.rows[mine] == other.rows[others]
        return self.texts(mine.start, mine.stop) == other.texts(others.start, others.stop)


@dataclass(frozen=True, slots=True, kw_only=True)
class Extents:
    """All names that a question's filters and window select, in the upstream's order; its limit says nothing here.

    Both ages are those of the knowledge that there are no other names: `full_asked_s` where no row of theirs was looked for
    since, `tail_asked_s` where none came behind what is there.
    """

    question: MetricsQuery
    by_name: Mapping[str, Extent]
    tail_asked_s: float
    full_asked_s: float

    def covers(self, other: "Extents") -> bool:
        """Tell whether all that `other` tells is told here too, be it of another time."""
        return self.question.holds(other.question) and not any(
            extent.known is Known.ALL and name in self.by_name and self.by_name[name].known is not Known.ALL
            for name, extent in other.by_name.items()
        )

    @property
    def complete(self) -> dict[str, Extent]:
        """The names of which all rows are there."""
        return {name: extent for name, extent in self.by_name.items() if extent.known is Known.ALL}

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return sum(len(extent.rows) for extent in self.by_name.values())

    @property
    def size_bytes(self) -> int:
        """What holding this costs: the rows, what goes with each, and some objects a name."""
        costs = (
            extent.row_bytes + _ROW_BYTES * len(extent.rows) + 8 * len(extent.groups or ()) + 700
            for extent in self.by_name.values()
        )
        return sum(costs) + 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Computed:
    """An answer made of extents, with the ages of its oldest part.

    `through`: the smallest of the last steps that are known of its series, None where it has none.
    """

    body: bytes
    tail_asked_s: float
    full_asked_s: float
    through: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How an answer is computed: what it is made of, and the ages and the last step that it will have."""

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


def answer(extents: Extents, query: MetricsQuery) -> Computed | None:
    """Return what the upstream would have told `query` at the time of `extents`; None where that is uncertain."""
    recipe = recipe_of(extents, query)
    return None if recipe is None else finished(computing(recipe))


def recipe_of(extents: Extents, query: MetricsQuery) -> Recipe | None:
    """Return how a question is answered from extents, None where that is uncertain; no rows are looked at."""
    if not extents.question.holds(query):
        return None
    chosen = tuple(_chosen(extents, query))
    if any(extent.known not in _CERTAIN for extent in chosen):
        return None
    ends = [extent.steps[-1] for extent in chosen if extent.rows]
    if ends:
        parts: list[Extent | Extents] = [*chosen] if query.name is not None else [*chosen, extents]
        tail_asked_s, full_asked_s = min(part.tail_asked_s for part in parts), min(part.full_asked_s for part in parts)
    else:
        # That a name has no rows is known since all of them were looked for: who asks for the newest ones would not see them.
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
    """Compute an answer, some names at a time."""
    body = yield from laying_out((extent.head, _selected(extent, recipe.query, recipe.grouped)) for extent in recipe.chosen)
    return Computed(body=body, tail_asked_s=recipe.tail_asked_s, full_asked_s=recipe.full_asked_s, through=recipe.through)


def is_outstanding(extents: Extents, query: MetricsQuery) -> bool:
    """Tell whether `answer` returns None since some names, of which more may become known, are still to be asked for."""
    return {extent.known for extent in _chosen(extents, query)} - _CERTAIN == {Known.NOT_YET}


def _chosen(extents: Extents, query: MetricsQuery) -> Iterable[Extent]:
    """Return what an answer to a question is made of, with everything of which nobody knows whether it belongs to it."""
    if query.name is not None:
        names = [extents.by_name[query.name]] if query.name in extents.by_name else []
    else:
        names = [extent for extent in extents.by_name.values() if extent.known is not Known.NONE]
    if query.group is None or extents.question.group is not None:
        return names
    return (extent for extent in names if may_hold(extent, query.group))


def may_hold(extent: Extent, group: str) -> bool:
    """Tell whether a name may have rows of a group."""
    if extent.known not in _CERTAIN:
        return True
    return group == extent.group if extent.groups is None else group in extent.groups


def _selected(extent: Extent, query: MetricsQuery, grouped: bool) -> Sequence[bytes]:
    """Return what follows the head in the rows of an extent that a question selects."""
    first, last = window_of(extent.steps, query.first, query.last)
    rows = extent.rows
    if grouped and extent.groups is not None:
        groups = extent.groups
        of_it = [number for number in range(first, last) if groups[number] == query.group]
        return [rows[of_it[place]] for place in sampled(len(of_it), query.limit)]
    every = stride(last - first, query.limit)
    chosen = rows[first:last:every]
    if every > 1 and (last - first - 1) % every:
        chosen += (rows[last - 1],)
    return chosen


def laying_out(parts: Iterable[tuple[bytes, Sequence[bytes]]]) -> Work[bytes]:
    """Lay rows out as the upstream does, some parts at a time: what all rows of a part begin with, and the rest of each."""
    done: list[bytes] = []
    number = 0
    before: tuple[bytes, list[bytes]] | None = None
    opening = PREFIX
    for head, rows in parts:
        if not rows:
            continue
        if before is not None:
            done.append(before[0].join(before[1]))
        # Within what is joined anyway: a small answer is copied once.
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


def window_of(steps: "array[int]", first: int, last: int | None) -> tuple[int, int]:
    """Return which rows lie in a window of steps: the number of the first one and that after the last."""
    begin = bisect_left(steps, first)
    return begin, len(steps) if last is None else max(begin, bisect_right(steps, last))
