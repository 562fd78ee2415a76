"""Views of series as a document, in JSON or as CSV."""

import csv
import io
import math
from array import array
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from proxy.core.pieces import Work
from proxy.core.view.painting import Painted, View
from proxy.service.view.viewing import Seen

# What each column is called, and what `Buckets` calls it.
COLUMNS = {
    "step": "step",
    "time": "time",
    "count": "count",
    "min": "least",
    "max": "greatest",
    "mean": "mean",
    "first": "first",
    "last": "last",
    "nan": "nan",
    "inf": "inf",
    "neg_inf": "neg_inf",
}
SMOOTHED = "smoothed"
# A spreadsheet takes a text that begins with one of these for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_LINES_AT_ONCE = 500


def json_of(seen: Sequence[Seen], view: View) -> Work[bytes]:
    """Return views as JSON, with breaks. What is no finite number is null."""
    opening = b'{"points":%d,"smooth":%b,"series":[' % (view.points, msgspec.json.encode(view.constant))
    parts = []
    for one in seen:
        parts.append(msgspec.json.encode((yield from _told(one, view))))
        yield None
    return (yield [opening, b",".join(parts), b"]}"])


def csv_of(seen: Iterable[Seen], view: View) -> Work[bytes]:
    """Return views as CSV (RFC 4180), with breaks: a line for each bucket. What is no finite number is left empty."""
    parts = [_lines([["run", "metric", "state", *COLUMNS, *([SMOOTHED] if view.constant else ())]])]
    for one in seen:
        if one.painted is not None:
            texts = [_text(one.wanted.run), _text(one.wanted.metric), one.state.value]
            rows = zip(*(map(_cell, column) for column in columns_of(one.painted).values()), strict=True)
            for some in _batches([[*texts, *row] for row in rows]):
                parts.append(_lines(some))
                yield None
    return (yield parts)


def columns_of(painted: Painted) -> "dict[str, array[float]]":
    """Return the columns of a view by their names."""
    columns: dict[str, array[float]] = {name: getattr(painted.buckets, ours) for name, ours in COLUMNS.items()}
    return columns if painted.smoothed is None else {**columns, SMOOTHED: painted.smoothed}


def _told(seen: Seen, view: View) -> Work[dict[str, object]]:
    error, painted = seen.error, seen.painted
    columns = dict.fromkeys((*COLUMNS, *([SMOOTHED] if view.constant else ())), msgspec.Raw(b"[]"))
    if painted is not None:
        for name, column in columns_of(painted).items():
            columns[name] = msgspec.Raw(msgspec.json.encode(column.tolist()))
            yield None
    return {
        "run": seen.wanted.run,
        "metric": seen.wanted.metric,
        "state": seen.state,
        "through": seen.through,
        "asked_at_s": seen.asked_at_s,
        "full_asked_at_s": seen.full_asked_at_s,
        "rows": 0 if painted is None else painted.rows,
        "width": 1 if painted is None else painted.width,
        "version": seen.version,
        "error": None if error is None else {"code": error.code, "title": error.title, "detail": error.detail},
        "columns": columns,
    }


def _batches(rows: Sequence[Sequence[object]]) -> Iterator[Sequence[Sequence[object]]]:
    return (rows[first : first + _LINES_AT_ONCE] for first in range(0, len(rows), _LINES_AT_ONCE))


def _lines(rows: Iterable[Sequence[object]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _cell(value: float) -> object:
    return value if math.isfinite(value) else None


def _text(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text
