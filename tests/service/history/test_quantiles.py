"""Quantiles from counts by bucket."""

import math
from bisect import bisect_left

from hypothesis import given
from hypothesis import strategies as st

from proxy.service.history.quantiles import quantile_s

BOUNDS_S = (0.001, 0.01, 0.1, 1.0, 10.0)
DURATIONS_S = st.lists(st.floats(min_value=0, max_value=100), min_size=1, max_size=200)


@given(DURATIONS_S, st.floats(min_value=0, max_value=1))
def test_it_lies_in_the_right_bucket(durations_s: list[float], share: float) -> None:
    """Where the true one lies in a bucket, so does what is read from the counts; beyond the last bound it is that bound."""
    counts = [0] * (len(BOUNDS_S) + 1)
    for duration_s in durations_s:
        counts[bisect_left(BOUNDS_S, duration_s)] += 1
    found_s = quantile_s(BOUNDS_S, counts, share)
    assert found_s is not None
    true_s = sorted(durations_s)[max(0, math.ceil(share * len(durations_s)) - 1)]
    bucket = bisect_left(BOUNDS_S, true_s)
    lower_s = 0.0 if bucket == 0 else BOUNDS_S[bucket - 1]
    upper_s = BOUNDS_S[min(bucket, len(BOUNDS_S) - 1)]
    assert min(lower_s, BOUNDS_S[-1]) <= found_s <= upper_s * (1 + 1e-9)


@given(DURATIONS_S, st.floats(min_value=0, max_value=1), st.floats(min_value=0, max_value=1))
def test_a_greater_share_is_no_shorter(durations_s: list[float], one: float, other: float) -> None:
    """Quantiles grow with their share."""
    counts = [0] * (len(BOUNDS_S) + 1)
    for duration_s in durations_s:
        counts[bisect_left(BOUNDS_S, duration_s)] += 1
    less, more = (quantile_s(BOUNDS_S, counts, share) for share in sorted((one, other)))
    assert less is not None
    assert more is not None
    assert less <= more + 1e-12


def test_of_nothing_there_is_none() -> None:
    assert quantile_s(BOUNDS_S, [0] * 6, 0.5) is None
