"""What is kept of series for charts: within bounds, for the latest time constants, and nothing that was purged."""

from dataclasses import replace

import pytest

from proxy.core.freshness.purge import Purge
from proxy.core.view.blocks import blocks
from proxy.core.view.painting import View
from proxy.service.view.pyramids import Pyramids
from tests.core.view.extents import SERIES, extent_of
from tests.core.view.paints import painted, rows_of
from tests.support.view_oracle import Point

VIEW = View(first=0, last=None, points=10, constant=0.0)
EXTENT = extent_of(rows_of([Point(step, step / 7) for step in range(100)]))
PARTS = blocks(EXTENT)


def test_it_grows_with_its_series() -> None:
    """What was made of blocks that the series no longer has is dropped, and what others made meanwhile stays."""
    pyramids = Pyramids(max_bytes=10**6)
    pyramids.keep("n", SERIES, painted(EXTENT, VIEW), PARTS, purges=0)
    held = pyramids.of("n", SERIES)
    assert set(held.summaries) == {block.name for block in PARTS}
    assert pyramids.size_bytes == held.size_bytes > 1_000
    assert pyramids.of("m", SERIES).summaries == {}
    grown = extent_of(rows_of([Point(step, step / 7) for step in range(101)]))
    pyramids.keep("n", SERIES, painted(grown, VIEW), blocks(grown), purges=0)
    assert set(pyramids.of("n", SERIES).summaries) == {block.name for block in blocks(grown)}
    assert PARTS[0].name in pyramids.of("n", SERIES).summaries
    assert PARTS[-1].name not in pyramids.of("n", SERIES).summaries


def test_the_latest_time_constants_are_kept() -> None:
    """Those that a slider passed through are forgotten."""
    pyramids = Pyramids(max_bytes=10**6)
    for constant in (1.0, 2.0, 3.0, 4.0, 1.0, 5.0):
        pyramids.keep("n", SERIES, painted(EXTENT, replace(VIEW, constant=constant)), PARTS, purges=0)
    held = pyramids.of("n", SERIES)
    assert list(held.courses) == [3.0, 4.0, 1.0, 5.0]
    assert all(set(course) == {block.name for block in PARTS} for course in held.courses.values())


def test_what_is_too_much_is_not_kept() -> None:
    """No more than there is room for, and nothing of what wouldn't fit at all."""
    pyramids = Pyramids(max_bytes=1_500)
    pyramids.keep("n", SERIES, painted(EXTENT, VIEW), PARTS, purges=0)
    assert pyramids.size_bytes == 0


@pytest.mark.parametrize(("metric", "left"), [("a", False), ("b", True), (None, False)])
def test_a_purge(metric: str | None, left: bool) -> None:
    """It takes what was made of what it names."""
    pyramids = Pyramids(max_bytes=10**6)
    pyramids.keep("n", SERIES, painted(EXTENT, VIEW), PARTS, purges=0)
    pyramids.purge(Purge(at_s=1, metric=metric))
    assert bool(pyramids.of("n", SERIES).summaries) == left


def test_what_was_purged_does_not_come_back() -> None:
    """Whoever was at it when it was purged keeps nothing of it; who begins after that does."""
    pyramids = Pyramids(max_bytes=10**6)
    begun = pyramids.purges
    pyramids.purge(Purge(at_s=1))
    pyramids.keep("n", SERIES, painted(EXTENT, VIEW), PARTS, purges=begun)
    assert not pyramids.of("n", SERIES).summaries
    pyramids.keep("n", SERIES, painted(EXTENT, VIEW), PARTS, purges=pyramids.purges)
    assert pyramids.of("n", SERIES).summaries
