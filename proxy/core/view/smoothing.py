"""Exponential means over steps, corrected for their beginning.

At the row at step s, with a time constant T in steps, the mean is y = sum(x e^(-(s - t) / T)) / sum(e^(-(s - t) / T)) over all
rows with a finite value x at a step t up to s. Both sums decay alike between rows. So a mean and its weight (the lower sum) at
the step of the last such row are all that later rows need: a `State`. Two states, of rows and of those that follow them, make
one. So what a block adds is computed once for each T, and a view of a part of a series needs no row before that part.

The sums themselves are not kept: that of values near the greatest double would overflow. What is computed in two ways differs
by a few units in the last place of the largest value, as with any other order of additions.
"""

import math
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
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
        return self.mean if self.weight else math.nan

    def then(self, other: "State", constant: float) -> "State":
        """Return the state after the rows of another one, which follow those of this one."""
        if not other.weight or not self.weight:
            return other if other.weight else self
        before = self.weight * math.exp((self.step - other.step) / constant)
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
    every = states(rows, constant)
    ends = [after - 1 for _, after in borders(rows.steps, 0, len(rows.steps), shift)]
    return Smoothed(
        means=array("d", [every[end].mean for end in ends]),
        weights=array("d", [every[end].weight for end in ends]),
        steps=array("q", [every[end].step for end in ends]),
    )


def states(rows: Rows, constant: float) -> list[State]:
    """Return the state after each row, of rows alone. `constant`: the time constant in steps, above 0."""
    mean, weight, last = NOTHING
    usual = 0
    factor = 1.0
    found: list[State] = []
    for step, value in _finite_or_not(rows):
        if value is not None:
            if step - last != usual:
                usual = step - last
                factor = math.exp(-usual / constant)
            kept = weight * factor
            weight = kept + 1.0
            mean = mean * (kept / weight) + value / weight
            last = step
        found.append(State(mean, weight, last))
    return found


def _finite_or_not(rows: Rows) -> Iterable[tuple[int, float | None]]:
    """Return the step of each row, and its value if that is finite."""
    if rows.finite:
        return zip(rows.steps, rows.values, strict=True)
    values = (value if math.isfinite(value) else None for value in rows.values)
    return zip(rows.steps, values, strict=True)
