"""The summary of a block: its rows as buckets of several widths, which any wider buckets are made of without its rows.

The finest buckets are as wide as about `ROWS` rows are apart; each further level is of twice that width, until one bucket holds
all of the block. That takes about 3 bytes for each row.
"""

from array import array
from bisect import bisect_right
from dataclasses import dataclass

from proxy.core.view.buckets import Buckets, reduced
from proxy.core.view.rows import Rows

ROWS = 64


@dataclass(frozen=True, slots=True, eq=False)
class Summary:
    """Buckets of 2^shift steps, then of twice that width, and so on. `starts`: where in `levels` each width begins."""

    shift: int
    levels: Buckets
    starts: "array[int]"

    @property
    def size_bytes(self) -> int:
        """What the summary costs in memory."""
        return self.levels.size_bytes + 200

    @property
    def finest(self) -> "array[int]":
        """The steps of the finest buckets."""
        return self.levels.step[: self.starts[1]]

    def add_to(self, buckets: Buckets, shift: int) -> None:
        """Add the rows of the block to buckets of 2^shift steps, which are no narrower than the finest ones here."""
        level = min(shift - self.shift, len(self.starts) - 2)
        begin, end = self.starts[level], self.starts[level + 1]
        if level == shift - self.shift:
            buckets.extend(self.levels, begin, end)
        else:
            buckets.add(self.levels, begin, end, shift)


def summarised(rows: Rows) -> Summary:
    """Return the summary of a block's rows, at least one."""
    shift = finest_shift(rows.steps)
    levels = reduced(rows, 0, len(rows.steps), shift)
    starts = array("I", [0, len(levels)])
    while (count := starts[-1] - starts[-2]) > 1:
        wider = Buckets()
        wider.add(levels, len(levels) - count, len(levels), shift + len(starts) - 1)
        levels.extend(wider, 0, len(wider))
        starts.append(len(levels))
    return Summary(shift, levels, starts)


def finest_shift(steps: "array[int]") -> int:
    """Return the logarithm of the width of the finest buckets of rows, at least one."""
    apart = (steps[-1] - steps[0]) * ROWS // len(steps)
    return max(0, apart - 1).bit_length()


def place_at(finest: "array[int]", step: int) -> int:
    """Return the number of the last of the finest buckets that begins at a step or before it."""
    return bisect_right(finest, step) - 1
