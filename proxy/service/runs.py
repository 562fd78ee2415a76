"""What is known of runs that are looked at: their size, which of their series are asked for, where asking wide was in vain."""

import math
from dataclasses import dataclass, field

from cachetools import LRUCache, TTLCache

from proxy.clock import Clock
from proxy.core.metrics_query import MetricsQuery

_MOST_RUNS = 10_000
_MOST_VAIN = 10_000
# How long a series that has been asked for counts as being watched: a few polls of a slow dashboard.
WATCHED_S = 60.0
# What was too long stays so, since series grow; a run that was too large may have been deleted and the like.
VAIN_S = 3600.0
# Until a series of the run has come, what one is taken to have.
_USUAL_ROWS = 1_000


@dataclass(slots=True)
class Run:
    """One run. `series`: how many it has, None where nobody knows; `rows`: of the longest one that came."""

    series: int | None = None
    rows: int = 0
    watched: dict[str | None, float] = field(default_factory=dict)


class Runs:
    """Decides which question to ask for another one, from what was learned."""

    def __init__(self, clock: Clock, *, max_rows: int) -> None:
        self._clock = clock
        self._max_rows = max_rows
        self._runs: LRUCache[str, Run] = LRUCache(_MOST_RUNS)
        self._vain: TTLCache[tuple[MetricsQuery, str | None], None] = TTLCache(_MOST_VAIN, VAIN_S, timer=clock.monotonic_s)

    def run(self, question: MetricsQuery) -> Run:
        """Return what is known of a question's run."""
        run = self._runs.get(question.run)
        if run is None:
            run = self._runs[question.run] = Run()
        return run

    def watch(self, question: MetricsQuery) -> None:
        """Note that somebody asks."""
        watched = self.run(question).watched
        now_s = self._clock.monotonic_s()
        watched[question.name] = now_s
        for name in [name for name, seen_s in watched.items() if now_s - seen_s > WATCHED_S]:
            del watched[name]

    def needs_size(self, question: MetricsQuery) -> bool:
        """Tell whether it would help to know how large the run is: as soon as somebody asks for more than one of its series."""
        run = self.run(question)
        return run.series is None and (question.name is None or len(run.watched) > 1)

    def asked(self, question: MetricsQuery) -> MetricsQuery:
        """Return the question to ask upstream, the widest that will likely be complete and whose rows are wanted."""
        promising = (wider for wider in self._wider(question) if (wider, question.name) not in self._vain)
        return next(promising, question)

    def _wider(self, question: MetricsQuery) -> list[MetricsQuery]:
        run = self.run(question)
        small = run.series is not None and run.series * (run.rows or _USUAL_ROWS) <= self._max_rows
        several = question.name is None or len(run.watched) > 1
        wider = [question.whole] if small and several else []
        if question.name is not None or question.group is not None:
            wider.append(question.wide)
            wider.append(question.windowed)
        return wider

    def note_size(self, question: MetricsQuery, series: float) -> None:
        """Note how many series a run has (infinite: too many to list)."""
        self.run(question).series = 10**9 if math.isinf(series) else int(series)

    def note_rows(self, question: MetricsQuery, rows: int) -> None:
        """Note how many rows one of the run's series has."""
        run = self.run(question)
        run.rows = max(run.rows, rows)

    def note_vain(self, asked: MetricsQuery, question: MetricsQuery) -> None:
        """Note that a wider question's answer was too large, failed, or did not hold the narrower one's."""
        if asked != question:
            self._vain[asked, question.name] = None
