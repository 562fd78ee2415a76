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
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

import msgspec
from msgspec.structs import replace as changed

from proxy.core.series.metrics_query import MetricsQuery

PREFIX, SUFFIX = b'{"metrics":[', b"]}"
Shape = tuple[object, ...]
NO_STEPS: "array[int]" = array("q")
# A row's object and its place in the list, beside its bytes; its step; rounded up to what the allocator hands out.
_ROW_BYTES = 33 + 8 + 8 + 8


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
    unsettled: tuple[tuple[float, int], ...]

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


def window_of(steps: "array[int]", first: int, last: int | None) -> tuple[int, int]:
    """Return which rows lie in a window of steps: the number of the first one and that after the last."""
    begin = bisect_left(steps, first)
    return begin, len(steps) if last is None else max(begin, bisect_right(steps, last))


def no_rows(sent_at_s: float) -> Extent:
    """Return what is known of a name that was asked for and has no rows."""
    return Extent(
        steps=NO_STEPS,
        head=b"",
        rows=(),
        row_bytes=0,
        group="",
        groups=None,
        shape=(),
        known=Known.NONE,
        tail_asked_s=sent_at_s,
        full_asked_s=sent_at_s,
        unsettled=(),
    )


def without_rows(extent: Extent, known: Known = Known.NOT_YET) -> Extent:
    """Return a name without its rows: they are still to be asked for, unless `known` says otherwise."""
    return changed(extent, steps=NO_STEPS, rows=(), row_bytes=0, groups=None, known=known)


def concatenated(old: Extent, new: Extent, kept: int) -> Extent:
    """Return the first `kept` rows of one extent and all of another one behind them."""
    alike = old.groups is None and new.groups is None and old.group == new.group
    if old.head == new.head:
        head, rows = old.head, old.rows[:kept] + new.rows
        row_bytes = old.row_bytes - sum(map(len, old.rows[kept:])) + new.row_bytes
    else:
        head, rows = b"", (*old.texts(0, kept), *new.texts())
        row_bytes = sum(map(len, rows))
    return changed(
        old,
        steps=old.steps[:kept] + new.steps,
        head=head,
        rows=rows,
        row_bytes=row_bytes,
        groups=None if alike else _row_groups(old)[:kept] + _row_groups(new),
    )


def _row_groups(extent: Extent) -> tuple[str, ...]:
    return (extent.group,) * len(extent.rows) if extent.groups is None else extent.groups


def in_order(by_name: dict[str, Extent]) -> dict[str, Extent]:
    """Return names in the upstream's order: that of their UTF-8 bytes."""
    return dict(sorted(by_name.items(), key=lambda item: item[0].encode()))
