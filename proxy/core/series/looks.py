"""When each stretch of a long series was last asked for in full, and which is to be looked at next.

One answer can't hold a long series. So it is asked for in stretches of steps, and each has an age of its own: rows may have
been written again since then. The stretches take turns (`due`), so that all of the series is looked at once in a period, at an
even pace.

**Looks** are pairs (first step, wall time), in the order of their steps: the rows from that step on, up to the next look's
first step, were last asked for in full at that time. The last look has no end; rows that came behind it are younger.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from proxy.core.series.long_rows import Steps, place_of

Looks = tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Turns:
    """How stretches take turns.

    `rows`: how many rows a stretch has at most. `period_s`: within so many seconds all of a series is looked at.
    """

    rows: int
    period_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Steps to be looked at, inclusive; `last` is None for the end of the series, with the rows that came meanwhile."""

    first: int
    last: int | None


def oldest_look(looks: Looks, first: int, last: int | None) -> float:
    """Return when the oldest part of a window of steps (inclusive, at least one look) was last asked for in full."""
    begin = _place(looks, first)
    end = len(looks) if last is None else bisect_left(looks, (last + 1,))
    return min(at_s for _, at_s in looks[begin : max(end, begin + 1)])


def looked_at(looks: Looks, first: int, last: int | None, at_s: float) -> Looks:
    """Return looks after one at a window of steps, inclusive, at a wall time."""
    before = [look for look in looks if look[0] < first]
    if last is None:
        return _joined([*before, (first, at_s)])
    # What the window ends in goes on behind it as it was.
    behind = (last + 1, looks[_place(looks, last + 1)][1])
    after = [look for look in looks if look[0] > last + 1]
    return _joined([*before, (first, at_s), behind, *after])


def joined_looks(left: Looks, right: Looks, border: int) -> Looks:
    """Return the looks at a series whose steps from `border` on are as old as `right` says, and the others as `left` says."""
    before = [look for look in left if look[0] < border]
    after = [look for look in right if look[0] > border]
    return _joined([*before, (border, right[_place(right, border)][1]), *after])


def _place(looks: Looks, step: int) -> int:
    """Return the number of the look that tells how old the row at a step is."""
    return max(0, bisect_right(looks, (step, math.inf)) - 1)


def due(looks: Looks, steps: Steps, turns: Turns, *, now_s: float) -> list[Stretch]:
    """Return the stretches of a series that are to be looked at now, the oldest first; most often none or one.

    `steps`: those of its rows, at least one.
    """
    count = _behind(looks, steps, turns, now_s=now_s)
    found: list[Stretch] = []
    while len(found) < count:
        first, at_s = min(looks, key=lambda look: (look[1], look[0]))
        if at_s >= now_s:
            break
        # What was looked at not much later comes along.
        stretch = _from(looks, first, steps, turns, young_s=at_s + turns.period_s / 2)
        found.append(stretch)
        looks = looked_at(looks, stretch.first, stretch.last, now_s)
    return found


def _behind(looks: Looks, steps: Steps, turns: Turns, *, now_s: float) -> int:
    """Return how many stretches are to be looked at now, so that each one has its turn in time at an even pace.

    Each rows' turn must have come a period after their last look. With w windows in a period, the k oldest of them must begin
    to take turns k / w periods before the last of these turns must have come.
    """
    begins = [place_of(steps, first) for first, _ in looks]
    windows = [(end - begin) / turns.rows for begin, end in pairwise([*begins, len(steps)])]
    left_s = [at_s + turns.period_s - now_s for _, at_s in looks]
    pace_s = turns.period_s / sum(windows)
    behind, older = 0.0, 0.0
    for seconds, count in sorted(zip(left_s, windows, strict=True)):
        older += count
        behind = max(behind, older - seconds / pace_s)
    return int(behind)


def _from(looks: Looks, first: int, steps: Steps, turns: Turns, *, young_s: float) -> Stretch:
    """Return the stretch from a look's first step on: as many rows as may be, up to a look that is younger than `young_s`."""
    end = place_of(steps, first) + turns.rows
    young = next((step for step, at_s in looks if step > first and at_s > young_s), None)
    border = steps[end] if end < len(steps) else None
    ends = [step for step in (young, border) if step is not None]
    return Stretch(first=first, last=min(ends) - 1 if ends else None)


def _joined(looks: Sequence[tuple[int, float]]) -> Looks:
    """Return looks without those that are as old as the one before."""
    kept: list[tuple[int, float]] = []
    for look in looks:
        if not kept or kept[-1][1] != look[1]:
            kept.append(look)
    return tuple(kept)
