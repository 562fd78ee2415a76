"""Since when series were seen to stand still: what this proxy can say of its own knowledge.

A **look** is an answer of the upstream about the series of a question, or about more of them, that is compared with what was
known. What was stored before a restart counts as soon as a look has brought the same rows.
"""

from collections.abc import Mapping

from proxy.clock import Clock

# What is forgotten is looked at a few times more.
_MOST = 100_000
_SeriesKey = tuple[str, str, str, str | None, str | None, str | None, str | None]


class Looks:
    """Remembers the first look at each of the series that others have confirmed since, at 100,000 of them, in memory."""

    def __init__(self, clock: Clock, *, most: int = _MOST) -> None:
        self._clock = clock
        self._most = most
        self._first_s: dict[_SeriesKey, float] = {}

    def note(self, namespace: str, values: Mapping[str, str], at_s: float, *, confirms: bool) -> None:
        """Note a look at the series of a metric question with these canonical texts, at a wall time.

        `confirms`: the next one has brought the same rows. Otherwise nothing is known of what they were before.
        """
        series = _named(namespace, values)
        self._first_s[series] = min(at_s, self._first_s.get(series, at_s)) if confirms else at_s
        if len(self._first_s) > self._most:
            del self._first_s[next(iter(self._first_s))]

    def stood_s(self, namespace: str, values: Mapping[str, str]) -> float:
        """Return how long ago, in seconds, a question's series were first looked at; 0 where they weren't."""
        now_s = self._clock.now_s()
        return max(0.0, now_s - min([self._first_s.get(series, now_s) for series in _holding(namespace, values)]))


def _named(namespace: str, values: Mapping[str, str]) -> _SeriesKey:
    """Return the series of a question in its window; how many rows of them are asked for makes no difference."""
    get = values.get
    place = namespace, values["runId"], values["projectName"]
    return *place, get("logName"), get("logGroup"), get("stepMin"), get("stepMax")


def _holding(namespace: str, values: Mapping[str, str]) -> list[_SeriesKey]:
    """Return those a look at which is a look at a question's series: their own, in full, of all names, of all groups."""
    own = _named(namespace, values)
    run, (name, group) = own[:3], own[3:5]
    names, groups = {None, name}, {None, group}
    return [own, *((*run, each, of, None, None) for each in names for of in groups)]
