"""A view of a series: its rows in a window of steps as buckets, and their smoothed course."""

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from proxy.core.pieces import Work
from proxy.core.series.extents import Extent, window_of
from proxy.core.view.blocks import OPEN_ROWS, Block
from proxy.core.view.buckets import Buckets, borders, reduced
from proxy.core.view.rows import Rows, read_block
from proxy.core.view.smoothing import NOTHING, Smoothed, State, smoothed, states
from proxy.core.view.summaries import Summary, place_at, summarised


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What is to be seen of a series: steps `first` to `last`, inclusive (None: to the end), in at most some `points` buckets.

    `constant`: the time constant of the smoothing in steps, 0 for none.
    """

    first: int
    last: int | None
    points: int
    constant: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Painted:
    """A view. `rows`: how many rows the buckets have together. `width`: of a bucket, in steps.

    `smoothed`: the mean at the last row of each bucket, NaN where there is none yet; None where nothing is smoothed.
    """

    buckets: Buckets
    smoothed: "array[float] | None"
    rows: int
    width: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pyramid:
    """What was made of the blocks of a series, by their names: summaries, and by time constant the smoothed course."""

    summaries: Mapping[str, Summary] = field(default_factory=dict)
    courses: Mapping[float, Mapping[str, Smoothed]] = field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        """What the pyramid costs in memory."""
        courses = sum(one.size_bytes for course in self.courses.values() for one in course.values())
        return 1_000 + courses + sum(summary.size_bytes for summary in self.summaries.values())


def shift_for(first: int, last: int, rows: int, points: int) -> int:
    """Return the logarithm of the width of the buckets for so many rows between two steps, inclusive."""
    # The least shift with (last - first) / 2^shift < points.
    return 0 if rows <= points else ((last - first) // points).bit_length()


class Painter:
    """Paints a view of an extent, block by block."""

    def __init__(self, view: View, extent: Extent, before: Pyramid) -> None:
        """`before`: what was made of some blocks of the series."""
        self._view = view
        self._steps = extent.steps
        self._begin, self._end = window_of(extent.steps, view.first, view.last)
        rows = self._end - self._begin
        self._shift = shift_for(self._steps[self._begin], self._steps[self._end - 1], rows, view.points) if rows else 0
        self.summaries = dict(before.summaries)
        """Of all blocks whose rows were read, here or before."""
        self.course = dict(before.courses.get(view.constant, {}))
        """Likewise, the smoothed course."""
        self.constant = view.constant
        self.has_learned = False
        """Whether the rows of any block were read."""
        self._state = NOTHING
        self._buckets = Buckets()
        self._smoothed = array("d")

    @property
    def painted(self) -> Painted:
        """The view, once all blocks are painted."""
        return Painted(
            buckets=self._buckets,
            smoothed=self._smoothed if self._view.constant else None,
            rows=self._end - self._begin,
            width=1 << self._shift,
        )

    def needs_rows(self, block: Block) -> bool:
        """Tell whether a block's rows must be read."""
        summary, course = self.summaries.get(block.name), self.course.get(block.name)
        if block.begin >= self._end:
            return False
        if self._view.constant and course is None:
            return True
        return block.end > self._begin and (summary is None or not self._is_summed_up(block, summary))

    def painting(self, extent: Extent, parts: Iterable[Block]) -> Work[None]:
        """Paint the next blocks, with breaks. Raises ChunkAbsentError where rows that must be read are not in memory."""
        for block in parts:
            rows = None
            if self.needs_rows(block):
                rows = read_block(extent, block.begin, block.end)
                self._learn(block, rows)
            self._paint(block, rows)
            yield None

    def _is_summed_up(self, block: Block, summary: Summary) -> bool:
        """Tell whether a block's summary will do: all of its rows are seen, in buckets that aren't narrower."""
        return self._begin <= block.begin and block.end <= self._end and summary.shift <= self._shift

    def _learn(self, block: Block, rows: Rows) -> None:
        self.has_learned = True
        if block.name not in self.summaries:
            self.summaries[block.name] = summarised(rows)
        if self._view.constant and block.name not in self.course:
            self.course[block.name] = smoothed(rows, self.summaries[block.name].shift, self._view.constant)

    def _paint(self, block: Block, rows: Rows | None) -> None:
        begin, end = max(self._begin, block.begin), min(self._end, block.end)
        before, count = self._state, len(self._buckets)
        if self._view.constant and block.begin < self._end:
            self._state = before.then(self.course[block.name].state(-1), self._view.constant)
        if begin >= end:
            return
        summary = self.summaries[block.name]
        if rows is None or self._is_summed_up(block, summary):
            summary.add_to(self._buckets, self._shift)
            if self._view.constant:
                self._smooth(before, self._ends_of(summary, self.course[block.name], count))
            return
        new = reduced(rows, begin - block.begin, end - block.begin, self._shift)
        self._buckets.extend(new, 0, len(new))
        if self._view.constant:
            ends = [after for _, after in borders(rows.steps, begin - block.begin, end - block.begin, self._shift)]
            self._smooth(before, states(rows, ends, self._view.constant))

    def _ends_of(self, summary: Summary, course: Smoothed, count: int) -> list[State]:
        """Return a block's states at the ends of the buckets that it is in. `count`: how many buckets there were before."""
        finest, last = summary.finest, (1 << self._shift) - 1
        first = max(0, count - 1)
        steps = self._buckets.step[first:]
        places = [place_at(finest, step + last) for step in steps]
        return [course.state(place) for place in places if place >= 0]

    def _smooth(self, before: State, ends: Sequence[State]) -> None:
        """Note the states at the ends of the last buckets. The first of them may have been begun by a block before."""
        del self._smoothed[len(self._buckets) - len(ends) :]
        self._smoothed.extend([before.then(end, self._view.constant).value for end in ends])


def painting(rows: Rows, view: View) -> Work[Painted]:
    """Paint a view of rows that are no extent, with breaks."""
    begin = bisect_left(rows.steps, view.first)
    end = len(rows.steps) if view.last is None else max(begin, bisect_left(rows.steps, view.last + 1))
    shift = shift_for(rows.steps[begin], rows.steps[end - 1], end - begin, view.points) if begin < end else 0
    buckets = Buckets()
    for first in range(begin, end, OPEN_ROWS):
        new = reduced(rows, first, min(end, first + OPEN_ROWS), shift)
        buckets.extend(new, 0, len(new))
        yield None
    course: array[float] | None = None
    if view.constant:
        ends = [after for _, after in borders(rows.steps, begin, end, shift)]
        course = array("d", [state.value for state in states(rows, ends, view.constant)])
    return Painted(buckets=buckets, smoothed=course, rows=end - begin, width=1 << shift)
