"""What was made of the blocks of series, kept so that the next chart needn't read their rows.

A pyramid grows with its series: what was made of a block is good for as long as the series has that block. It is not kept over
a restart: to make it again takes about a microsecond a row, at the first view of each series.
"""

from collections.abc import Sequence

from cachetools import LRUCache

from proxy.core.freshness.purge import Purge
from proxy.core.series.metrics_query import MetricsQuery
from proxy.core.view.blocks import Block
from proxy.core.view.painting import Painter, Pyramid

# The smoothed courses of so many time constants are kept of each series, the latest ones: a slider passes through many.
_MOST_COURSES = 4
_Key = tuple[str, MetricsQuery]


class Pyramids:
    """Pyramids by namespace and series, of `max_bytes` together. Those that nobody looked at the longest are dropped first."""

    def __init__(self, *, max_bytes: int) -> None:
        self._held: LRUCache[_Key, Pyramid] = LRUCache(max_bytes, getsizeof=lambda pyramid: pyramid.size_bytes)
        self.purges = 0
        """How many purges there have been."""

    @property
    def size_bytes(self) -> int:
        """What the pyramids cost in memory."""
        return int(self._held.currsize)

    def of(self, namespace: str, series: MetricsQuery) -> Pyramid:
        """Return the pyramid of a series."""
        return self._held.get((namespace, series)) or Pyramid()

    def keep(self, namespace: str, series: MetricsQuery, painter: Painter, parts: Sequence[Block], *, purges: int) -> None:
        """Keep what a painter has made of a series that has these blocks, and what others made meanwhile.

        `purges`: how many there had been when it was given the pyramid. What was purged since does not come back.
        """
        if purges != self.purges:
            return
        before, names = self.of(namespace, series), [block.name for block in parts]
        summaries = {**before.summaries, **painter.summaries}
        courses = {constant: course for constant, course in before.courses.items() if constant != painter.constant}
        if painter.constant:
            courses[painter.constant] = {**before.courses.get(painter.constant, {}), **painter.course}
        latest = list(courses.items())[-_MOST_COURSES:]
        pyramid = Pyramid(
            summaries={name: summaries[name] for name in names if name in summaries},
            courses={constant: {name: course[name] for name in names if name in course} for constant, course in latest},
        )
        if pyramid.size_bytes <= self._held.maxsize:
            self._held[namespace, series] = pyramid

    def purge(self, purge: Purge) -> None:
        """Drop what a purge takes."""
        self.purges += 1
        for key in [key for key in self._held if purge.takes(key[1].query.target)]:
            del self._held[key]
