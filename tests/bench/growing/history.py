"""What an upstream with long series said at which moment; see `tests.bench.replay.judge`, which judges by it."""

from collections.abc import Iterator, Sequence
from functools import lru_cache

from proxy.standin.rows import log_group_of
from tests.bench.growing.series import Series, Writing
from tests.bench.replay.history import Written
from tests.bench.replay.judge import Past
from tests.bench.replay.script import Question

DEFAULT_LIMIT = 2_000
_KEPT_ROWS = 200_000


class LongPast(Past):
    """What could be seen from `since_s` on, when the upstream was started (wall seconds)."""

    def __init__(self, series: Sequence[Series], *, since_s: float) -> None:
        self.since_s = since_s
        self._written = [Writing(one) for one in sorted(series, key=lambda one: one.name.encode())]
        self._version = lru_cache(_KEPT_ROWS)(self._make)

    def count(self, question: Question, moment_s: float) -> int:
        """See Past."""
        return sum(len(places) for _, places in self._places(question, moment_s))

    def rows(self, question: Question, moment_s: float) -> Iterator[Written]:
        """See Past."""
        for number, places in self._places(question, moment_s):
            for place in places:
                yield self._version(number, place, len(self._written[number].again_s(place, moment_s)))

    def says(self, question: Question, moment_s: float, body: bytes) -> bool:
        """See Past."""
        last = b""
        for number, places in self._places(question, moment_s):
            last = self._written[number].text(places[-1], moment_s).encode() if places else last
        # Nearly all moments but the right one are told by the newest row.
        return body.endswith(last + b"]}") and body == self.answer(question, moment_s)

    def answer(self, question: Question, moment_s: float) -> bytes:
        """Return the body that the upstream sent at a moment."""
        return b'{"metrics":[' + b",".join([row.text for row in self.rows(question, moment_s)]) + b"]}"

    def moments(self, question: Question, from_s: float, until_s: float) -> list[float]:
        """See Past."""
        from_s = max(from_s, self.since_s)
        if from_s > until_s:
            return []
        return sorted({from_s}.union(*(self._changes(number, question, from_s, until_s) for number in self._asked(question))))[
            ::-1
        ]

    def versions(self, question: Question, row: Written, until_s: float) -> list[Written]:
        """See Past."""
        for number in self._asked(question):
            written = self._written[number]
            if row.group == log_group_of(written.series.name):
                place = (row.step - written.series.first_step) // written.series.stride
                count = 1 + len(written.again_s(place, until_s))
                return [self._version(number, place, version) for version in range(count)]
        return []

    def _asked(self, question: Question) -> list[int]:
        return [
            number
            for number, series in enumerate(one.series for one in self._written)
            if series.run == question.run
            and question.name in (None, series.name)
            and question.group in (None, log_group_of(series.name))
        ]

    def _places(self, question: Question, moment_s: float) -> Iterator[tuple[int, Sequence[int]]]:
        limit = DEFAULT_LIMIT if question.limit is None else question.limit
        for number in self._asked(question):
            yield number, self._written[number].sent(moment_s, first=question.first, last=question.last, limit=limit)

    def _changes(self, number: int, question: Question, from_s: float, until_s: float) -> Iterator[float]:
        """Yield the moments of a span at which a row of a question turned up, or was written again."""
        written = self._written[number]
        series = written.series
        begin, end = series.span(question.first, question.last, series.due(until_s))
        late_s = series.late_s if series.late_each else 0.0
        for place in range(max(begin, series.due(from_s - late_s) - 1), end):
            if from_s < series.arrived_s(place) <= until_s:
                yield series.arrived_s(place)
        for moment_s, place in written.rewrites(from_s, until_s):
            if begin <= place < end:
                yield moment_s

    def _make(self, number: int, place: int, version: int) -> Written:
        """Return a row as it was written for the `version`-th time, from 0."""
        written = self._written[number]
        series = written.series
        return Written(
            arrived_s=written.written_s(place, version) if version else series.arrived_s(place),
            step=series.step(place),
            group=log_group_of(series.name),
            text=written.version(place, version).encode(),
        )
