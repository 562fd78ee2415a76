"""Whether the upstream may be asked at all: closed, cooling, probing.

    closed ──429, 503, or failures in a row──> cooling ──time passed──> probing (one call) ──it answers──> closed
                                                  ^                        │
                                                  └── 429, 503, failure ───┘

A 429 or 503 may name the length of the cool-down (`Retry-After`). Otherwise, and after failures in a row, it is 5 s, and twice
as long each further time in a row: up to `most_s` after a 429 or 503, and up to 30 s after failures, since those who wait want
to know soon that the upstream is back.
"""

from dataclasses import dataclass
from enum import Enum

FIRST_S = 5.0
FAILURES_MOST_S = 30.0
FAILURES_IN_A_ROW = 5


class State(Enum):
    """What the breaker lets pass: everything, nothing, one call."""

    CLOSED = "closed"
    """Calls go."""
    COOLING = "cooling"
    """The upstream is left alone."""
    PROBING = "probing"
    """One call is under way, to find out whether it answers again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerState:
    """What a breaker knows, for another process.

    `remaining_s`: of the cool-down; 0 or less: its probe may go. None: there is none. `probe_out`: whether the probe is under
    way. `in_a_row`: the failures in a row. `doubled`: how many cool-downs in a row named no time.
    """

    remaining_s: float | None = None
    probe_out: bool = False
    in_a_row: int = 0
    doubled: int = 0


class Breaker:
    """The state, and how the results of calls change it.

    `enter` says of a call whether it is a probe. A call that began before a cool-down may end within it: its success doesn't
    end the cool-down, and its 429 prolongs it only to a time that it names.
    """

    def __init__(self, *, most_s: float) -> None:
        self._most_s = most_s
        self._until_s: float | None = None
        self._probe_out = False
        self._in_a_row = 0
        self._doubled = 0
        self.cooldowns = 0
        """How many times a cool-down began or was prolonged."""

    def renew(self, *, most_s: float, now_s: float) -> None:
        """Go on with another greatest length of a cool-down, also for one that has begun."""
        self._most_s = most_s
        if self._until_s is not None:
            self._until_s = min(self._until_s, now_s + most_s)

    def state(self, now_s: float) -> State:
        """Return the state."""
        if self._until_s is None:
            return State.CLOSED
        return State.COOLING if now_s < self._until_s else State.PROBING

    def passable(self, now_s: float) -> bool:
        """Tell whether a call may go now."""
        state = self.state(now_s)
        return state is State.CLOSED or (state is State.PROBING and not self._probe_out)

    def remaining_s(self, now_s: float) -> float:
        """Return the seconds until the next probe may go; 0 unless cooling."""
        return 0.0 if self._until_s is None else max(0.0, self._until_s - now_s)

    def enter(self, now_s: float) -> bool:
        """Let a call pass; return whether it is the probe. Raises RuntimeError unless the breaker is passable."""
        if not self.passable(now_s):
            raise RuntimeError("not passable")
        self._probe_out = self.state(now_s) is State.PROBING
        return self._probe_out

    def answered(self, now_s: float, *, probe: bool) -> bool:
        """Note that a call was answered; return whether that ended a cool-down.

        A probe's answer doesn't end it where an older call has got a 429 or 503 meanwhile, which is the later word.
        """
        if probe:
            self._probe_out = False
        if self._until_s is None:
            self._in_a_row = 0
            return False
        if not probe or now_s < self._until_s:
            return False
        self._until_s = None
        self._in_a_row = self._doubled = 0
        return True

    def failed(self, now_s: float, *, probe: bool) -> bool:
        """Note that a call failed; return whether that began a cool-down."""
        if probe:
            self._probe_out = False
        elif self._until_s is not None:
            return False
        else:
            self._in_a_row += 1
            if self._in_a_row < FAILURES_IN_A_ROW:
                return False
        self._cool(now_s, self._next_s(FAILURES_MOST_S))
        return True

    def busy(self, now_s: float, retry_after_s: float | None, *, probe: bool) -> bool:
        """Note a 429 or 503 that named so many seconds (None: none); return whether it began or prolonged a cool-down."""
        if probe:
            self._probe_out = False
        elif self._until_s is not None and retry_after_s is None:
            return False
        if retry_after_s is None:
            self._cool(now_s, self._next_s(self._most_s))
        else:
            self._doubled = 0
            self._cool(now_s, min(retry_after_s, self._most_s))
        return True

    def abandoned(self, *, probe: bool) -> None:
        """Note that a call was given up, because nobody wanted it any more."""
        if probe:
            self._probe_out = False

    def knowledge(self, now_s: float) -> BreakerState:
        """Return what another process has to know to go on from here."""
        return BreakerState(
            remaining_s=None if self._until_s is None else self._until_s - now_s,
            probe_out=self._probe_out,
            in_a_row=self._in_a_row,
            doubled=self._doubled,
        )

    def take_over(self, state: BreakerState, now_s: float) -> None:
        """Go on from what another process knows; a cool-down is no longer than this one's settings let it be."""
        self._until_s = None if state.remaining_s is None else now_s + min(state.remaining_s, self._most_s)
        self._probe_out = state.probe_out
        self._in_a_row, self._doubled = state.in_a_row, state.doubled

    def _next_s(self, most_s: float) -> float:
        self._doubled += 1
        return float(min(FIRST_S * 2.0 ** min(self._doubled - 1, 20), most_s))

    def _cool(self, now_s: float, length_s: float) -> None:
        self._until_s = max(self._until_s or now_s, now_s + length_s)
        self.cooldowns += 1
