"""Views of rows, painted and compared with the oracle's."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from unittest.mock import patch

from hypothesis import strategies as st

from proxy.core.pieces import finished
from proxy.core.series.extents import Extent
from proxy.core.view import blocks as blocks_module
from proxy.core.view import summaries
from proxy.core.view.blocks import blocks
from proxy.core.view.painting import Painted, Painter, Pyramid, View
from tests.support import view_oracle as oracle
from tests.support.oracle import OracleRow
from tests.support.oracle_upstream import row
from tests.support.view_oracle import Point

_FLAGS = {"nan": "NaN", "inf": "Inf", "-inf": "-Inf"}
_VALUES = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([math.nan, math.inf, -math.inf, 0.1, 1.7e308, -1.7e308, -0.0]),
    st.floats(-10, 10),
)


@contextmanager
def small() -> Iterator[None]:
    """Let a few rows make a block, and a bucket of its summary."""
    with patch.object(blocks_module, "OPEN_ROWS", 3), patch.object(summaries, "ROWS", 2):
        yield


@st.composite
def series(draw: st.DrawFn, *, most: int = 60) -> list[Point]:
    """Return rows, most of them one step apart, some far."""
    gaps = draw(
        st.lists(st.one_of(st.just(1), st.integers(1, 9), st.sampled_from([64, 1000, 2**40])), min_size=1, max_size=most)
    )
    step = draw(st.sampled_from([0, 1, 7, 1024])) - 1
    points: list[Point] = []
    for gap in gaps:
        step += gap
        points.append(Point(step, draw(_VALUES), draw(st.sampled_from([None, 0.5, 1_767_225_600.125]))))
    return points


@st.composite
def views(draw: st.DrawFn, points: Sequence[Point]) -> View:
    """Return a view of some part of a series."""
    steps = [point.step for point in points]
    first = draw(st.one_of(st.just(0), st.sampled_from(steps), st.integers(0, steps[-1] + 2)))
    last = draw(st.one_of(st.none(), st.sampled_from(steps), st.integers(0, steps[-1] + 2)))
    return View(
        first=first,
        last=None if last is None else max(first, last),
        points=draw(st.integers(1, 20)),
        constant=draw(st.sampled_from([0.0, 0.0, 1.0, 3.5, 1e-320, 1e6, 1e300])),
    )


def rows_of(points: Sequence[Point]) -> list[OracleRow]:
    """Return points as the upstream prints them."""
    return [_row(point) for point in points]


def _row(point: Point) -> OracleRow:
    time = "?" if point.time_s is None else datetime.fromtimestamp(point.time_s, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    if math.isfinite(point.value):
        return row("a", point.step, value=point.value, time=time)
    return row("a", point.step, value=0, valueFlag=_FLAGS[repr(point.value)], time=time)


def painted(extent: Extent, view: View, before: Pyramid | None = None, chosen: Extent | None = None) -> Painter:
    """Paint a view. `chosen`: the extent whose rows are read, if it isn't the same."""
    painter = Painter(view, extent, before or Pyramid())
    finished(painter.painting(chosen or extent, blocks(extent)))
    return painter


def pyramid(painter: Painter) -> Pyramid:
    """Return what a painter has made."""
    return Pyramid(summaries=painter.summaries, courses={painter.constant: painter.course} if painter.constant else {})


def told(view: Painted) -> tuple[object, ...]:
    """Return a view as something that can be compared, to the last bit."""
    columns = [getattr(view.buckets, name).tobytes() for name in oracle.Bucket.__slots__ if name != "time_s"]
    return (
        view.rows,
        view.width,
        *columns,
        view.buckets.time.tobytes(),
        None if view.smoothed is None else view.smoothed.tobytes(),
    )


def check(found: Painted, points: Sequence[Point], view: View) -> None:
    """See to it that a view is the oracle's."""
    seen = oracle.within(points, view.first, view.last)
    assert found.rows == len(seen)
    assert found.width == oracle.width_of(seen, view.points)
    expected = oracle.buckets(seen, found.width)
    assert len(expected) <= view.points + 1
    got = found.buckets
    for name in ("step", "count", "nan", "inf", "neg_inf"):
        assert getattr(got, name).tolist() == [getattr(bucket, name) for bucket in expected]
    for name in ("least", "greatest", "first", "last"):
        assert _exact(getattr(got, name)) == [getattr(bucket, name) for bucket in expected]
    assert _exact(got.time) == [bucket.time_s for bucket in expected]
    largest = max((abs(point.value) for point in points if math.isfinite(point.value)), default=0.0)
    for mean, bucket in zip(_exact(got.mean), expected, strict=True):
        assert (mean is None) == (bucket.mean is None)
        if mean is not None and bucket.mean is not None:
            assert bucket.least is not None
            assert bucket.greatest is not None
            assert bucket.least <= mean <= bucket.greatest
            assert abs(mean - float(bucket.mean)) <= 1e-13 * max(abs(bucket.least), abs(bucket.greatest)) + 1e-322
    if not view.constant:
        assert found.smoothed is None
        return
    assert found.smoothed is not None
    courses = [oracle.smoothed(points, end, view.constant) for end in oracle.ends(seen, found.width)]
    for value, course in zip(_exact(found.smoothed), courses, strict=True):
        assert (value is None) == (course is None)
        if value is not None and course is not None:
            assert abs(value / 4 - course / 4) <= 1e-12 * (largest / 4) + 1e-321


def _exact(column: Sequence[float]) -> list[float | None]:
    return [None if math.isnan(value) else value for value in column]
