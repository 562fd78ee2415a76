"""An answer of the upstream taken apart into extents: `core.extents` has the theory."""

import re
from array import array
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import msgspec

from proxy.core.extents import PREFIX, SUFFIX, Extent, Extents, Known, Shape
from proxy.core.metrics_query import FIRST_INEXACT, MetricsQuery
from proxy.core.sampling import is_complete

# What the upstream prints for bytes that aren't UTF-8: names and groups that differ there look alike here.
_UNREADABLE = "\ufffd"
OVERLAP_S = 60.0
_WHOLE = re.compile(r"-?[0-9]{1,40}")
# Into so many parts the time is divided in which rows settle: asked again is at most one part more than is needed.
_PARTS = 12


class _Answer(msgspec.Struct):
    metrics: list[msgspec.Raw]


_rows = msgspec.json.Decoder(_Answer)
_row = msgspec.json.Decoder(dict[str, Any])
Partition = tuple[str, list[bytes], list[dict[str, Any]]]


def split(body: bytes, question: MetricsQuery, *, sent_at_s: float, overlap_s: float = OVERLAP_S) -> Extents:
    """Take an answer of the upstream apart.

    `sent_at_s`: when it was asked for (wall time). `overlap_s`: rows become visible out of order, so that there may be gaps
    among those that were logged within so many seconds before a series' last one. Raises ValueError where it isn't laid out as
    the upstream's are: rows after each other, names in the order of their UTF-8 bytes, steps in the order of their numbers.
    """
    by_name: dict[str, Extent] = {}
    for name, texts, rows in partitions(body):
        complete = is_complete(len(rows), question.limit)
        by_name[name] = extent_of(
            name, texts, rows, complete=complete, first=question.first, sent_at_s=sent_at_s, overlap_s=overlap_s
        )
    names = [name.encode() for name in by_name]
    if names != sorted(names):
        raise ValueError("the names are not in order")
    return Extents(question=question, by_name=by_name, tail_at_s=sent_at_s, whole_at_s=sent_at_s)


def partitions(body: bytes) -> Iterator[Partition]:
    """Yield each name of an answer with its rows, as they came and read. Raises ValueError where the layout is another one."""
    try:
        raw = _rows.decode(body).metrics
        texts = [bytes(row) for row in raw]
        # White space anywhere between the rows would make it longer.
        if not body.startswith(PREFIX) or not body.endswith(SUFFIX) or len(body) != _length(texts):
            raise ValueError("the rows don't follow each other as they should")
        yield from _partitions(texts)
    except (msgspec.DecodeError, RecursionError, KeyError, TypeError) as exc:
        raise ValueError(f"a row does not have the documented shape: {exc}") from None


def _check(name: object, rows: list[dict[str, Any]]) -> None:
    """Raise ValueError unless rows have a name, a group and a step of the documented types; KeyError where one is missing."""
    kinds = {type(row["step"]) for row in rows}
    strings = {type(name), *(type(row["logGroup"]) for row in rows)} == {str}
    if not strings or not kinds <= {int, str}:
        raise ValueError("a row does not have the documented shape")
    if str in kinds and not all(_WHOLE.fullmatch(str(row["step"])) for row in rows):
        raise ValueError("a step is not a number")


def _length(texts: list[bytes]) -> int:
    return len(PREFIX) + sum(map(len, texts)) + max(0, len(texts) - 1) + len(SUFFIX)


def _partitions(texts: list[bytes]) -> Iterator[Partition]:
    read = list(map(_row.decode, texts))
    names = [row["logName"] for row in read]
    seen: set[str] = set()
    first = 0
    while first < len(names):
        name = names[first]
        last = next((number for number in range(first + 1, len(names)) if names[number] != name), len(names))
        _check(name, rows := read[first:last])
        if name in seen:
            raise ValueError("the rows of a name are not together")
        seen.add(name)
        yield name, texts[first:last], rows
        first = last


def extent_of(
    name: str, texts: list[bytes], rows: list[dict[str, Any]], *, complete: bool, first: int, sent_at_s: float, overlap_s: float
) -> Extent:
    """Return what some rows of a name, at least one, tell of it. Raises ValueError where they are not in order."""
    steps = _steps([row["step"] for row in rows])
    ordered = sorted(steps)
    if ordered != list(steps):
        raise ValueError("the steps of a name are not in order")
    # Every row has a text of its own for its group: one for all that are equal is kept.
    shared: dict[str, str] = {}
    groups = [shared.setdefault(row["logGroup"], row["logGroup"]) for row in rows]
    clear = not any(_UNREADABLE in text for text in (name, *shared)) and len(set(map(_shape, rows))) == 1
    strictly = len(set(steps)) == len(steps) and steps[0] >= 0 and steps[-1] < FIRST_INEXACT
    known = Known.UNCLEAR if not (clear and strictly) else Known.ALL if complete else Known.SOME
    kept = known is Known.ALL
    return Extent(
        steps=steps,
        rows=texts if kept else [],
        group=groups[0],
        groups=groups if kept and len(shared) > 1 else None,
        shape=_shape(rows[0]),
        known=known,
        tail_at_s=sent_at_s,
        whole_at_s=sent_at_s,
        seen=_unsettled(steps, rows, first, sent_at_s=sent_at_s, overlap_s=overlap_s),
    )


def _steps(told: list[int | str]) -> "array[int]":
    numbers = list(map(int, told))
    try:
        return array("q", numbers)
    except OverflowError:
        # Beyond what an array holds there is no exactness anyway.
        return array("q", [max(-(2**63), min(number, 2**63 - 1)) for number in numbers])


def _shape(row: dict[str, Any]) -> Shape:
    return (type(row["step"]), *row)


def _unsettled(
    steps: "array[int]", rows: list[dict[str, Any]], first: int, *, sent_at_s: float, overlap_s: float
) -> tuple[tuple[float, int], ...]:
    """Return from which steps on there may be gaps that are still to be filled, and since when each has been known.

    A row's time is its sender's: nothing is concluded from it but how far it lies before that of the last row, which is taken
    to have been logged just now. What was logged some time before that settles as much earlier.
    """
    marks: list[tuple[float, int]] = []
    last = _time(rows[-1])
    number = len(rows) - 1
    for part in range(_PARTS):
        since = None if last is None else last - timedelta(seconds=overlap_s * (part + 1) / _PARTS)
        while number and ((time := _time(rows[number - 1])) is None or since is None or time > since):
            number -= 1
        step = steps[number - 1] + 1 if number else first
        if not marks or step < marks[-1][1]:
            marks.append((sent_at_s - overlap_s * part / _PARTS, step))
    return tuple(marks)


def _time(row: dict[str, Any]) -> datetime | None:
    try:
        # A zone would make times that cannot be compared.
        time = datetime.fromisoformat(row["time"]).replace(tzinfo=None)
    except (ValueError, KeyError, TypeError):
        return None
    # There is no time before the first day of all.
    return time if time.year > 1 else None
