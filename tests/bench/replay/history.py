"""Which rows the upstream had at which moment, as its schedule says: made of the schedule alone, whatever was answered.

Sampling is done here anew, by the rule as the upstream's documents tell it, and shares no code with the stand-in's or the
proxy's.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

from proxy.standin import GrowthConfig
from proxy.standin.growth import Growth, Run, Series
from proxy.standin.rows import Rows, log_group_of
from tests.bench.replay.script import Question
from tests.support.oracle import printed

_DEFAULT_LIMIT = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A row as it was written once; `arrived_s` is the wall time from which it was there. Its place is (step, group)."""

    arrived_s: float
    step: int
    group: str
    text: bytes

    @property
    def place(self) -> tuple[int, str]:
        """What a later row replaces it by."""
        return self.step, self.group


class Partition:
    """All that is ever written of one name of a run."""

    def __init__(self, written: Iterable[Written]) -> None:
        self._written = sorted(written, key=lambda row: row.arrived_s)
        self._arrived_s = [row.arrived_s for row in self._written]
        self._appended = all(before.step < after.step for before, after in pairwise(self._written))
        self._states: dict[int, list[Written]] = {}
        self.versions: dict[tuple[int, str], list[Written]] = {}
        for row in self._written:
            self.versions.setdefault(row.place, []).append(row)

    def at(self, moment_s: float) -> Sequence[Written]:
        """Return the rows that there were at a moment, by step."""
        count = bisect_right(self._arrived_s, moment_s)
        if (state := self._states.get(count)) is None:
            state = self._states[count] = self._written[:count] if self._appended else _settled(self._written[:count])
        return state

    def arrivals(self, after_s: float, until_s: float) -> set[float]:
        """Return the moments of a span at which something was written."""
        return set(self._arrived_s[bisect_right(self._arrived_s, after_s) : bisect_right(self._arrived_s, until_s)])


class History:
    """What could be seen from `since_s` on, when the upstream was started (wall seconds), up to `until_s`."""

    def __init__(self, config: GrowthConfig, *, since_s: float, until_s: float) -> None:
        assert config.start_s is not None, "without a start of its own nobody knows what there was when"
        self.since_s = since_s
        self._until_s = until_s
        self._delay_s = config.arrival_delay_s
        self._growth = Growth(config, Rows(), config.start_s)
        self._runs = {run.id: run for run in self._growth.runs}
        self._partition = cache(self._make)

    def rows(self, question: Question, moment_s: float) -> list[Written]:
        """Return the rows that the upstream sent at a moment, sampled."""
        limit = _DEFAULT_LIMIT if question.limit is None else question.limit
        partitions = (_selected(partition.at(moment_s), question) for partition in self.partitions(question).values())
        return [row for selected in partitions for row in _thinned(selected, limit)]

    def count(self, question: Question, moment_s: float) -> int:
        """Return how many rows the upstream sent at a moment."""
        return len(self.rows(question, moment_s))

    def says(self, question: Question, moment_s: float, body: bytes) -> bool:
        """Tell whether a body is what the upstream sent at a moment."""
        return body == self.answer(question, moment_s)

    def versions(self, question: Question, row: Written, until_s: float) -> Sequence[Written]:  # noqa: ARG002 -- knows them all
        """Return all that is ever written at a row's place, in order."""
        named = (partition.versions.get(row.place, []) for partition in self.partitions(question).values())
        return next((versions for versions in named if row in versions), [])

    def answer(self, question: Question, moment_s: float) -> bytes:
        """Return the body that the upstream sent at a moment."""
        return b'{"metrics":[' + b",".join([row.text for row in self.rows(question, moment_s)]) + b"]}"

    def moments(self, question: Question, from_s: float, until_s: float) -> list[float]:
        """Return the moments of a span at which there began to be something else to see, the last first, and `from_s`."""
        from_s = max(from_s, self.since_s)
        if from_s > until_s:
            return []
        changes = {from_s}.union(*(partition.arrivals(from_s, until_s) for partition in self.partitions(question).values()))
        return sorted(changes, reverse=True)

    def partitions(self, question: Question) -> Mapping[str, Partition]:
        """Return what a question is about, in the upstream's order of names."""
        names = {series.name for series in self._runs[question.run].series}
        asked = names if question.name is None else names & {question.name}
        return {name: self._partition(question.run, name) for name in sorted(asked, key=str.encode)}

    def _make(self, run_id: int, name: str) -> Partition:
        run = self._runs[run_id]
        return Partition(row for series in run.series if series.name == name for row in self._series(run, series))

    def _series(self, run: Run, series: Series) -> Iterable[Written]:
        until_s = self._until_s - self._delay_s if run.ended_s is None else run.ended_s
        for index in range(series.due(until_s - run.started_s)):
            row = self._growth.row(run, series, index)
            group = log_group_of(row.log_name) if row.log_group is None else row.log_group
            value = int(row.value) if row.value.is_integer() else row.value
            fields = {"logName": row.log_name, "logGroup": group, "value": value, "valueFlag": "", "time": row.time}
            yield Written(
                arrived_s=run.started_s + self._delay_s + arrives_s(series, index),
                step=row.step,
                group=group,
                text=printed(fields | {"step": row.step}).encode(),
            )


def arrives_s(series: Series, index: int) -> float:
    """Return when a row is due, in seconds after the run's start: as it is logged, the backlog with the first after it."""
    return max(series.starts_s, series.logged_at_s(index))


def _settled(written: Iterable[Written]) -> list[Written]:
    """Return the last row of each place, by step."""
    last = {row.place: row for row in written}
    return [last[place] for place in sorted(last)]


def _selected(rows: Sequence[Written], question: Question) -> Sequence[Written]:
    begin = 0 if question.first is None else bisect_left(rows, question.first, key=_step)
    end = len(rows) if question.last is None else bisect_right(rows, question.last, key=_step)
    windowed = rows[begin:end]
    return windowed if question.group is None else [row for row in windowed if row.group == question.group]


def _step(row: Written) -> int:
    return row.step


def _thinned(rows: Sequence[Written], limit: int) -> Sequence[Written]:
    """Number the rows from 1; where they are more than the limit, take those whose number leaves 1, and the last."""
    every = -(-len(rows) // limit)
    if every <= 1:
        return rows
    taken = rows[::every]
    return taken if (len(rows) - 1) % every == 0 else [*taken, rows[-1]]
