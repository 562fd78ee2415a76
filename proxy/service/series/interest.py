"""Which series clients ask for, and whether they are likely to ask for several of a run."""

import math
from dataclasses import dataclass, field
from itertools import takewhile

from cachetools import LRUCache

from proxy.clock import Clock
from proxy.core.series.expecting import Expecting
from proxy.core.series.metrics_query import MetricsQuery

# How long a series that has been asked for counts as being watched: a few polls of a slow dashboard.
WATCHED_S = 60.0
_MOST_RUNS = 2_000
_MOST_WATCHED = 200

NameAndGroup = tuple[str | None, str | None]
"""The name and the group that a question is about, each None for all."""


@dataclass(slots=True)
class _WatchedRun:
    """One run, as it is asked for in one project.

    `watched`: what was asked for, and when (monotonic clock), the latest at the end. `repeated`: what of it was asked for more
    than once within `WATCHED_S`.
    """

    watched: dict[NameAndGroup, float] = field(default_factory=dict)
    repeated: set[NameAndGroup] = field(default_factory=set)


class Interest:
    """Remembers what was asked for in the last minute (`WATCHED_S`), by run and project."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._runs: LRUCache[tuple[str, str], _WatchedRun] = LRUCache(_MOST_RUNS)
        self._expected: LRUCache[str, Expecting] = LRUCache(_MOST_RUNS)

    def note(self, question: MetricsQuery) -> None:
        """Note that somebody asks a question."""
        run, series, now_s = self._run(question), (question.name, question.group), self._clock.monotonic_s()
        expecting = self._expecting(question)
        if not run.watched:
            expecting.begin(question.run, now_s)
        elif _are_several(run, question, now_s):
            expecting.note_several(question.run)
        if run.watched.pop(series, -math.inf) >= now_s - WATCHED_S:
            run.repeated.add(series)
        else:
            run.repeated.discard(series)
        run.watched[series] = now_s
        if len(run.watched) > _MOST_WATCHED:
            oldest = next(iter(run.watched))
            del run.watched[oldest]
            run.repeated.discard(oldest)

    def is_first_look(self, question: MetricsQuery) -> bool:
        """Tell whether a question's series were asked for only once in the last minute."""
        return (question.name, question.group) not in self._run(question).repeated

    def watched(self, question: MetricsQuery) -> list[NameAndGroup]:
        """Return what was asked for of a question's run in the last minute, the latest first."""
        since_s = self._clock.monotonic_s() - WATCHED_S
        latest = reversed(self._run(question).watched.items())
        return [series for series, at_s in latest if at_s >= since_s]

    def is_watched(self, question: MetricsQuery, *, within_s: float) -> bool:
        """Tell whether anything of a question's run was asked for in the last `within_s` seconds."""
        last_s = next(reversed(self._run(question).watched.values()), -math.inf)
        return last_s >= self._clock.monotonic_s() - within_s

    def is_of_several(self, question: MetricsQuery) -> bool:
        """Tell whether more than one series of a question's run is wanted, or will be, as far as one can tell."""
        run = self._run(question)
        return _are_several(run, question, self._clock.monotonic_s()) or self._expecting(question).several

    def _run(self, question: MetricsQuery) -> _WatchedRun:
        # With the project: what is known of a run in its own must not show where it is asked for in another.
        key = question.run, question.project
        if (run := self._runs.get(key)) is None:
            run = self._runs[key] = _WatchedRun()
        return run

    def _expecting(self, question: MetricsQuery) -> Expecting:
        if (expecting := self._expected.get(question.project)) is None:
            expecting = self._expected[question.project] = Expecting()
        return expecting


def _are_several(run: _WatchedRun, question: MetricsQuery, now_s: float) -> bool:
    if question.name is None:
        return True
    latest = takewhile(lambda seen: seen[1] >= now_s - WATCHED_S, reversed(run.watched.items()))
    return any(name != question.name for (name, _), _ in latest)
