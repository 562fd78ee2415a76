"""A series that one answer cannot hold, divided into windows of steps each of which one answer holds in full.

Of such a series the steps of some rows are known, its **marks**: every row of an earlier answer, or a sample. The rows of a
sample are all equally far apart, in rows (`core.series.sampling`). How far, the first window shows, which reaches over some of
them. From then on it is known how many marks a window may reach over.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

# Of the rows that an answer may hold a window is planned with so many. Rows may have come since, between the marks.
_FILLED = 0.98


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """Steps that are known to have a row, in order, at least one.

    `apart`: how many rows it is from one to the next, at least 1: exactly, on average, or at most, as far as is known.
    """

    steps: Sequence[int]
    apart: float

    @property
    def rows(self) -> int:
        """About how many rows there are, from the first mark to the last."""
        return math.ceil((len(self.steps) - 1) * self.apart) + 1

    def window(self, begin: int, rows: int) -> int | None:
        """Return the last step of a window from step `begin` on for which `rows` rows are planned at most; None: no end.

        It reaches over one mark at least, unless none is left: then it has no end.
        """
        place = bisect_left(self.steps, begin)
        # Before the first mark there are no rows: the rows of a gap end with the mark behind it.
        last = place + max(1, int(rows * _FILLED / self.apart)) - bool(place)
        return self.steps[last] if last < len(self.steps) - 1 else None

    def remaining(self, begin: int) -> int:
        """Return about how many rows there are from step `begin` on."""
        return math.ceil((len(self.steps) - bisect_left(self.steps, begin)) * self.apart)

    def measured(self, steps: Sequence[int]) -> "Marks":
        """Return these marks with what a window shows of how far they are apart. `steps`: those of all rows of the window."""
        if not steps:
            return self
        begin, end = bisect_left(self.steps, steps[0]), bisect_right(self.steps, steps[-1]) - 1
        # The last row of a sample comes in addition: it may be nearer.
        end = min(end, len(self.steps) - 2)
        if end <= begin:
            return self
        between = bisect_left(steps, self.steps[end]) - bisect_left(steps, self.steps[begin])
        return Marks(steps=self.steps, apart=max(1.0, between / (end - begin)))

    def refined(self, sample: Sequence[int], apart: float) -> "Marks":
        """Return these marks with a sample of a window, at least a row, in place of those in that window.

        The window had more rows than were planned. `apart`: how many rows it is at most from one row of the sample to the next.
        """
        before = self.steps[: bisect_left(self.steps, sample[0])]
        return Marks(steps=[*before, *sample, *(step for step in self.steps[len(before) :] if step > sample[-1])], apart=apart)
