"""Long series divided into windows: without gaps, and ever smaller."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.series.windows import divided, fewer, planned

STEPS = st.lists(st.integers(0, 200), min_size=1, max_size=40, unique=True).map(sorted)


@given(STEPS, st.integers(0, 220), st.integers(1, 12))
def test_windows_leave_nothing_out(steps: list[int], first: int, every: int) -> None:
    """They follow each other from the first step on to an open end, with so many of the known steps each at most."""
    windows = divided(steps, first, every=every)
    assert windows[0][0] == first
    assert windows[-1][1] is None
    for (_, last), (begin, _) in pairwise(windows):
        assert last is not None
        assert begin == last + 1
    for begin, last in windows:
        assert last is None or begin <= last
        assert sum(begin <= step and (last is None or step <= last) for step in steps) <= every


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(0, 5000), st.integers(1, 10_001))
def test_windows_shrink(every: int, provable: int, steps: int, returned: int) -> None:
    """After a window with too many rows the next ones are smaller, down to none at all."""
    assert fewer(every, provable, steps=steps, returned=returned) < every


def test_windows_are_planned_with_room() -> None:
    """Fewer rows than one answer can prove complete are planned for."""
    assert planned(5000, density=1) == 4500
    assert planned(5000, density=3) == 1500
    assert planned(5, density=100) == 1
