"""A series that one answer cannot hold, divided into windows of steps each of which one answer can prove complete.

What is known of such a series are the steps of some of its rows: every one that was sampled, at equal distances in rows, or all
of them from an earlier look. So between two of those there are about as many rows everywhere; how many, the first windows tell.
"""

from collections.abc import Sequence
from itertools import pairwise

Window = tuple[int, int | None]
# Of the rows that one answer can prove complete, windows are planned with so many: a series may be denser somewhere.
_FILLED = 0.9


def divided(steps: Sequence[int], first: int, *, every: int) -> list[Window]:
    """Return windows, one after the other from `first` on and open at the end, with at most `every` of the known steps each."""
    later = [step for step in steps if step >= first]
    ends = later[every - 1 : len(later) - 1 : every]
    bounds = [first - 1, *ends]
    return [*((before + 1, end) for before, end in pairwise(bounds)), (bounds[-1] + 1, None)]


def planned(provable: int, *, density: float) -> int:
    """Return how many known steps a window may have, of which each stands for `density` rows."""
    return max(1, int(provable * _FILLED / density))


def fewer(every: int, provable: int, *, steps: int, returned: int) -> int:
    """Return how many known steps a window may have after one with `steps` of them came back with too many rows.

    `returned` rows came, which are some of them: there may be more to a step than that.
    """
    return min(planned(provable, density=returned / max(1, steps)), every // 2 + every // 4)
