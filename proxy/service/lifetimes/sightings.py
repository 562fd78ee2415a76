"""Since when series have been seen to stand still, as far as this proxy knows from its own requests.

A **sighting** is an answer of the upstream about the series of a question, or about more than those, which was compared with
what was known. What was stored before a restart counts as soon as a sighting has brought the same rows.
"""

from collections.abc import Mapping

from proxy.clock import Clock
from proxy.generation import Generation

# Series that are forgotten are refreshed a few times more often.
_MOST = 100_000
_SeriesKey = tuple[str, str, str, str | None, str | None, str | None, str | None]


class Sightings:
    """Remembers in memory when each of 100,000 series was first seen with the rows that it still has."""

    def __init__(self, clock: Clock, generation: Generation | None = None, *, most: int = _MOST) -> None:
        """`generation` ends with each sighting that says something new: lifetimes follow from it."""
        self._clock = clock
        self._generation = generation or Generation()
        self._most = most
        self._first_s: dict[_SeriesKey, float] = {}

    def note(self, namespace: str, values: Mapping[str, str], at_s: float, *, confirms: bool) -> None:
        """Note that the series of a metrics query with these canonical parameters were seen, as of a wall time.

        `confirms`: whether another sighting has brought the same rows. If not, nothing is known of what they were before.
        """
        series = _series_of(namespace, values)
        before_s = self._first_s.get(series)
        self._first_s[series] = min(at_s, at_s if before_s is None else before_s) if confirms else at_s
        if self._first_s[series] != before_s:
            self._generation.end()
        if len(self._first_s) > self._most:
            del self._first_s[next(iter(self._first_s))]
            self._generation.end()

    def stood_s(self, namespace: str, values: Mapping[str, str]) -> float:
        """Return for how many seconds a query's series have been seen to stand still; 0 where they weren't seen."""
        now_s = self._clock.now_s()
        return max(0.0, now_s - min([self._first_s.get(series, now_s) for series in _holding(namespace, values)]))


def _series_of(namespace: str, values: Mapping[str, str]) -> _SeriesKey:
    """Return the key of a query's series in its window. How many rows of them it asks for makes no difference."""
    get = values.get
    place = namespace, values["runId"], values["projectName"]
    return *place, get("logName"), get("logGroup"), get("stepMin"), get("stepMax")


def _holding(namespace: str, values: Mapping[str, str]) -> list[_SeriesKey]:
    """Return the keys of what holds a query's series, so that seeing one of them is seeing those.

    They are the series themselves in their window, in full, among all names, and among all groups.
    """
    own = _series_of(namespace, values)
    run, (name, group) = own[:3], own[3:5]
    names, groups = {None, name}, {None, group}
    return [own, *((*run, each, of, None, None) for each in names for of in groups)]
