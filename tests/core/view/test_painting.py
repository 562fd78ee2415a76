"""Views against an oracle: exact, the same however the rows are held, and the same as the series grows."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.pieces import finished
from proxy.core.series.chunks import ChunkAbsentError
from proxy.core.series.compacting import ChunkSizes
from proxy.core.view.blocks import blocks
from proxy.core.view.painting import Painter, Pyramid, View, painting
from proxy.core.view.rows import reading_body
from tests.core.view.extents import SIZES, evicted, extent_of, extents_of
from tests.core.view.paints import check, painted, pyramid, rows_of, series, small, told, views
from tests.support import view_oracle as oracle
from tests.support.oracle import permitted
from tests.support.oracle_upstream import asked_of
from tests.support.view_oracle import Point

ALL = View(first=0, last=None, points=10, constant=0.0)


@given(st.data(), series(), st.sampled_from([None, SIZES]))
def test_a_view_is_what_the_oracle_says(data: st.DataObject, points: list[Point], sizes: ChunkSizes | None) -> None:
    """From rows, and again from what was made of them, to the last bit; then no chunk is needed but at the edges."""
    view = data.draw(views(points))
    with small():
        known = extents_of(rows_of(points), sizes)
        extent = known.by_name["a"]
        first = painted(extent, view)
        check(first.painted, points, view)
        before = pyramid(painted(extent, replace(view, first=0, last=None)))
        again = painted(extent, view, before)
        assert told(again.painted) == told(first.painted)
        gone = evicted(known).by_name["a"]
        painter = Painter(view, gone, before)
        if not any(painter.needs_rows(block) for block in blocks(gone)):
            assert told(painted(gone, view, before).painted) == told(first.painted)
            assert not painted(gone, view, before).has_learned


@given(st.data(), series())
def test_a_growing_series_only_adds_buckets(data: st.DataObject, points: list[Point]) -> None:
    """What was made of its blocks serves on, and at the same width only the last bucket changes."""
    count = data.draw(st.integers(1, len(points)))
    view = replace(data.draw(views(points)), last=None)
    with small():
        young = painted(extent_of(rows_of(points[:count])), view)
        grown = extent_of(rows_of(points))
        old = painted(grown, view, pyramid(young)).painted
        assert told(old) == told(painted(grown, view).painted)
        if old.width == young.painted.width:
            kept = max(0, len(young.painted.buckets) - 1)
            assert old.buckets.step[:kept] == young.painted.buckets.step[:kept]
            assert old.buckets.count[:kept] == young.painted.buckets.count[:kept]
            assert old.buckets.least[:kept].tobytes() == young.painted.buckets.least[:kept].tobytes()
            assert old.buckets.greatest[:kept].tobytes() == young.painted.buckets.greatest[:kept].tobytes()


@given(st.data(), series())
def test_a_sample_is_reduced_alike(data: st.DataObject, points: list[Point]) -> None:
    """Of rows that are no extent, as the upstream sends them."""
    view = data.draw(views(points))
    body = next(permitted(rows_of(points), asked_of({"limit": "10000"})))
    found = finished(painting(finished(reading_body(body)), view))
    # What is smoothed is the sample.
    check(found, points, view)


def test_a_spike_is_seen_at_every_zoom() -> None:
    """One row of 100,000."""
    points = [Point(step, 1e9 if step == 54_321 else step / 7) for step in range(100_000)]
    known = extent_of(rows_of(points), ChunkSizes())
    before = Pyramid()
    for most in (10, 100, 1_000, 20_000):
        painter = painted(known, replace(ALL, points=most), before)
        before = pyramid(painter)
        found = painter.painted
        assert max(found.buckets.greatest) == 1e9
        place = found.buckets.greatest.index(1e9)
        assert found.buckets.step[place] == 54_321 // found.width * found.width
        assert sum(found.buckets.count) == 100_000


def test_rows_that_are_on_disk_alone() -> None:
    """They are asked for where they are needed."""
    known = evicted(extents_of(rows_of([Point(step, 1.0) for step in range(50)])))
    with small(), pytest.raises(ChunkAbsentError):
        painted(known.by_name["a"], ALL)


@pytest.mark.parametrize("rows", [1, 9, 10, 11, 160, 161])
def test_buckets_are_no_wider_than_they_must_be(rows: int) -> None:
    """The width is the least power of two with which fewer than `points` widths reach from the first step to the last."""
    points = [Point(step, 1.0) for step in range(rows)]
    found = painted(extent_of(rows_of(points), None), ALL).painted
    assert found.width == oracle.width_of(points, 10)
    assert len(found.buckets) <= 11


def test_what_holding_it_costs() -> None:
    """Some bytes a row, of summaries and of smoothed courses."""
    points = [Point(step, step / 7) for step in range(20_000)]
    known = extent_of(rows_of(points), ChunkSizes())
    painter = painted(known, replace(ALL, constant=5.0))
    held = pyramid(painter)
    plain = pyramid(painted(known, ALL))
    assert 2 * len(points) < plain.size_bytes < held.size_bytes < 6 * len(points)


@pytest.mark.parametrize("constant", [0.0, 2.0])
@pytest.mark.parametrize(
    "values",
    [
        [1.7e308] * 20,
        [1.7e308, -1.7e308] * 10,
        [math.nan, 1.0] * 10,
        [math.nan] * 10 + [5.0] * 10,
        [5.0] * 10 + [math.inf] * 10,
        [0.1] * 20,
    ],
    ids=["no sum", "no difference", "gaps", "late", "ended", "alike"],
)
def test_awkward_values(values: list[float], constant: float) -> None:
    """Sums beyond any double, and buckets without a finite value before or after others."""
    points = [Point(step, value) for step, value in enumerate(values)]
    view = View(first=0, last=None, points=3, constant=constant)
    with small():
        known = extent_of(rows_of(points))
        first = painted(known, view)
        check(first.painted, points, view)
        assert told(painted(known, view, pyramid(first)).painted) == told(first.painted)
