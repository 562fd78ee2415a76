"""A live series of any length, each row of it a function of its place, so that nobody has to hold the rows.

A row's **place** counts the rows as they are logged, from 0. Its step grows with its place. It turns up when it is logged, or
`late_s` later if its place is one of those that come late. Some places are written again while the series is watched. Which
rows there are at a moment, which of them are sent, and what they look like, is computed from places alone.
"""

import math
import zlib
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from time import gmtime

from proxy.standin.rows import log_group_of

_FALLS_OVER, _JITTER_MS = 300_000, 60
# Each second place that is written again is one of the last so many.
_RECENT = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One metric of a run, which has `rows` rows at `start_s` (wall seconds), and `rows_per_s` more each second from then on.

    Of each `late_each` rows one comes `late_s` late (0: none does; otherwise at least 2). Each `rewrite_each_s` seconds after
    `start_s` one row is written again (0: none is).
    """

    start_s: float
    rows: int
    run: int = 1
    name: str = "train/loss"
    rows_per_s: float = 5.0
    first_step: int = 0
    stride: int = 1
    late_each: int = 0
    late_s: float = 20.0
    rewrite_each_s: float = 0.0

    def step(self, place: int) -> int:
        """Return the step of a place."""
        return self.first_step + place * self.stride

    def logged_s(self, place: int) -> float:
        """Return when a place is logged: the last of the first `rows` at `start_s`."""
        return self.start_s + (place - self.rows + 1) / self.rows_per_s

    def is_late(self, place: int) -> bool:
        """Tell whether a place turns up later than it is logged."""
        return bool(self.late_each) and place % self.late_each == self.late_each // 2

    def arrived_s(self, place: int) -> float:
        """Return when a place turns up."""
        return self.logged_s(place) + (self.late_s if self.is_late(place) else 0.0)

    def due(self, moment_s: float) -> int:
        """Return how many places are logged at a moment: those before that number."""
        count = max(0, self.rows + math.floor((moment_s - self.start_s) * self.rows_per_s))
        # Division and multiplication round differently: `logged_s` decides.
        while self.logged_s(count) <= moment_s:
            count += 1
        while count and self.logged_s(count - 1) > moment_s:
            count -= 1
        return count

    def absent(self, moment_s: float) -> list[int]:
        """Return the places that are logged at a moment and haven't turned up, in order."""
        if not self.late_each:
            return []
        places = range(max(0, self.due(moment_s - self.late_s) - 1), self.due(moment_s))
        return [place for place in places if self.arrived_s(place) > moment_s]

    def rewrite(self, number: int) -> tuple[float, int]:
        """Return when a row is written again for the `number`-th time of all (from 1), and which place it is."""
        moment_s = self.start_s + number * self.rewrite_each_s
        due, dice = max(1, self.due(moment_s)), zlib.crc32(f"{self.name}/{number}".encode())
        place = due - 1 - dice % min(due, _RECENT) if number % 2 else dice % due
        return moment_s, place - 1 if self.is_late(place) else place

    def span(self, first: int | None, last: int | None, due: int) -> tuple[int, int]:
        """Return the places of a window of steps: from one, before another. `due` places are logged."""
        begin = 0 if first is None else max(0, -((self.first_step - first) // self.stride))
        end = due if last is None else min(due, (last - self.first_step) // self.stride + 1)
        return (begin, end) if begin < end else (0, 0)


class Writing:
    """A series with what is written of its places, the first time and again."""

    def __init__(self, series: Series) -> None:
        self.series = series
        self._head = f'{{"logName":"{series.name}","logGroup":"{log_group_of(series.name)}","value":'
        self._numbered = 0
        # When each place was written again.
        self._again_s: dict[int, list[float]] = {}

    def sent(self, moment_s: float, *, first: int | None, last: int | None, limit: int) -> Sequence[int]:
        """Return the places of a window of steps that the upstream sends at a moment, in order."""
        begin, end = self.series.span(first, last, self.series.due(moment_s))
        absent = [place for place in self.series.absent(moment_s) if begin <= place < end]
        total = end - begin - len(absent)
        every = max(1, -(-total // limit))
        ranks = range(0, total, every)
        places = [begin + rank for rank in ranks] if absent else range(begin, begin + total, every)
        if total and (total - 1) % every:
            places = [*places, begin + total - 1]
        return _around(places, absent) if absent else places

    def again_s(self, place: int, until_s: float) -> Sequence[float]:
        """Return when a place was written again, in order, up to a moment."""
        self._number(until_s)
        moments_s = self._again_s.get(place, [])
        return moments_s[: bisect_right(moments_s, until_s)]

    def rewrites(self, after_s: float, until_s: float) -> list[tuple[float, int]]:
        """Return when which places were written again, after a moment and up to another."""
        if not self.series.rewrite_each_s:
            return []
        each_s, start_s = self.series.rewrite_each_s, self.series.start_s
        numbers = range(max(1, int((after_s - start_s) / each_s)), max(0, int((until_s - start_s) / each_s)) + 2)
        return [rewrite for rewrite in map(self.series.rewrite, numbers) if after_s < rewrite[0] <= until_s]

    def text(self, place: int, moment_s: float) -> str:
        """Return a row as it was at a moment."""
        return self.version(place, len(self.again_s(place, moment_s)))

    def written_s(self, place: int, number: int) -> float:
        """Return when a place was written for the `number`-th time (from 0), which `again_s` has told of."""
        return self._again_s[place][number - 1] if number else self.series.logged_s(place)

    def version(self, place: int, number: int) -> str:
        """Return a row as it was written for the `number`-th time (from 0), which `again_s` has told of."""
        noise = zlib.crc32(b"%d/%d/%d" % (self.series.run, place, number))
        value = 0.5 + 2 * math.exp(-place / _FALLS_OVER) + 0.1 * noise / 2**32
        time = _time_text(int(self.written_s(place, number) * 1000) + noise % _JITTER_MS)
        return f'{self._head}{value!r},"valueFlag":"","time":"{time}","step":{self.series.step(place)}}}'

    def _number(self, until_s: float) -> None:
        """Note what is written again up to a moment."""
        each_s, start_s = self.series.rewrite_each_s, self.series.start_s
        while each_s and start_s + (self._numbered + 1) * each_s <= until_s:
            self._numbered += 1
            moment_s, place = self.series.rewrite(self._numbered)
            self._again_s.setdefault(place, []).append(moment_s)


def _around(places: Sequence[int], absent: Sequence[int]) -> list[int]:
    """Return the places of ranks, counted as though nothing were absent."""
    moved: list[int] = []
    passed = 0
    for place in places:
        while passed < len(absent) and absent[passed] <= place + passed:
            passed += 1
        moved.append(place + passed)
    return moved


def _time_text(wall_ms: int) -> str:
    day, ms = divmod(wall_ms, 86_400_000)
    return f"{_day(day)} {ms // 3_600_000:02d}:{ms // 60_000 % 60:02d}:{ms // 1000 % 60:02d}.{ms % 1000:03d}"


@lru_cache(maxsize=64)
def _day(number: int) -> str:
    date = gmtime(number * 86_400)
    return f"{date.tm_year:04d}-{date.tm_mon:02d}-{date.tm_mday:02d}"
