"""What is known of runs that are looked at: their size, which of their series are asked for, where asking wide was in vain."""

import math
from dataclasses import dataclass, field
from itertools import takewhile

from cachetools import LRUCache, TTLCache

from proxy.clock import Clock
from proxy.core.series.expecting import Expecting
from proxy.core.series.metrics_query import MetricsQuery

_MOST_RUNS = 2_000
_MOST_VAIN = 10_000
# How long a series that has been asked for counts as being watched: a few polls of a slow dashboard.
WATCHED_S = 60.0
_MOST_WATCHED = 200
# What was too long stays so, since series grow; a run that was too large may have been deleted and the like.
VAIN_S = 3600.0
# What failed may have been too much for the upstream; most likely that had other reasons, which pass.
_FAILED_S = 300.0
# What could not be proven whole may be later: more rows may have come, or a limit been lifted. That is ever less likely: each
# time doubles the wait, up to the second one.
_UNPROVEN_S, _MOST_UNPROVEN_S = 30.0, 240.0
# Until a series of the run has come, what one is taken to have.
_USUAL_ROWS = 1_000


# The name and the group that a question is about, each None for all of them.
Series = tuple[str | None, str | None]


@dataclass(slots=True)
class Run:
    """One run, as it is asked for in one project.

    `series`: how many it has, None where nobody knows; `size_after_s`: until then that isn't asked; `rows`: of the longest one
    that came; `watched`: the names and groups that were asked for, and when, the latest at the end; `again`: those of them that
    were asked for more than once. `suspect_since_s`: what was
    asked for in full before that wall time is to be asked for again. `together_after_s`: until then what is new of series that
    are kept one by one is asked for one by one.
    """

    series: int | None = None
    size_after_s: float = 0.0
    rows: int = 0
    watched: dict[Series, float] = field(default_factory=dict)
    again: set[Series] = field(default_factory=set)
    suspect_since_s: float = -math.inf
    together_after_s: float = 0.0


class Runs:
    """Decides which question to ask for another one, from what was learned."""

    def __init__(self, clock: Clock, *, max_rows: int) -> None:
        self._clock = clock
        self._max_rows = max_rows
        # With the project: what is known of a run in its own must not show where it is asked for in another.
        self._runs: LRUCache[tuple[str, str], Run] = LRUCache(_MOST_RUNS)
        self._expected: LRUCache[str, Expecting] = LRUCache(_MOST_RUNS)
        self._vain: TTLCache[tuple[MetricsQuery, str | None], None] = TTLCache(_MOST_VAIN, VAIN_S, timer=clock.monotonic_s)
        self._hopeless: TTLCache[MetricsQuery, None] = TTLCache(_MOST_VAIN, VAIN_S, timer=clock.monotonic_s)
        # Until when, and for how long that is.
        self._unproven: TTLCache[MetricsQuery, tuple[float, float]] = TTLCache(_MOST_VAIN, VAIN_S, timer=clock.monotonic_s)
        self._failed: TTLCache[MetricsQuery, None] = TTLCache(_MOST_VAIN, _FAILED_S, timer=clock.monotonic_s)
        # By series in full: the shortest window of which even the densest answer was of no use.
        self._too_long: TTLCache[MetricsQuery, float] = TTLCache(_MOST_VAIN, VAIN_S, timer=clock.monotonic_s)

    def run(self, question: MetricsQuery) -> Run:
        """Return what is known of a question's run."""
        return self._run(question.run, question.project)

    def _run(self, number: str, project: str) -> Run:
        place = number, project
        run = self._runs.get(place)
        if run is None:
            run = self._runs[place] = Run()
        return run

    def watch(self, question: MetricsQuery) -> None:
        """Note that somebody asks."""
        run, series, now_s = self.run(question), (question.name, question.group), self._clock.monotonic_s()
        expecting = self._expecting(question)
        if not run.watched:
            expecting.begin(question.run, now_s)
        elif self._are_several(run, question, now_s):
            expecting.note_several(question.run)
        if run.watched.pop(series, -math.inf) >= now_s - WATCHED_S:
            run.again.add(series)
        else:
            run.again.discard(series)
        run.watched[series] = now_s
        if len(run.watched) > _MOST_WATCHED:
            oldest = next(iter(run.watched))
            del run.watched[oldest]
            run.again.discard(oldest)

    def is_first_look(self, question: MetricsQuery) -> bool:
        """Tell whether nobody else has asked for this series in the last while."""
        return (question.name, question.group) not in self.run(question).again

    def watched(self, question: MetricsQuery) -> list[Series]:
        """Return what was asked for of a question's run in the last while, the latest first."""
        since_s = self._clock.monotonic_s() - WATCHED_S
        latest = reversed(self.run(question).watched.items())
        return [series for series, _ in takewhile(lambda seen: seen[1] >= since_s, latest)]

    def is_watched(self, question: MetricsQuery, *, within_s: float) -> bool:
        """Tell whether anything of a question's run was asked for in so many seconds."""
        last_s = next(reversed(self.run(question).watched.values()), -math.inf)
        return last_s >= self._clock.monotonic_s() - within_s

    def suspect(self, run: str, project: str) -> None:
        """Note that a run's rows may have changed anywhere: what is known of them is to be asked for in full."""
        self._run(run, project).suspect_since_s = self._clock.now_s()

    def needs_size(self, question: MetricsQuery) -> bool:
        """Tell whether it would help to know how large the run is: as soon as somebody asks for more than one of its series."""
        run = self.run(question)
        return run.series is None and self._clock.monotonic_s() >= run.size_after_s and self._several(run, question)

    def asked(self, question: MetricsQuery) -> MetricsQuery:
        """Return the question to ask upstream, the widest that will likely be complete and whose rows are wanted."""
        return next((wider for wider in self._wider(question) if self.is_promising(wider, question)), question)

    def is_promising(self, wider: MetricsQuery, question: MetricsQuery) -> bool:
        """Tell whether nothing is known that speaks against asking a wider question for another one."""
        if self._unproven.get(wider, (0.0, 0.0))[0] > self._clock.monotonic_s():
            return False
        return (wider, question.name) not in self._vain and wider not in self._hopeless and wider not in self._failed

    def _wider(self, question: MetricsQuery) -> list[MetricsQuery]:
        run = self.run(question)
        small = run.series is not None and run.series * (run.rows or _USUAL_ROWS) <= self._max_rows
        wider = [question.whole] if small and self._several(run, question) else []
        if question.name is not None or (question.group is not None and small):
            wider.append(question.wide)
            if _span(question) < self._too_long.get(question.wide, math.inf):
                wider.append(question.windowed)
        return wider

    def _several(self, run: Run, question: MetricsQuery) -> bool:
        """Tell whether more than one of the run's series is wanted, or will be, as far as one can tell."""
        return self._are_several(run, question, self._clock.monotonic_s()) or self._expecting(question).several

    @staticmethod
    def _are_several(run: Run, question: MetricsQuery, now_s: float) -> bool:
        latest = takewhile(lambda seen: seen[1] >= now_s - WATCHED_S, reversed(run.watched.items()))
        return question.name is None or any(name != question.name for (name, _), _ in latest)

    def _expecting(self, question: MetricsQuery) -> Expecting:
        if (expecting := self._expected.get(question.project)) is None:
            expecting = self._expected[question.project] = Expecting()
        return expecting

    def note_size(self, question: MetricsQuery, series: float) -> None:
        """Note how many series a run has (infinite: too many to list)."""
        self.run(question).series = 10**9 if math.isinf(series) else int(series)

    def others(self, question: MetricsQuery, names: int) -> int | None:
        """Return how many series a run has beside some; None where they aren't to be asked for together."""
        run = self.run(question)
        if run.series is None or self._clock.monotonic_s() < run.together_after_s:
            return None
        return max(0, run.series - names)

    def note_not_together(self, question: MetricsQuery) -> None:
        """Note that what is new of all of a run's series was too much."""
        self.run(question).together_after_s = self._clock.monotonic_s() + VAIN_S

    def note_no_size(self, question: MetricsQuery) -> None:
        """Note that nobody can say now how many series a run has."""
        self.run(question).size_after_s = self._clock.monotonic_s() + WATCHED_S

    def note_rows(self, question: MetricsQuery, rows: int) -> None:
        """Note how many rows one of the run's series has."""
        run = self.run(question)
        run.rows = max(run.rows, rows)

    def note_vain(self, asked: MetricsQuery, question: MetricsQuery) -> None:
        """Note that a wider question's answer did not hold the narrower one's."""
        self._vain[asked, question.name] = None
        if asked == question.windowed != question.wide:
            self._too_long[question.wide] = min(_span(question), self._too_long.get(question.wide, math.inf))

    def note_hopeless(self, asked: MetricsQuery) -> None:
        """Note that a wider question's answer was too large or refused, whatever it was asked for."""
        self._hopeless[asked] = None

    def note_failed(self, asked: MetricsQuery) -> None:
        """Note that the upstream failed to answer a wider question: that it was too much is one reason of many."""
        self._failed[asked] = None

    def note_unproven(self, asked: MetricsQuery) -> None:
        """Note that a wider question's answer could not be proven whole."""
        until_s, before_s = self._unproven.get(asked, (0.0, _UNPROVEN_S / 2))
        # Everybody who waited for the answer notes it.
        if (now_s := self._clock.monotonic_s()) >= until_s:
            again_s = min(2 * before_s, _MOST_UNPROVEN_S)
            self._unproven[asked] = now_s + again_s, again_s

    def note_proven(self, asked: MetricsQuery) -> None:
        """Note that a wider question's answer is whole."""
        self._unproven.pop(asked, None)


def _span(question: MetricsQuery) -> float:
    """Return how many steps a window has."""
    return math.inf if question.last is None else question.last - question.first
