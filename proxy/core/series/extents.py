"""Complete stretches of series, from which answers are computed byte for byte.

The theory. An answer to a question lists, for every name that has a row in the question's project, run, group and window, the
rows of that name, sampled to the question's limit (`core.series.sampling`). So one answer tells three things for certain, as of
the moment at which it was made:

- a name that isn't in it has no row that the question selects;
- a name with at most half the limit of rows is complete: these are all its rows in that window and group;
- rows that are complete for a window hold those of any narrower window, and rows of all groups hold those of each group.

From a complete stretch of a name's rows (an **extent**) the upstream's answer to any narrower question is computed by the
upstream's own rule: select rows, number them, sample, and write the bytes of each as they came. Nothing is parsed again or
re-serialised. `core.series.answers` takes answers apart into extents, `core.series.recipes` computes answers from them, and
`core.series.growth` adds to them what later answers tell.

Some questions are left to the upstream (`recipes.answer` returns None), namely those about

- names that are not complete;
- names of which two rows share a step: their order is undefined upstream;
- names with rows of different shapes (another order of fields, steps with and without quotes): the upstream was changing;
- steps of 2^53 and above, which may have lost digits;
- names and groups with bytes that aren't UTF-8, which cannot be told apart.

Every extent has two ages, both wall times. `tail_asked_s` is when its tail, the newest rows, was last asked for. `full_asked_s`
is when all of it was last asked for: rows before the tail may have changed since. An answer has the ages of its oldest part.
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
# What a row costs beside its bytes: its object, its place in the tuple, its step, and what the allocator rounds up.
_ROW_BYTES = 33 + 8 + 8 + 8


class Known(Enum):
    """What is known of a name's rows."""

    ALL = "all"
    """All of them: answers can be computed from them."""
    NONE = "none"
    """The name has none, which was found out by asking for that name."""
    SOME = "some"
    """Some: there are more rows than one answer can prove to be all."""
    UNCLEAR = "unclear"
    """They share steps or are of different shapes, so that only the upstream can say what it would answer."""
    NOT_YET = "not yet"
    """The name has rows, and all of them are still to be asked for."""


_CERTAIN = frozenset({Known.ALL, Known.NONE})


class Extent(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What is known of one name: its rows in order of their steps. It holds rows only where `known` is ALL.

    `steps[i]` is the step of row i, `groups[i]` its group; `groups` is None where all rows are in `group`. The bytes of row i
    are `head + rows[i]`: the part that all rows begin with would be a third of what is kept. `row_bytes` is the length of all
    `rows` together. `shape` is what all rows have in common: the type of their step and the names of their fields, in order.
    Of `unsettled`, each (wall time, step) tells when rows came and the smallest step of these: more may come from there on.

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
        """Return the bytes of rows `first` to `last`, exclusive, as they came."""
        return [self.head + row for row in self.rows[first:last]]

    def agrees(self, other: "Extent", mine: slice, others: slice) -> bool:
        """Tell whether the rows in slice `mine` are the same as those of the other extent in slice `others`."""
        if self.head == other.head:
            return self.rows[mine] == other.rows[others]
        return self.texts(mine.start, mine.stop) == other.texts(others.start, others.stop)


@dataclass(frozen=True, slots=True, kw_only=True)
class Extents:
    """All names that a question's filters and window select, in the upstream's order. The question's limit plays no part.

    Both ages (wall times) are those of the knowledge that there are no other names: at `full_asked_s` no other name had a row,
    at `tail_asked_s` none had a new one.
    """

    question: MetricsQuery
    by_name: Mapping[str, Extent]
    tail_asked_s: float
    full_asked_s: float

    def covers(self, other: "Extents") -> bool:
        """Tell whether whatever is known in `other` is known here too, possibly as of another time."""
        return self.question.holds(other.question) and not any(
            extent.known is Known.ALL and name in self.by_name and self.by_name[name].known is not Known.ALL
            for name, extent in other.by_name.items()
        )

    @property
    def complete(self) -> dict[str, Extent]:
        """The extents of the names of which all rows are known."""
        return {name: extent for name, extent in self.by_name.items() if extent.known is Known.ALL}

    @property
    def rows(self) -> int:
        """The number of rows of all names together."""
        return sum(len(extent.rows) for extent in self.by_name.values())

    @property
    def oldest_asked_s(self) -> float:
        """When the part was asked for that was last asked for in full the longest ago (wall time)."""
        return min([self.full_asked_s, *(extent.full_asked_s for extent in self.by_name.values())])

    @property
    def size_bytes(self) -> int:
        """What holding this costs in memory: the rows, what goes with each, and some objects a name."""
        costs = (
            extent.row_bytes + _ROW_BYTES * len(extent.rows) + 8 * len(extent.groups or ()) + 700
            for extent in self.by_name.values()
        )
        return sum(costs) + 500


def window_of(steps: "array[int]", first: int, last: int | None) -> tuple[int, int]:
    """Return the rows from step `first` to `last`, inclusive: the number of the first row, and that after the last row."""
    begin = bisect_left(steps, first)
    return begin, len(steps) if last is None else max(begin, bisect_right(steps, last))


def no_rows(sent_at_s: float) -> Extent:
    """Return the extent of a name that was asked for at a wall time and has no rows."""
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
    """Return an extent without its rows: they are still to be asked for, unless `known` says otherwise."""
    return changed(extent, steps=NO_STEPS, rows=(), row_bytes=0, groups=None, known=known)


def concatenated(old: Extent, new: Extent, kept: int) -> Extent:
    """Return the first `kept` rows of one extent, followed by all rows of another one."""
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
        groups=None if alike else row_groups(old)[:kept] + row_groups(new),
    )


def row_groups(extent: Extent) -> tuple[str, ...]:
    """Return the group of each row."""
    return (extent.group,) * len(extent.rows) if extent.groups is None else extent.groups


def in_order(by_name: dict[str, Extent]) -> dict[str, Extent]:
    """Return extents in the upstream's order: that of the UTF-8 bytes of their names."""
    return dict(sorted(by_name.items(), key=lambda item: item[0].encode()))
