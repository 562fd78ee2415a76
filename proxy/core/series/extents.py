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

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum

import msgspec
from msgspec.structs import replace as changed

from proxy.core.series.long_rows import NO_STEPS, ROW_BYTES, LongRows, Rows, Steps, parts_of, place_of, rows_of
from proxy.core.series.looks import Looks, oldest_look
from proxy.core.series.metrics_query import MetricsQuery

PREFIX, SUFFIX = b'{"metrics":[', b"]}"
Shape = tuple[object, ...]


class Known(Enum):
    """What is known of a name's rows."""

    ALL = "all"
    """All of them: answers can be computed from them."""
    NONE = "none"
    """The name has none, which was found out by asking for that name."""
    SOME = "some"
    """Some: there are more rows than one answer can prove to be all."""
    PRESUMED = "presumed"
    """Perhaps all: the rows are held until `service.proof.proving` has found out. Nothing is computed from them."""
    UNCLEAR = "unclear"
    """They share steps or are of different shapes, so that only the upstream can say what it would answer."""
    NOT_YET = "not yet"
    """The name has rows, and all of them are still to be asked for."""


_CERTAIN = frozenset({Known.ALL, Known.NONE})


class Extent(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What is known of one name: its rows in order of their steps. It holds rows only where `known` is ALL or PRESUMED.

    `steps[i]` is the step of row i, `groups[i]` its group; `groups` is None where all rows are in `group`. The bytes of row i
    are `head + rows[i]`: the part that all rows begin with would be a third of what is kept. Rows and steps of a long series
    are in chunks (`core.series.long_rows`). `row_bytes` is the length of all `rows` together, 0 where they are in chunks.
    `shape` is what all rows have in common: the type of their step and the names of their fields, in order.
    Of `unsettled`, each (wall time, step) tells when rows came and the smallest step of these: more may come from there on.
    `looks` tells the ages of the stretches of a long series (`core.series.looks`); it is empty where all rows are as old as
    `full_asked_s` says, which is the age of the oldest.

    The garbage collector needn't look into any of it, neither into this nor into tuples of bytes and text. At lists of a
    million rows it would look for 100 ms, again and again.
    """

    steps: Steps
    head: bytes
    rows: Rows
    row_bytes: int
    group: str
    groups: tuple[str, ...] | None
    shape: Shape
    known: Known
    tail_asked_s: float
    full_asked_s: float
    unsettled: tuple[tuple[float, int], ...]
    looks: Looks = ()

    def full_asked_between_s(self, first: int, last: int | None) -> float:
        """Return when the oldest of the rows in a window of steps, inclusive, was last asked for in full."""
        return oldest_look(self.looks, first, last) if self.looks else self.full_asked_s

    def texts(self, first: int = 0, last: int | None = None) -> list[bytes]:
        """Return the bytes of rows `first` to `last`, exclusive, as they came. Raises ChunkAbsentError."""
        return [self.head + row for row in self.rows[first:last]]

    def agrees(self, other: "Extent", mine: slice, others: slice) -> bool:
        """Tell whether the rows in slice `mine` are the same as those of the other extent in slice `others`.

        Raises ChunkAbsentError.
        """
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
    def is_presumed(self) -> bool:
        """Whether a name has rows of which nobody knows yet whether they are all."""
        return any(extent.known is Known.PRESUMED for extent in self.by_name.values())

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
        return sum(map(_size, self.by_name.values())) + 500


def _size(extent: Extent) -> int:
    rows = extent.rows
    held = rows.parts.size_bytes if isinstance(rows, LongRows) else extent.row_bytes + ROW_BYTES * len(rows)
    return held + 8 * len(extent.groups or ()) + 700


def is_long(extents: Extents) -> bool:
    """Tell whether extents are of one series, known in full, that has more rows than one answer may hold."""
    extent = extents.by_name.get(extents.question.name) if extents.question.name is not None else None
    return extent is not None and extent.known is Known.ALL and len(extent.steps) > extents.question.densest.limit


def window_of(steps: Steps, first: int, last: int | None) -> tuple[int, int]:
    """Return the rows from step `first` to `last`, inclusive: the number of the first row, and that after the last row."""
    begin = place_of(steps, first)
    return begin, len(steps) if last is None else max(begin, place_of(steps, last + 1))


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
    return changed(extent, steps=NO_STEPS, rows=(), row_bytes=0, groups=None, known=known, looks=())


def decided(extents: Extents, known: Known) -> Extents:
    """Return extents of which the names that were presumed to be known in full are, or are not: `known` is ALL or SOME."""
    by_name = {name: _decided(extent, known) for name, extent in extents.by_name.items()}
    return replace(extents, by_name=by_name) if extents.is_presumed else extents


def _decided(extent: Extent, known: Known) -> Extent:
    if extent.known is not Known.PRESUMED:
        return extent
    if known is Known.ALL:
        return changed(extent, known=known)
    return changed(extent, head=b"", rows=(), row_bytes=0, groups=None, known=known)


def concatenated(old: Extent, new: Extent, kept: int) -> Extent:
    """Return the first `kept` rows of one extent, followed by all rows of another one."""
    alike = old.groups is None and new.groups is None and old.group == new.group
    groups = None if alike else row_groups(old)[:kept] + row_groups(new)
    if old.head != new.head:
        old, new = _without_head(old), _without_head(new)
    if isinstance(old.rows, tuple) and isinstance(new.rows, tuple):
        # As nearly always: only what is new is looked at.
        row_bytes = old.row_bytes - sum(map(len, old.rows[kept:])) + new.row_bytes
        return changed(
            old, steps=old.steps[:kept] + new.steps[:], rows=old.rows[:kept] + new.rows, row_bytes=row_bytes, groups=groups
        )
    rows, steps = rows_of([*parts_of(old.rows, old.steps, 0, kept), *parts_of(new.rows, new.steps)])
    return with_rows(old, rows, steps, groups)


def with_rows_between(extent: Extent, other: Extent | None, begin: int, end: int) -> Extent:
    """Return an extent with all rows of another one in place of its own from number `begin` to `end`, exclusive.

    None has no rows. Raises ChunkAbsentError where a chunk is divided.
    """
    first = cut(extent, 0, begin) if other is None else concatenated(extent, other, begin)
    return first if end == len(extent.rows) else concatenated(first, cut(extent, end), len(first.rows))


def with_looks(extent: Extent, looks: Looks) -> Extent:
    """Return an extent with the ages of its stretches."""
    full_asked_s = min(at_s for _, at_s in looks)
    return changed(extent, looks=looks if len(looks) > 1 else (), full_asked_s=full_asked_s)


def looks_at(extent: Extent, first: int) -> Looks:
    """Return the ages of an extent's stretches; `first` is the first step of its window."""
    return extent.looks or ((first, extent.full_asked_s),)


def cut(extent: Extent, begin: int, end: int | None = None) -> Extent:
    """Return an extent with its rows from number `begin` to `end`, exclusive.

    Raises ChunkAbsentError where a chunk is divided.
    """
    rows, steps = rows_of(parts_of(extent.rows, extent.steps, begin, end))
    return with_rows(extent, rows, steps, None if extent.groups is None else extent.groups[begin:end])


def with_rows(extent: Extent, rows: Rows, steps: Steps, groups: tuple[str, ...] | None) -> Extent:
    """Return an extent with other rows, which begin with the same head."""
    row_bytes = 0 if isinstance(rows, LongRows) else sum(map(len, rows))
    return changed(extent, steps=steps, rows=rows, row_bytes=row_bytes, groups=groups)


def _without_head(extent: Extent) -> Extent:
    """Return an extent whose rows have no common head."""
    return changed(with_rows(extent, tuple(extent.texts()), extent.steps[:], extent.groups), head=b"")


def row_groups(extent: Extent) -> tuple[str, ...]:
    """Return the group of each row."""
    return (extent.group,) * len(extent.rows) if extent.groups is None else extent.groups


def in_order(by_name: dict[str, Extent]) -> dict[str, Extent]:
    """Return extents in the upstream's order: that of the UTF-8 bytes of their names."""
    return dict(sorted(by_name.items(), key=lambda item: item[0].encode()))
