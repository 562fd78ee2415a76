"""Buckets of rows, as columns. A bucket holds the rows of `width` steps, from a multiple of that on; `width` is a power of two.

So the border between two buckets never moves, whichever rows come, and two buckets make one of twice the width.

Least, greatest, first and last value are exact: they are values of rows. The mean of up to 64 rows is their sum divided by
their number, as doubles are added. Wider buckets have the mean of these means, weighted by their rows, so that no sum can
overflow. Each step of that errs by a few units in the last place of the largest value; no mean is outside of its least and
greatest value.
"""

import math
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field

from proxy.core.view.rows import Rows

COLUMNS = ("step", "time", "count", "least", "greatest", "mean", "first", "last", "nan", "inf", "neg_inf")
_ITEM_BYTES = 8 * 7 + 4 * 4
_OBJECT_BYTES = 1_000


def _numbers() -> "array[int]":
    return array("q")


def _counts() -> "array[int]":
    return array("I")


def _values() -> "array[float]":
    return array("d")


@dataclass(slots=True, eq=False)
class Buckets:
    """Buckets in the order of their steps; only those with rows.

    `step`: the first step of each. `time`: when its first row was logged, in seconds since the epoch, NaN where that cannot be
    read. `count`: its rows, of which `nan`, `inf` and `neg_inf` are not finite. The other columns are over the finite values,
    NaN where there are none.
    """

    step: "array[int]" = field(default_factory=_numbers)
    time: "array[float]" = field(default_factory=_values)
    count: "array[int]" = field(default_factory=_counts)
    least: "array[float]" = field(default_factory=_values)
    greatest: "array[float]" = field(default_factory=_values)
    mean: "array[float]" = field(default_factory=_values)
    first: "array[float]" = field(default_factory=_values)
    last: "array[float]" = field(default_factory=_values)
    nan: "array[int]" = field(default_factory=_counts)
    inf: "array[int]" = field(default_factory=_counts)
    neg_inf: "array[int]" = field(default_factory=_counts)

    def __len__(self) -> int:
        return len(self.step)

    @property
    def size_bytes(self) -> int:
        """What the buckets cost in memory."""
        return _OBJECT_BYTES + _ITEM_BYTES * len(self.step)

    def add(self, other: "Buckets", begin: int, end: int, shift: int) -> None:
        """Add buckets `begin` to `end`, exclusive, that follow these ones, as buckets of 2^shift steps.

        Both have at most that width.
        """
        columns = [(getattr(self, column), getattr(other, column)) for column in COLUMNS]
        last = self.step[-1] if len(self) else None
        for number in range(begin, end):
            step = other.step[number] >> shift << shift
            if step == last:
                self._merge(other, number)
            else:
                for mine, more in columns:
                    mine.append(more[number])
                self.step[-1] = last = step

    def extend(self, other: "Buckets", begin: int, end: int) -> None:
        """Add buckets `begin` to `end`, exclusive, of the same width, that follow these ones.

        The first may be the rest of the last one here.
        """
        if begin < end and len(self) and self.step[-1] == other.step[begin]:
            self._merge(other, begin)
            begin += 1
        for column in COLUMNS:
            getattr(self, column).extend(getattr(other, column)[begin:end])

    def _merge(self, other: "Buckets", number: int) -> None:
        """Add the rows of a bucket to the last one."""
        mine, more = self._finite(-1), other._finite(number)  # noqa: SLF001 -- of the same class
        if more and mine:
            self.least[-1] = min(self.least[-1], other.least[number])
            self.greatest[-1] = max(self.greatest[-1], other.greatest[number])
            mean = self.mean[-1] * (mine / (mine + more)) + other.mean[number] * (more / (mine + more))
            self.mean[-1] = _between(self.least[-1], mean, self.greatest[-1])
            self.last[-1] = other.last[number]
        elif more:
            for column, theirs in zip(self._finite_columns, other._finite_columns, strict=True):  # noqa: SLF001 -- as above
                column[-1] = theirs[number]
        self.count[-1] += other.count[number]
        self.nan[-1] += other.nan[number]
        self.inf[-1] += other.inf[number]
        self.neg_inf[-1] += other.neg_inf[number]

    @property
    def _finite_columns(self) -> "tuple[array[float], ...]":
        return self.least, self.greatest, self.mean, self.first, self.last

    def _finite(self, number: int) -> int:
        return self.count[number] - self.nan[number] - self.inf[number] - self.neg_inf[number]

    def put(self, step: int, time_s: float, values: list[float], *, finite: bool) -> None:
        """Add a bucket with the values of its rows, at least one; `finite`: whether all of them are."""
        self.step.append(step)
        self.time.append(time_s)
        self.count.append(len(values))
        nan = inf = neg_inf = 0
        if not finite:
            nan, inf, neg_inf = sum(map(math.isnan, values)), values.count(math.inf), values.count(-math.inf)
            values = list(filter(math.isfinite, values))
        self.nan.append(nan)
        self.inf.append(inf)
        self.neg_inf.append(neg_inf)
        if values:
            least, greatest = min(values), max(values)
            self.least.append(least)
            self.greatest.append(greatest)
            self.mean.append(_between(least, _mean(values), greatest))
            self.first.append(values[0])
            self.last.append(values[-1])
        else:
            for column in self._finite_columns:
                column.append(math.nan)

    def put_each(self, rows: Rows, begin: int, end: int) -> None:
        """Add a bucket for each row, from number `begin` to `end`, exclusive."""
        values = rows.values[begin:end]
        self.step.extend(rows.steps[begin:end])
        self.time.extend(map(rows.time_s, range(begin, end)))
        self.count.extend([1] * len(values))
        self.nan.extend([value != value for value in values])  # noqa: PLR0124 -- only NaN is not itself
        self.inf.extend([value == math.inf for value in values])
        self.neg_inf.extend([value == -math.inf for value in values])
        if not rows.finite:
            values = [value if math.isfinite(value) else math.nan for value in values]
        for column in self._finite_columns:
            column.extend(values)


def reduced(rows: Rows, begin: int, end: int, shift: int) -> Buckets:
    """Return rows `begin` to `end`, exclusive, as buckets of 2^shift steps."""
    found = Buckets()
    if shift == 0 and len({*rows.steps[begin:end]}) == end - begin:
        found.put_each(rows, begin, end)
        return found
    for first, last in borders(rows.steps, begin, end, shift):
        found.put(rows.steps[first] >> shift << shift, rows.time_s(first), rows.values[first:last], finite=rows.finite)
    return found


def borders(steps: "array[int]", begin: int, end: int, shift: int) -> Iterator[tuple[int, int]]:
    """Yield for each bucket of 2^shift steps the number of its first row, and that after its last one."""
    while begin < end:
        after = bisect_left(steps, ((steps[begin] >> shift) + 1) << shift, begin, end)
        yield begin, after
        begin = after


def _mean(values: list[float]) -> float:
    total = sum(values)
    return total / len(values) if math.isfinite(total) else sum(value / len(values) for value in values)


def _between(least: float, value: float, greatest: float) -> float:
    return min(max(value, least), greatest)
