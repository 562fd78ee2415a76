"""Quantiles of durations of which only is known how many there are in each bucket."""

from collections.abc import Sequence


def quantile_s(bounds_s: Sequence[float], counts: Sequence[int], share: float) -> float | None:
    """Return the duration, in seconds, that a share (0..1) of all durations is no longer than; None where there are none.

    `bounds_s` are the buckets' upper bounds; `counts` has one more, for what is longer. Durations are taken to lie evenly in
    their bucket. Those beyond the last bound count as that bound.
    """
    rank, below, lower_s = share * sum(counts), 0, 0.0
    if not sum(counts):
        return None
    for bound_s, count in zip(bounds_s, counts, strict=False):
        if count and below + count >= rank:
            return lower_s + (bound_s - lower_s) * (rank - below) / count
        below, lower_s = below + count, bound_s
    return lower_s
