"""What one answer of the upstream proves about series, and other answers made of it, byte for byte.

The theory. An answer to a question lists, for every name that has a row in the question's project, run, group and window, the
rows of that name, sampled to the question's limit (`core.sampling`). So one answer tells three things for certain, as of the
moment at which it was made:

- a name that isn't in it has no row that the question selects;
- a name with at most half the limit of rows is complete: these are all the rows that there are in that window and group;
- what is complete for a window holds what is asked for a narrower one; what is complete without a group holds each group.

From a complete stretch of a name (an **extent**) the upstream's answer to any narrower question is computed by its own rule:
select, number, sample, and write the very bytes of the rows one after the other as they came. Nothing is parsed again or
re-serialised.

What cannot be computed so, and is left to the upstream (`answer` returns None): names that are not complete; names of which
two rows share a step, because their order is undefined upstream; rows of different shapes (fields in another order, steps
quoted and unquoted) in one name, which means that the upstream was changing; steps of 2^53 and above, which may have lost
digits; names and groups with bytes that aren't UTF-8, which cannot be told from others.

All of an answer is computed from one answer of the upstream: it is what the upstream would have said at one moment, and its
age is that of the answer that it was made of."""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import msgspec

from proxy.core.metrics_query import FIRST_INEXACT, MetricsQuery
from proxy.core.sampling import is_complete, sampled, stride

_PREFIX, _SUFFIX = b'{"metrics":[', b"]}"
# What the upstream prints for bytes that aren't UTF-8: names and groups that differ there look alike here.
_UNREADABLE = "\ufffd"
Shape = tuple[object, ...]


class _Answer(msgspec.Struct):
    metrics: list[msgspec.Raw]


_rows = msgspec.json.Decoder(_Answer)
_row = msgspec.json.Decoder(dict[str, Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """The rows of one name, in order of their steps.

    Row i is at `starts[i]` up to `starts[i + 1] - 1` of the answer's body: a comma stands between two rows. `groups[i]` is
    the row's group, None where all rows are in `group`. `exact`: other answers can be computed from it."""

    steps: "array[int]"
    starts: "array[int]"
    group: str
    groups: list[str] | None
    exact: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Extents:
    """All names of one answer, in the upstream's order, with the body that they point into and the question it answers."""

    question: MetricsQuery
    body: bytes
    by_name: Mapping[str, Extent]

    @property
    def size_bytes(self) -> int:
        """What holding this costs beside the body: two numbers a row, its group's place, and some objects a name."""
        rows = sum(len(extent.steps) for extent in self.by_name.values())
        grouped = sum(len(extent.groups or ()) for extent in self.by_name.values())
        return 16 * rows + 8 * grouped + 600 * len(self.by_name) + 500


def split(body: bytes, question: MetricsQuery) -> Extents:
    """Take an answer of the upstream apart.

    Raises ValueError where it isn't laid out as the upstream's are: rows after each other, names in the order of their UTF-8
    bytes, steps in the order of their numbers.
    """
    try:
        raw = _rows.decode(body).metrics
        partitions = list(_partitions(raw))
    except (msgspec.DecodeError, KeyError) as exc:
        raise ValueError(f"a row does not have the documented shape: {exc}") from None
    starts = array("Q", [len(_PREFIX)])
    for row in raw:
        starts.append(starts[-1] + len(row) + 1)
    end = starts[-1] - 1 if raw else len(_PREFIX)
    # White space anywhere between the rows would move the end: that it is where it should be says that every row is.
    if not body.startswith(_PREFIX) or body[end:] != _SUFFIX:
        raise ValueError("the rows don't follow each other as they should")
    by_name: dict[str, Extent] = {}
    for name, first, last, rows in partitions:
        by_name[name] = _extent(name, rows, starts[first : last + 1], is_complete(last - first, question.limit))
    names = [name.encode() for name in by_name]
    if names != sorted(names):
        raise ValueError("the names are not in order")
    return Extents(question=question, body=body, by_name=by_name)


def answer(extents: Extents, query: MetricsQuery) -> bytes | None:
    """Return what the upstream would have told `query` when it answered `extents.question`; None where that is uncertain."""
    if not extents.question.holds(query):
        return None
    chosen = extents.by_name.values() if query.name is None else filter(None, [extents.by_name.get(query.name)])
    grouped = query.group is not None and extents.question.group is None
    pieces: list[bytes] = []
    for extent in chosen:
        if not extent.exact:
            return None
        if grouped and extent.groups is not None:
            pieces.extend(_of_group(extents.body, extent, query))
        elif not grouped or extent.group == query.group:
            pieces.extend(_of_all(extents.body, extent, query))
    return b"".join((_PREFIX, b",".join(pieces), _SUFFIX))


def _partitions(raw: list[msgspec.Raw]) -> Iterator[tuple[str, int, int, list[dict[str, Any]]]]:
    """Yield each name with the numbers of its first row and of the one after its last, and its rows."""
    name, first, rows = "", 0, list[dict[str, Any]]()
    seen: set[str] = set()
    for number, text in enumerate(raw):
        row = _row.decode(text)
        if rows and row["logName"] != name:
            yield name, first, number, rows
            seen.add(name)
            first, rows = number, []
        name = row["logName"]
        if name in seen:
            raise ValueError("the rows of a name are not together")
        rows.append(row)
    if rows:
        yield name, first, len(raw), rows


def _extent(name: str, rows: list[dict[str, Any]], starts: "array[int]", complete: bool) -> Extent:
    steps = array("q", (_step(row["step"]) for row in rows))
    pairs = list(pairwise(steps))
    if any(before > after for before, after in pairs):
        raise ValueError("the steps of a name are not in order")
    # Every row has a text of its own for its group: one for all that are equal is kept.
    shared: dict[str, str] = {}
    groups = [shared.setdefault(row["logGroup"], row["logGroup"]) for row in rows]
    clear = not any(_UNREADABLE in text for text in (name, *shared))
    alike = len(set(map(_shape, rows))) == 1
    strictly = all(before < after for before, after in pairs)
    return Extent(
        steps=steps,
        starts=starts,
        group=groups[0],
        groups=None if len(shared) == 1 else groups,
        exact=complete and clear and alike and strictly and steps[0] >= 0 and steps[-1] < FIRST_INEXACT,
    )


def _step(step: int | str) -> int:
    # Beyond what an array holds there is no exactness anyway.
    return max(-(2**63), min(int(step), 2**63 - 1))


def _shape(row: dict[str, Any]) -> Shape:
    return (type(row["step"]), *row)


def _of_all(body: bytes, extent: Extent, query: MetricsQuery) -> Iterator[bytes]:
    """Yield the pieces of an extent that a question selects, whatever the group."""
    first, last = _window(extent, query)
    if first == last:
        return
    starts = extent.starts
    if stride(last - first, query.limit) == 1:
        yield body[starts[first] : starts[last] - 1]
        return
    for number in sampled(last - first, query.limit):
        yield body[starts[first + number] : starts[first + number + 1] - 1]


def _of_group(body: bytes, extent: Extent, query: MetricsQuery) -> Iterator[bytes]:
    """Yield the pieces of an extent with rows of several groups."""
    first, last = _window(extent, query)
    groups, starts = extent.groups or [], extent.starts
    of_it = [number for number in range(first, last) if groups[number] == query.group]
    for place in sampled(len(of_it), query.limit):
        yield body[starts[of_it[place]] : starts[of_it[place] + 1] - 1]


def _window(extent: Extent, query: MetricsQuery) -> tuple[int, int]:
    first = bisect_left(extent.steps, query.first)
    return first, len(extent.steps) if query.last is None else max(first, bisect_right(extent.steps, query.last))
