"""A series that one answer cannot hold, divided into windows of steps each of which one answer can prove complete.

Of such a series the steps of some rows are known: a sample, at equal distances in rows, or all rows of an earlier answer. So
there are about as many rows between any two neighbouring known steps. How many, the first windows show.
"""

from collections.abc import Sequence
from itertools import pairwise

Window = tuple[int, int | None]
# Windows are planned with this share of the rows that one answer can prove complete: a series may be denser somewhere.
_FILLED = 0.9


def divided(steps: Sequence[int], first: int, *, every: int) -> list[Window]:
    """Return windows (inclusive steps) from `first` on, with at most `every` known steps each; the last one has no end."""
    later = [step for step in steps if step >= first]
    ends = later[every - 1 : len(later) - 1 : every]
    bounds = [first - 1, *ends]
    return [*((before + 1, end) for before, end in pairwise(bounds)), (bounds[-1] + 1, None)]


def planned(provable: int, *, density: float) -> int:
    """Return how many known steps a window may have where each stands for `density` rows and `provable` can be proven."""
    return max(1, int(provable * _FILLED / density))


def fewer(every: int, provable: int, *, steps: int, returned: int) -> int:
    """Return how many known steps a window may have, after one with `steps` of them turned out to have too many rows.

    `every`: how many it might have had. `returned`: the rows that came, which are a sample: a step may stand for more.
    """
    return min(planned(provable, density=returned / max(1, steps)), every // 2 + every // 4)
