"""Series that one answer cannot hold, in the model of the series engine: a mixin of rules.

Two names have rows of one group only, so that nothing is in the way of their being loaded. They grow by many rows at once, and
are polled long enough for a load and for looks at all of them. Their rows change, come late and are deleted anywhere: between
two polls, and between two windows of a load.
"""

from abc import abstractmethod
from collections.abc import Callable

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from tests.support.oracle import Asked
from tests.support.oracle_upstream import OracleUpstream

LONG = ("l", "m")
# So many rows are enough: what is promised of more takes long to judge.
_MOST_ROWS = 110
_STEPS = st.integers(0, 90)
LONG_QUESTIONS = st.builds(
    lambda name, limit, first, width: Asked(name=name, limit=limit, first=first, last=None if width is None else first + width),
    name=st.sampled_from(LONG),
    limit=st.integers(1, 24),
    first=st.just(0) | _STEPS,
    width=st.none() | _STEPS,
)
_CHANGES = st.sampled_from(["written again", "written again", "late", "late", "deleted"])
_PLACES = st.floats(0, 1)


class LongRules(RuleBasedStateMachine):
    """Rules for a model whose `_upstream` there is after its beginning."""

    _upstream: OracleUpstream
    _events: list[object]

    @rule(name=st.sampled_from(LONG), count=st.integers(20, 60), gap=st.integers(1, 3))
    def grow_long(self, name: str, count: int, gap: int) -> None:
        """Many rows at the end of a name, logged one after the other."""
        steps = self._steps(name)
        if len(steps) < _MOST_ROWS - count:
            last = steps[-1] if steps else -1
            self.write(name, [last + gap * number for number in range(1, count + 1)], 0, apart_s=2)

    @rule(
        asked=st.lists(LONG_QUESTIONS, min_size=2, max_size=9),
        growth=st.lists(st.integers(0, 3), min_size=2, max_size=9),
        change=st.none() | st.tuples(_CHANGES, _PLACES, st.integers(1, 5)),
    )
    def watch_long(self, asked: list[Asked], growth: list[int], change: tuple[str, float, int] | None) -> None:
        """Panels poll long names, which grow and perhaps change meanwhile."""
        for number, count in enumerate(growth):
            self.poll(asked)
            self.pause(6)
            name = asked[0].name or ""
            steps = self._steps(name)
            if count and steps:
                self.write(name, [steps[-1] + ahead for ahead in range(1, count + 1)], 0, apart_s=1)
            if change is not None and number == len(growth) // 2:
                self._change(name, *change)
        self.poll(asked)

    @rule(name=st.sampled_from(LONG), what=_CHANGES, place=_PLACES, count=st.integers(1, 12))
    def change_long(self, name: str, what: str, place: float, count: int) -> None:
        """Some rows are written again, come late or are deleted, anywhere."""
        self._change(name, what, place, count)

    @rule(
        changes=st.lists(
            st.tuples(st.integers(0, 9), st.sampled_from(LONG), _CHANGES | st.sampled_from(["new", "time"]), _PLACES),
            min_size=1,
            max_size=4,
        ),
        asked=st.lists(LONG_QUESTIONS, min_size=1, max_size=4),
    )
    def change_meanwhile(self, changes: list[tuple[int, str, str, float]], asked: list[Asked]) -> None:
        """Rows change, come or go, and time passes, between the calls that some questions cause, such as those of a load."""
        then: list[Callable[[], None]] = []
        for calls, name, what, place in changes:
            then += [_nothing] * calls
            then.append(lambda name=name, what=what, place=place: self._change(name, what, place, 2))  # type: ignore[misc]  # mypy infers no lambda with a default
        self._upstream.meanwhile = then
        self._events.append(f"after {[calls for calls, *_ in changes]} answers:")
        self.poll(asked)

    def _change(self, name: str, what: str, place: float, count: int) -> None:
        steps = self._steps(name)
        number = int(place * len(steps))
        chosen = steps[number : number + count]
        if what == "time":
            self.move(1 + 2 * place)
        elif what == "new" and steps:
            self.write(name, [steps[-1] + ahead for ahead in range(1, count + 1)], 0, apart_s=1)
        elif what == "written again":
            self.write(name, chosen, self._upstream.clock.now_s() % 1000)
        elif what == "late":
            self.write(name, sorted({step + 1 for step in chosen} - set(steps)), 0)
        elif what == "deleted":
            for step in chosen:
                del self._upstream.rows[name, "", step]
            self._upstream.note()
            self._events.append(f"deleted {chosen} of {name}")

    def _steps(self, name: str) -> list[int]:
        return sorted(step for of, _, step in self._upstream.rows if of == name)

    @abstractmethod
    def write(self, name: str, steps: list[int], value: float, *, apart_s: float = 0.0) -> None:
        """Write rows of a name's first group."""

    @abstractmethod
    def pause(self, seconds: float) -> None:
        """Let time pass."""

    @abstractmethod
    def move(self, seconds: float) -> None:
        """Let time pass while something is being asked."""

    @abstractmethod
    def poll(self, asked: list[Asked]) -> None:
        """Ask some questions at once."""


def _nothing() -> None:
    """Do nothing."""
