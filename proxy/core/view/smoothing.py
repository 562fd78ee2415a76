"""Exponential means over steps, corrected for their beginning.

At the row at step s, with a time constant T in steps, the mean is y = sum(x e^(-(s - t) / T)) / sum(e^(-(s - t) / T)) over all
rows with a finite value x at a step t up to s. Both sums decay alike between rows. So a mean and its weight (the lower sum) at
the step of the last such row are all that later rows need: a `State`. Two states, of rows and of those that follow them, make
one. So what a block adds is computed once for each T, and a view of a part of a series needs no row before that part.

The sums themselves are not kept: that of values near the greatest double would overflow. What is computed in two ways differs
by a few units in the last place of the largest value, as with any other order of additions.
"""

from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from math import exp, isfinite, nan
from typing import NamedTuple

from proxy.core.view.buckets import borders
from proxy.core.view.rows import Rows


class State(NamedTuple):
    """The mean at the last row that has a finite value, which is at `step`, and its weight: 0 where there is none."""

    mean: float
    weight: float
    step: int

    @property
    def value(self) -> float:
        """The mean, NaN where no row has a finite value."""
        return self.mean if self.weight else nan

    def then(self, other: "State", constant: float) -> "State":
        """Return the state after the rows of another one, which follow those of this one."""
        if not other.weight or not self.weight:
            return other if other.weight else self
        before = self.weight * exp((self.step - other.step) / constant)
        weight = before + other.weight
        return State(self.mean * (before / weight) + other.mean * (other.weight / weight), weight, other.step)


NOTHING = State(0.0, 0.0, 0)


@dataclass(frozen=True, slots=True, eq=False)
class Smoothed:
    """The states at the last row of each of some buckets, of the rows of one block alone. One bucket at least."""

    means: "array[float]"
    weights: "array[float]"
    steps: "array[int]"

    @property
    def size_bytes(self) -> int:
        """What this costs in memory."""
        return 400 + 24 * len(self.means)

    def state(self, number: int) -> State:
        """Return the state at the end of a bucket, by its number, which may be counted from the end."""
        return State(self.means[number], self.weights[number], self.steps[number])


def smoothed(rows: Rows, shift: int, constant: float) -> Smoothed:
    """Return the states of rows at the ends of buckets of 2^shift steps. `constant`: the time constant in steps, above 0."""
    every = states(rows, [after for _, after in borders(rows.steps, 0, len(rows.steps), shift)], constant)
    return Smoothed(
        means=array("d", [state.mean for state in every]),
        weights=array("d", [state.weight for state in every]),
        steps=array("q", [state.step for state in every]),
    )


def states(rows: Rows, ends: Iterable[int], constant: float) -> list[State]:
    """Return the states before some rows, in their order, of the rows before these alone. `constant`: as for `smoothed`."""
    found = []
    mean, weight, last = NOTHING
    usual, factor, begin = 0, 1.0, 0
    for end in ends:
        for step, value in _finite(rows, begin, end):
            if not weight:
                mean, weight, last = value, 1.0, step
                continue
            if step - last != usual:
                usual = step - last
                factor = exp(-usual / constant)
            kept = weight * factor
            weight = kept + 1.0
            mean = mean * (kept / weight) + value / weight
            last = step
        found.append(State(mean, weight, last))
        begin = end
    return found


def _finite(rows: Rows, begin: int, end: int) -> Iterable[tuple[int, float]]:
    """Return the steps and values of those of some rows that have finite ones."""
    pairs = zip(rows.steps[begin:end], rows.values[begin:end], strict=True)
    return pairs if rows.finite else [pair for pair in pairs if isfinite(pair[1])]
