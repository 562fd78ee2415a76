"""Rows read for what a chart needs of them: steps, values and times."""

import math
import re
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import attrgetter

import msgspec

from proxy.core.lone_surrogates import read_json
from proxy.core.pieces import Work, pieces
from proxy.core.series.chunks import Chunk, Field
from proxy.core.series.extents import Extent
from proxy.core.series.long_rows import LongRows

_FLAGGED = {"NaN": math.nan, "Inf": math.inf, "-Inf": -math.inf}
# Rows as they are documented, without their names.
_LAYOUT = re.compile(rb'"value":([^"]+),"valueFlag":"([^"]*)","time":"([^"]*)","step":"?[^"]+"?\}')
_MOST_STEP = 2**63 - 1


class _Row(msgspec.Struct, gc=False):
    value: float | None = None
    flag: str = msgspec.field(default="", name="valueFlag")
    time: object = None


class _Stepped(_Row, gc=False):
    step: int | str = 0


class _Body(msgspec.Struct):
    metrics: list[_Stepped]


_rows = msgspec.json.Decoder(list[_Row])
_numbers = msgspec.json.Decoder(list[float])
_texts = msgspec.json.Decoder(list[str])
_body = msgspec.json.Decoder(_Body)
_value, _flag, _time = attrgetter("value"), attrgetter("flag"), attrgetter("time")


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Rows in the order of their steps.

    `values`: NaN and infinities stand for themselves. `times`: as the rows have them. `finite`: whether all values are.
    """

    steps: "array[int]"
    values: list[float]
    times: Sequence[object]
    finite: bool

    def time_s(self, number: int) -> float:
        """Return the time of a row as seconds since the epoch, NaN where it cannot be read."""
        return seconds(self.times[number])


def read_block(extent: Extent, begin: int, end: int) -> Rows:
    """Read rows `begin` to `end`, exclusive, of an extent: a block of it. Raises ChunkAbsentError."""
    if isinstance(extent.rows, LongRows):
        part, first, last = next(extent.rows.parts.within(begin, end))
        if isinstance(part, Chunk) and (fields := part.fields(_LAYOUT)) is not None:
            return _of_columns(fields, part.steps(first, last))
    return read_rows(extent.head, extent.rows[begin:end], extent.steps[begin:end])


def _of_columns(fields: Sequence[Field], steps: "array[int]") -> Rows:
    """Read rows from what stands in their fields: that takes a third of the time."""
    values, flags, times = fields
    numbers = _numbers.decode(b"[" + values.joined(b",") + b"]")
    finite = flags.column is None and not flags.before
    if not finite:
        told = _texts.decode(b'["' + flags.joined(b'","') + b'"]')
        numbers = [_FLAGGED.get(flag, number) for flag, number in zip(told, numbers, strict=True)]
    return Rows(steps, numbers, _texts.decode(b'["' + times.joined(b'","') + b'"]'), finite)


def read_rows(head: bytes, texts: Sequence[bytes], steps: "array[int]") -> Rows:
    """Read rows, at least one: their bytes without the `head` that they have in common, and their steps."""
    # The head is `{`, the names and a comma, or nothing.
    opening = b"{" if head else b""
    return _of(_rows.decode(b"[" + opening + (b"," + opening).join(texts) + b"]"), steps)


def reading_body(body: bytes) -> Work[Rows]:
    """Read an answer about one metric, with breaks. Raises ValueError where it is not of the documented shape."""
    rows: list[_Stepped] = []
    try:
        for piece in pieces(body):
            rows += read_json(_body, piece).metrics
            yield None
        told = [int(row.step) for row in rows]
    except (msgspec.DecodeError, RecursionError) as exc:
        raise ValueError(f"a row does not have the documented shape: {exc}") from None
    if told != sorted(told):
        order = sorted(range(len(told)), key=told.__getitem__)
        rows, told = [rows[number] for number in order], sorted(told)
    return _of(rows, array("q", [max(-_MOST_STEP, min(step, _MOST_STEP)) for step in told]))


def seconds(told: object) -> float:
    """Return a row's time as seconds since the epoch, NaN where it cannot be read. A time without a zone is UTC."""
    if not isinstance(told, str):
        return math.nan
    try:
        time = datetime.fromisoformat(told)
    except ValueError:
        return math.nan
    return (time if time.tzinfo is not None else time.replace(tzinfo=UTC)).timestamp()


def _of(rows: Sequence[_Row], steps: "array[int]") -> Rows:
    values = list(map(_value, rows))
    odd = any(map(_flag, rows)) or None in values
    if odd:
        values = list(map(_odd_value, rows))
    return Rows(steps, values, list(map(_time, rows)), not odd)


def _odd_value(row: _Row) -> float:
    if row.value is None:
        return math.nan
    return _FLAGGED.get(row.flag, row.value)
