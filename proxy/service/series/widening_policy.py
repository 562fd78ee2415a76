"""Which wider question is worth asking in place of a question.

That depends on how large the run is, and on which wider questions were of no use before.
"""

import math
from dataclasses import dataclass, field
from statistics import median_low

from cachetools import LRUCache, TTLCache

from proxy.clock import Clock
from proxy.core.series.extents import Extents
from proxy.core.series.metrics_query import MetricsQuery
from proxy.service.series.interest import WATCHED_S, Interest
from proxy.settings import Settings

_MOST_RUNS = 2_000
_MOST_AVOIDED = 10_000
# For so many seconds a wider question that was of no use isn't asked again. A series that was too long stays so, since series
# grow; but a run that was too large may be deleted, say.
AVOIDED_S = 3600.0
# As above, where the upstream failed: it may have been too much, but most likely there were other reasons, which pass.
_FAILED_S = 300.0
# As above, where the answer could not be proven whole. Later it may be: more rows may have come, or a limit been lifted. That
# is ever less likely, so each time doubles the wait, up to the second number.
_UNPROVEN_S, _MOST_UNPROVEN_S = 30.0, 240.0
# How many rows a series is taken to have until so many of the run have come.
_USUAL_ROWS, _ENOUGH = 1_000, 3
_MOST_NAMES = 1_000
# So many of a project's runs tell how large the next one is, which may be so many times as large.
_RUNS, _ROOM = 3, 2


@dataclass(slots=True)
class _RunSize:
    """How large a run is, as it is asked for in one project. Times are of the monotonic clock.

    - `series`: how many it has, None where nobody knows. `ask_after_s`: that isn't asked before.
    - `rows`: how many rows each series has that came.
    - `together_after_s`: before that, what is new of series that are kept one by one is asked for one by one, too.
    """

    series: int | None = None
    ask_after_s: float = 0.0
    rows: dict[str, int] = field(default_factory=dict)
    together_after_s: float = 0.0

    @property
    def rows_together(self) -> float:
        """How many rows all series have, as far as one can tell. Those that are unknown are taken to be as those that came."""
        if self.series is None:
            return math.inf
        usual = median_low(self.rows.values()) if len(self.rows) >= _ENOUGH else _USUAL_ROWS
        return sum(self.rows.values()) + max(0, self.series - len(self.rows)) * usual


class WideningPolicy:
    """Chooses wider questions, by what was noted of earlier ones."""

    def __init__(self, interest: Interest, settings: Settings, clock: Clock) -> None:
        self._interest = interest
        self._clock = clock
        self._settings = settings
        # With the project: what is known of a run in its own must not show where it is asked for in another.
        self._sizes: LRUCache[tuple[str, str], _RunSize] = LRUCache(_MOST_RUNS)
        # By project and run: how many rows the last ones had that were asked for as a whole.
        self._run_rows: LRUCache[str, LRUCache[str, int]] = LRUCache(_MOST_RUNS)
        self._useless: TTLCache[tuple[MetricsQuery, str | None], None] = TTLCache(
            _MOST_AVOIDED, AVOIDED_S, timer=clock.monotonic_s
        )
        self._unobtainable: TTLCache[MetricsQuery, None] = TTLCache(_MOST_AVOIDED, AVOIDED_S, timer=clock.monotonic_s)
        # Until when each isn't asked again (monotonic clock), and how many seconds that wait is.
        self._unproven: TTLCache[MetricsQuery, tuple[float, float]] = TTLCache(
            _MOST_AVOIDED, AVOIDED_S, timer=clock.monotonic_s
        )
        self._failed: TTLCache[MetricsQuery, None] = TTLCache(_MOST_AVOIDED, _FAILED_S, timer=clock.monotonic_s)
        # By series in full: how many steps the shortest window has of which even the densest answer was of no use.
        self._too_long: TTLCache[MetricsQuery, float] = TTLCache(_MOST_AVOIDED, AVOIDED_S, timer=clock.monotonic_s)

    @property
    def _most_rows(self) -> int:
        """How many rows all series of a run may have to be asked for at once."""
        return self._settings.now.series.max_fetch_rows

    def choose(self, question: MetricsQuery) -> MetricsQuery:
        """Return the question to ask: the widest whose answer is likely to be whole and of use, or the question itself."""
        return next((wider for wider in self._wider(question) if self.is_promising(wider, question)), question)

    def is_first_look(self, question: MetricsQuery) -> bool:
        """Tell whether a question's series were asked for only once in the last minute."""
        return self._interest.is_first_look(question)

    def is_promising(self, wider: MetricsQuery, question: MetricsQuery) -> bool:
        """Tell whether nothing is known that speaks against asking a wider question in place of a question."""
        if self._unproven.get(wider, (0.0, 0.0))[0] > self._clock.monotonic_s():
            return False
        return (wider, question.name) not in self._useless and wider not in self._unobtainable and wider not in self._failed

    def _wider(self, question: MetricsQuery) -> list[MetricsQuery]:
        small = self._rows_of_run(question) <= self._most_rows
        wider = [question.whole_run] if small and self._interest.is_of_several(question) else []
        if question.name is not None or (question.group is not None and small):
            wider.append(question.in_full)
            if _span(question) < self._too_long.get(question.in_full, math.inf):
                wider.append(question.densest)
        return wider

    def needs_size(self, question: MetricsQuery) -> bool:
        """Tell whether to find out how many series a run has: as soon as more than one of them is asked for.

        Where the project's last runs were small, the run is likely to be, too. If it isn't, its answer is given up.
        """
        size = self._size(question)
        unknown = size.series is None and self._clock.monotonic_s() >= size.ask_after_s
        return unknown and self._rows_of_run(question) > self._most_rows and self._interest.is_of_several(question)

    def _rows_of_run(self, question: MetricsQuery) -> float:
        """Return how many rows a run has, as far as one can tell."""
        size, runs = self._size(question), self._run_rows.get(question.project)
        if size.series is None and runs is not None and len(runs) == _RUNS:
            return _ROOM * max(runs.values())
        return size.rows_together

    def note_size(self, question: MetricsQuery, series: float) -> None:
        """Note how many series a run has (infinite: too many to list)."""
        self._size(question).series = 10**9 if math.isinf(series) else int(series)

    def note_no_size(self, question: MetricsQuery) -> None:
        """Note that nobody can say now how many series a run has."""
        self._size(question).ask_after_s = self._clock.monotonic_s() + WATCHED_S

    def note_rows(self, extents: Extents) -> None:
        """Note how many rows the series of an answer have."""
        question = extents.question
        size = self._size(question)
        if question == question.whole_run:
            size.series = max(size.series or 0, len(extents.by_name))
            if (runs := self._run_rows.get(question.project)) is None:
                runs = self._run_rows[question.project] = LRUCache(_RUNS)
            runs[question.run] = sum(len(extent.steps) for extent in extents.by_name.values())
        rows = size.rows
        for name, extent in extents.by_name.items():
            if len(rows) < _MOST_NAMES or name in rows:
                rows[name] = max(rows.get(name, 0), len(extent.steps))

    def others(self, question: MetricsQuery, names: int) -> int | None:
        """Return how many series a run has beside `names` of them; None where they aren't to be asked for together."""
        size = self._size(question)
        if size.series is None or self._clock.monotonic_s() < size.together_after_s:
            return None
        return max(0, size.series - names)

    def note_too_much_together(self, question: MetricsQuery) -> None:
        """Note that what is new of all series of a run was too much for one answer."""
        self._size(question).together_after_s = self._clock.monotonic_s() + AVOIDED_S

    def note_useless_for(self, wider: MetricsQuery, question: MetricsQuery) -> None:
        """Note that a wider question's answer did not tell the answer to a question."""
        self._useless[wider, question.name] = None
        if wider == question.densest != question.in_full:
            self._too_long[question.in_full] = min(_span(question), self._too_long.get(question.in_full, math.inf))

    def note_unobtainable(self, wider: MetricsQuery) -> None:
        """Note that no answer to a wider question can be obtained: it is too large, or the upstream refuses."""
        self._unobtainable[wider] = None

    def note_failed(self, wider: MetricsQuery) -> None:
        """Note that the upstream failed to answer a wider question, which may have had any reason."""
        self._failed[wider] = None

    def note_unproven(self, wider: MetricsQuery) -> None:
        """Note that a wider question's answer could not be proven whole."""
        until_s, before_s = self._unproven.get(wider, (0.0, _UNPROVEN_S / 2))
        # Everybody who waited for the answer notes it.
        if (now_s := self._clock.monotonic_s()) >= until_s:
            again_s = min(2 * before_s, _MOST_UNPROVEN_S)
            self._unproven[wider] = now_s + again_s, again_s

    def note_proven(self, wider: MetricsQuery) -> None:
        """Note that a wider question's answer is whole."""
        self._unproven.pop(wider, None)

    def _size(self, question: MetricsQuery) -> _RunSize:
        key = question.run, question.project
        if (size := self._sizes.get(key)) is None:
            size = self._sizes[key] = _RunSize()
        return size


def _span(question: MetricsQuery) -> float:
    """Return how many steps a window has."""
    return math.inf if question.last is None else question.last - question.first
