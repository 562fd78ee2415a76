"""What the status of a run has to do with the model of the series engine: a mixin of rules, and how old answers may be.

The run ends, goes on and says its status again; it tells times of last year, and when its record was written, or doesn't.
Its rows go on coming all the same. What the proxy was told decides how long its answers may live: no longer than since the run
had settled, by the latest of what it was told, and eleven times as long as it had been looking when it asked.
"""

from abc import abstractmethod
from dataclasses import dataclass

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from tests.support.oracle import Asked
from tests.support.oracle_upstream import OracleUpstream, Told

# Short enough that runs settle, and are believed to stand still, within an example.
STATUS_S, SETTLING_S, ENDED_MAX_S = 5.0, 20.0, 150.0
SETTINGS = {
    "freshness__status_s": STATUS_S,
    "freshness__settling_s": SETTLING_S,
    "freshness__settling_failed_s": SETTLING_S,
    "freshness__ended_max_s": ENDED_MAX_S,
}
TERMINAL = ("COMPLETED", "FAILED", "TERMINATED", "CANCELLED")
YEAR_S = 365 * 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What the proxy has been told at some moment, and when it was first asked anything."""

    told: Told
    first_asked_s: float


class StatusRules(RuleBasedStateMachine):
    """Rules for a model whose `_upstream` there is after its beginning."""

    _upstream: OracleUpstream
    _events: list[object]

    def __init__(self) -> None:
        super().__init__()
        self._first_asked_s: float | None = None
        self._asked: list[Asked] = []

    @rule(
        # An end more often than a beginning, or there would be few runs that have settled.
        status=st.sampled_from((*TERMINAL, *TERMINAL, "RUNNING", "RUNNING")),
        ago_s=st.sampled_from([None, None, 0.0, 50.0, YEAR_S, YEAR_S]),
        really=st.integers(0, 3),
    )
    def say_status(self, status: str, ago_s: float | None, really: int) -> None:
        """The run ends, is resumed, or says once more what it is, now and then: with a time of its own or without one."""
        if really:
            return
        at_s = None if ago_s is None else self._upstream.clock.now_s() - ago_s
        self._upstream.say_status(status, at_s=at_s)
        self._events.append(f"said {status}, as of {ago_s} s ago")

    @rule(really=st.integers(0, 5))
    def write_record(self, really: int) -> None:
        """Somebody edits the run's tags, now and then."""
        if not really:
            self._upstream.write_record()
            self._events.append("record written")

    @rule(really=st.integers(0, 5))
    def tell_of_writes(self, really: int) -> None:
        """The upstream tells when the record was written, or no longer."""
        if not really:
            self._upstream.tells_writes = not self._upstream.tells_writes
            self._events.append(f"tells of writes: {self._upstream.tells_writes}")

    @rule(times=st.integers(2, 9), seconds=st.sampled_from([4.0, 6.0, 9.0, 14.0]), really=st.integers(0, 2))
    def rest(self, times: int, seconds: float, really: int) -> None:
        """Whatever was asked last is asked again and again, while nothing happens to the run; now and then."""
        for _ in range(0 if really else times):
            self.pause(seconds)
            self.poll(self._asked)

    @abstractmethod
    def pause(self, seconds: float) -> None:
        """Let time pass."""

    @abstractmethod
    def poll(self, asked: list[Asked]) -> None:
        """Ask some questions at once."""

    def moment(self, asked: list[Asked]) -> Moment:
        """Return how it is before some questions, or after them."""
        self._asked = asked
        if self._first_asked_s is None:
            self._first_asked_s = self._upstream.clock.now_s()
        return Moment(told=self._upstream.told, first_asked_s=self._first_asked_s)


def longest_fresh_s(moment: Moment, now_s: float, age_s: float, *, slack_s: float, running_s: float) -> float:
    """Return how old an answer of an age in whole seconds may have been without being asked for again."""
    told = moment.told
    if told.latest_s is None or now_s - told.listed_absent_s > 2 * STATUS_S + slack_s:
        return running_s
    settled_s = now_s - max(told.latest_s, told.running_s) - SETTLING_S
    stood_s = now_s - age_s - moment.first_asked_s
    return max(running_s, min(ENDED_MAX_S, settled_s + slack_s, 11 * (stood_s + slack_s)))
