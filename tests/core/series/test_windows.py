"""Long series divided into windows: without gaps, none with too many rows, and few of them."""

import math

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.series.sampling import most_apart, sampled, stride
from proxy.core.series.windows import Marks

GAPS = st.lists(st.integers(1, 9), min_size=3, max_size=400)
LIMITS = st.integers(2, 60)


def steps_of(gaps: list[int]) -> list[int]:
    """Return steps that far from each other, in any distribution."""
    steps = [gaps[0] - 1]
    for gap in gaps[1:]:
        steps.append(steps[-1] + gap)
    return steps


def sample_of(steps: list[int], limit: int) -> list[int]:
    return [steps[place] for place in sampled(len(steps), limit)]


@given(GAPS, LIMITS)
def test_a_sample_tells_how_far_its_rows_are_apart(gaps: list[int], limit: int) -> None:
    """At most: the true distance is never more."""
    steps = steps_of(gaps)
    if (every := stride(len(steps), limit)) > 1:
        assert most_apart(sample_of(steps, limit), limit=limit, most_rows=len(steps)) >= every


def test_a_dense_sample_tells_it_exactly() -> None:
    """Where every step has a row, and where so few rows were sent that only every second one can have been left out."""
    assert most_apart(range(0, 1_000_000, 100), limit=10_000) == 100
    assert most_apart(range(0, 10**9, 200_000), limit=10_000) == 2


@given(GAPS, LIMITS, st.integers(4, 60))
def test_windows_leave_nothing_out(gaps: list[int], limit: int, rows: int) -> None:
    """They follow each other to an open end, and none has more rows than planned, as long as a gap has no more than that."""
    steps = steps_of(gaps)
    every = stride(len(steps), limit)
    marks = Marks(steps=sample_of(steps, limit), apart=most_apart(sample_of(steps, limit), limit=limit, most_rows=len(steps)))
    begin: int | None = 0
    seen: list[int] = []
    while begin is not None:
        last = marks.window(begin, rows)
        assert last is None or last >= begin
        came = [step for step in steps if step >= begin and (last is None or step <= last)]
        assert came
        assert len(came) <= max(rows, 1 + marks.apart)
        marks = marks.measured(came)
        assert marks.apart >= 1
        seen += came
        begin = None if last is None else last + 1
    assert seen == steps
    assert every <= max(2, every)


@given(st.integers(1, 12), st.integers(20, 2_000), st.integers(10, 200))
def test_few_windows_are_wasted(apart: int, marked: int, rows: int) -> None:
    """Once a window has shown how far the marks are apart, each has as many of them as it may have."""
    marks = Marks(steps=range(0, marked * apart, apart), apart=100)
    steps = range((marked - 1) * apart + 1)
    begin: int | None = 0
    windows = 0
    while begin is not None:
        last = marks.window(begin, rows)
        marks = marks.measured(steps[begin : None if last is None else last + 1])
        begin = None if last is None else last + 1
        windows += 1
    each = max(1, int(0.98 * rows / apart)) * apart
    assert windows <= math.ceil(len(steps) / each) + 2


def test_a_million_rows_take_few_calls() -> None:
    """Hardly more than they would with every answer full."""
    test_few = Marks(steps=range(0, 1_000_000, 100), apart=100)
    begin: int | None = 0
    windows = 0
    while begin is not None:
        last = test_few.window(begin, 9_997)
        begin = None if last is None else last + 1
        windows += 1
    assert windows <= 105


@given(GAPS, st.data())
def test_a_window_with_more_rows_is_refined(gaps: list[int], data: st.DataObject) -> None:
    """The steps of its sample take the place of what was known there; what was known before and behind stays."""
    steps = steps_of(gaps)
    begin = data.draw(st.integers(0, len(steps) - 2))
    end = data.draw(st.integers(begin + 1, len(steps) - 1))
    marks = Marks(steps=steps, apart=1).refined(range(steps[begin], steps[end] + 1), 2)
    assert marks.steps == [*steps[:begin], *range(steps[begin], steps[end] + 1), *steps[end + 1 :]]
    assert marks.apart == 2


def test_what_remains_is_estimated() -> None:
    """By the marks from a step on."""
    marks = Marks(steps=range(0, 100, 10), apart=7.5)
    assert marks.rows == 69
    assert marks.remaining(45) == 38
    assert marks.remaining(1_000) == 0
    assert marks.measured([]) is marks
    assert marks.measured([3, 4]) is marks
