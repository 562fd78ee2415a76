"""An answer of the upstream taken apart into extents: `core.series.extents` has the theory."""

import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import msgspec

from proxy.core.lone_surrogates import LoneSurrogates, without_surrogates
from proxy.core.pieces import Work, finished, pieces
from proxy.core.series.extents import PREFIX, SUFFIX, Extent, Extents, Known, Shape
from proxy.core.series.metrics_query import FIRST_INEXACT, MetricsQuery
from proxy.core.series.sampling import is_complete

# The upstream prints this for bytes that aren't UTF-8. Names and groups that differ in such bytes look alike here.
_UNREADABLE = "\ufffd"
OVERLAP_S = 60.0
_HEAD = re.compile(rb'\{"logName":"(?:[^"\\]|\\.)*","logGroup":"(?:[^"\\]|\\.)*",')
_STEP = re.compile(r"-?[0-9]{1,40}")
# The time in which rows settle is divided into so many parts: a delta asks for at most one part more than it needs.
_PARTS = 12


class _Body(msgspec.Struct):
    metrics: list[msgspec.Raw]


_rows = msgspec.json.Decoder(_Body)
_row = msgspec.json.Decoder(dict[str, Any])


@dataclass(slots=True, eq=False)
class Partition:
    """The rows of one name as they came, and what was read of each: what it takes to make an extent of them.

    `texts`: the rows' bytes. `steps`, `groups`, `times`: one of each for a row. `shapes`: the distinct ones, the first row's
    first. `documented`: all rows have a step of 0 or more, a number and a time. `interned`: the distinct groups.
    """

    name: str
    texts: list[bytes] = field(default_factory=list)
    steps: "array[int]" = field(default_factory=lambda: array("q"))
    groups: list[str] = field(default_factory=list)
    times: list[object] = field(default_factory=list)
    shapes: dict[Shape, None] = field(default_factory=dict)
    documented: bool = True
    # The decoder makes a text for each row's group: only one of those that are equal is kept.
    interned: dict[str, str] = field(default_factory=dict)

    def add(self, texts: list[bytes], rows: list[dict[str, Any]]) -> None:
        """Add rows, at least one, each with a name, a group and a step: their bytes, and what was read of them."""
        told = [row["step"] for row in rows]
        self.texts += texts
        self.steps += _steps(told)
        self.groups += [self.interned.setdefault(row["logGroup"], row["logGroup"]) for row in rows]
        self.times += [row.get("time") for row in rows]
        self.shapes |= dict.fromkeys(map(_shape, rows))
        kinds = {(type(row.get("value")), type(row.get("time"))) for row in rows}
        self.documented = self.documented and kinds <= _DOCUMENTED and not any(map(_is_negative, told))

    def join(self, other: "Partition") -> None:
        """Add the rows of the same name that came in another answer."""
        self.texts += other.texts
        self.steps += other.steps
        self.groups += [self.interned.setdefault(group, group) for group in other.groups]
        self.times += other.times
        self.shapes |= other.shapes


_DOCUMENTED = frozenset({(int, str), (float, str)})


def split(body: bytes, question: MetricsQuery, *, sent_at_s: float, overlap_s: float = OVERLAP_S) -> Extents:
    """Take an answer of the upstream apart.

    `sent_at_s`: when it was asked for (wall time). `overlap_s`: rows become visible out of order, so that rows may still be
    missing among those that were logged within so many seconds before a series' last one. Raises ValueError where the layout
    isn't the upstream's: rows one after the other, names in the order of their UTF-8 bytes, steps in numerical order.
    """
    return finished(splitting(body, question, sent_at_s=sent_at_s, overlap_s=overlap_s))


def splitting(
    body: bytes,
    question: MetricsQuery,
    *,
    sent_at_s: float,
    overlap_s: float = OVERLAP_S,
    documented: bool = False,
    presume: bool = False,
) -> Work[Extents]:
    """Take an answer apart as `split` does, piece by piece.

    `presume`: names with more rows than the limit can prove to be all, but not more than the limit, are presumed to be known in
    full (`Known.PRESUMED`), and their rows are held. Only for those who then prove or refute it.

    `documented`: rows must also have the shape that `core.question.shapes` demands, so that no other check is needed; a row
    without it raises ValueError. Of a field that is there twice the last one counts, as with readers of JSON.
    """
    by_name: dict[str, Extent] = {}
    for one in partitions(body):
        if one is None:
            yield None
            continue
        if documented and not one.documented:
            raise ValueError("a row does not have the documented shape")
        if is_complete(len(one.texts), question.limit):
            known = Known.ALL
        else:
            known = Known.PRESUMED if presume and len(one.texts) <= question.limit else Known.SOME
        by_name[one.name] = extent_of(one, known, first=question.first, sent_at_s=sent_at_s, overlap_s=overlap_s)
    names = [name.encode() for name in by_name]
    if names != sorted(names):
        raise ValueError("the names are not in order")
    return Extents(question=question, by_name=by_name, tail_asked_s=sent_at_s, full_asked_s=sent_at_s)


def partitions(body: bytes) -> Iterator[Partition | None]:
    """Yield the rows of each name of an answer, and None after each piece of it that was read.

    Raises ValueError where the layout isn't the upstream's.
    """
    seen: set[str] = set()
    current: Partition | None = None
    for piece in pieces(body):
        for name, texts, rows in _read(piece):
            if current is None or current.name != name:
                if current is not None:
                    yield current
                if name in seen:
                    raise ValueError("the rows of a name are not together")
                seen.add(name)
                current = Partition(name)
            current.add(texts, rows)
        yield None
    if current is not None:
        yield current


def _read(piece: bytes) -> list[tuple[str, list[bytes], list[dict[str, Any]]]]:
    """Return each name of a piece of an answer, with its rows as bytes and as read."""
    try:
        texts = [bytes(row) for row in _rows.decode(piece).metrics]
        # White space between the rows would make the piece longer.
        if not piece.startswith(PREFIX) or not piece.endswith(SUFFIX) or len(piece) != _length(texts):
            raise ValueError("the rows don't follow each other as they should")
        read = list(map(_row.decode, texts))
        parts = [
            (name, texts[first:last], read[first:last]) for name, first, last in _stretches([row["logName"] for row in read])
        ]
        for name, _, rows in parts:
            _check(name, rows)
    except (msgspec.DecodeError, RecursionError, KeyError, TypeError) as exc:
        if without_surrogates(piece) != piece:
            raise LoneSurrogates("a row holds a lone surrogate: names that differ in one would look alike") from None
        raise ValueError(f"a row does not have the documented shape: {exc}") from None
    return parts


def _stretches(names: list[str]) -> Iterator[tuple[str, int, int]]:
    """Yield (name, number of its first row, number after its last row) for each stretch of equal names."""
    first = 0
    while first < len(names):
        name = names[first]
        last = next((number for number in range(first + 1, len(names)) if names[number] != name), len(names))
        yield name, first, last
        first = last


def _check(name: object, rows: list[dict[str, Any]]) -> None:
    """Raise ValueError unless rows have a name, a group and a step of the documented types; KeyError where one is missing."""
    kinds = {type(row["step"]) for row in rows}
    strings = {type(name), *(type(row["logGroup"]) for row in rows)} == {str}
    if not strings or not kinds <= {int, str}:
        raise ValueError("a row does not have the documented shape")
    if str in kinds and not all(_STEP.fullmatch(str(row["step"])) for row in rows):
        raise ValueError("a step is not a number")


def _length(texts: list[bytes]) -> int:
    return len(PREFIX) + sum(map(len, texts)) + max(0, len(texts) - 1) + len(SUFFIX)


def extent_of(rows: Partition, known: Known, *, first: int, sent_at_s: float, overlap_s: float) -> Extent:
    """Return the extent of one name's rows, at least one. Raises ValueError where their steps are not in order.

    `known`: whether these are all rows of the name from step `first` on: ALL, PRESUMED or SOME. The extent's is UNCLEAR where
    nothing could be computed from them.
    """
    steps, groups = rows.steps, rows.groups
    distinct = array("q", sorted(set(steps)))
    strictly = distinct == steps
    if not strictly and array("q", sorted(steps)) != steps:
        raise ValueError("the steps of a name are not in order")
    clear = not any(_UNREADABLE in text for text in (rows.name, *rows.interned)) and len(rows.shapes) == 1
    exact = strictly and steps[0] >= 0 and steps[-1] < FIRST_INEXACT
    known = known if clear and exact else Known.UNCLEAR
    kept = known in {Known.ALL, Known.PRESUMED}
    head = _common_head(rows.texts) if kept else b""
    tails = tuple([text[len(head) :] for text in rows.texts]) if kept else ()
    return Extent(
        steps=steps,
        head=head,
        rows=tails,
        row_bytes=sum(map(len, tails)),
        group=groups[0],
        groups=tuple(groups) if kept and len(rows.interned) > 1 else None,
        shape=next(iter(rows.shapes)),
        known=known,
        tail_asked_s=sent_at_s,
        full_asked_s=sent_at_s,
        unsettled=_unsettled(steps, rows.times, first, sent_at_s=sent_at_s, overlap_s=overlap_s),
    )


def _common_head(texts: Sequence[bytes]) -> bytes:
    """Return the bytes of name and group that all rows begin with; empty where the rows differ in them."""
    found = _HEAD.match(texts[0])
    head = b"" if found is None else found[0]
    return head if all(text.startswith(head) for text in texts) else b""


def _steps(told: list[int | str]) -> "array[int]":
    numbers = list(map(int, told))
    try:
        return array("q", numbers)
    except OverflowError:
        # Steps beyond 64 bits are not exact anyway: see FIRST_INEXACT.
        return array("q", [max(-(2**63), min(number, 2**63 - 1)) for number in numbers])


def _is_negative(step: int | str) -> bool:
    return step.startswith("-") if isinstance(step, str) else step < 0


def _shape(row: dict[str, Any]) -> Shape:
    return (type(row["step"]), *row)


def _unsettled(
    steps: "array[int]", times: Sequence[object], first: int, *, sent_at_s: float, overlap_s: float
) -> tuple[tuple[float, int], ...]:
    """Return marks (wall time, step): until `overlap_s` after the time, rows may still come from that step on.

    The last row is taken to have been logged at `sent_at_s`. A row's time is its sender's, and only its distance from the last
    row's time counts: a row that was logged some seconds before the last one settles as many seconds earlier.
    """
    marks: list[tuple[float, int]] = []
    last = _time(times[-1])
    number = len(times) - 1
    for part in range(_PARTS):
        since = None if last is None else last - timedelta(seconds=overlap_s * (part + 1) / _PARTS)
        while number and ((time := _time(times[number - 1])) is None or since is None or time > since):
            number -= 1
        step = steps[number - 1] + 1 if number else first
        if not marks or step < marks[-1][1]:
            marks.append((sent_at_s - overlap_s * part / _PARTS, step))
    return tuple(marks)


def _time(told: object) -> datetime | None:
    if not isinstance(told, str):
        return None
    try:
        time = datetime.fromisoformat(told)
    except ValueError:
        return None
    if time.tzinfo is not None:
        # Times with and without a zone cannot be compared.
        time = time.replace(tzinfo=None)
    # From a time in the year 1 nothing could be subtracted.
    return time if time.year > 1 else None
