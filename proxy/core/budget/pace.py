"""How many calls a second the upstream takes, and how many at once. Its limit is not documented: its 429s teach it.

The rate begins at the configured one. A 429 halves it. Then it grows by 2 % a second up to four fifths of the rate that failed,
and by 0.5 % a second from there on, up to the configured rate. So most of the time the rate is below the upstream's limit, and
a 429 is rare.

The burst begins at the configured one, too, is halved by the same 429, and grows back within some ten minutes. Where the
refused call was one of a burst, only the burst is cut: if the rate was too high as well, the next 429 will show it.
"""

import math
from collections import deque
from dataclasses import dataclass

CUT = 0.5
GROWTH_PER_S = 0.02
CAREFUL_GROWTH_PER_S = 0.005
CAREFUL_FROM = 0.8
LEAST_PER_S = 0.2
BURST_GROWTH_PER_S = 0.001
# Calls are a burst where more than the rate's share, and one, go within so many seconds.
BURST_WITHIN_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class PaceState:
    """What a pace has learned, for another process. Ages are in seconds.

    `rate_per_s` and `at_once`: the rate and the burst to keep, None where they are as configured. `failed_at_per_s`: the rate
    that failed, None where none did. `cut_age_s`: since when they are cut, None where they aren't. `calls_ages_s`: of the calls
    of the last moment.
    """

    rate_per_s: float | None = None
    at_once: float | None = None
    failed_at_per_s: float | None = None
    cut_age_s: float | None = None
    calls_ages_s: tuple[float, ...] = ()


class Pace:
    """The rate to keep, in calls a second, and the burst: how many calls may go at once."""

    def __init__(self, *, most_per_s: float, burst: float, now_s: float) -> None:
        self._most_per_s = most_per_s
        self._rate_per_s = most_per_s
        self._most_at_once = burst
        self._at_once = burst
        self._failed_at_per_s = math.inf
        self._cut_s = -math.inf
        self._at_s = now_s
        self._lately: deque[float] = deque()

    def renew(self, *, most_per_s: float, burst: float, now_s: float) -> None:
        """Go on with another configured rate and burst. What was cut by a 429 stays cut, and grows up to them."""
        self._advance(now_s)
        as_configured = self._rate_per_s == self._most_per_s, self._at_once == self._most_at_once
        self._most_per_s, self._most_at_once = most_per_s, burst
        self._rate_per_s = most_per_s if as_configured[0] else min(self._rate_per_s, most_per_s)
        self._at_once = burst if as_configured[1] else min(self._at_once, burst)

    def rate_per_s(self, now_s: float) -> float:
        """Return the rate to keep now."""
        self._advance(now_s)
        return self._rate_per_s

    def burst(self, now_s: float) -> float:
        """Return how many calls may go at once now; at least 1."""
        self._advance(now_s)
        return self._at_once

    def kept(self, now_s: float) -> tuple[float, float]:
        """Return the rate and the burst to keep now."""
        self._advance(now_s)
        return self._rate_per_s, self._at_once

    def note_call(self, now_s: float) -> bool:
        """Note a call; return whether it is one of a burst."""
        self._lately.append(now_s)
        while self._lately[0] <= now_s - BURST_WITHIN_S:
            self._lately.popleft()
        return len(self._lately) > self.rate_per_s(now_s) * BURST_WITHIN_S + 1

    def cut(self, now_s: float, *, sent_s: float, in_burst: bool = False) -> None:
        """Note a 429: cut the burst, and the rate unless the call was one of a burst.

        A call that was sent before the last cut (`sent_s`) says nothing new, and cuts nothing.
        """
        self._advance(now_s)
        if sent_s <= self._cut_s:
            return
        self._cut_s = now_s
        self._at_once = max(1.0, self._at_once * CUT)
        if not in_burst:
            self._failed_at_per_s = self._rate_per_s
            self._rate_per_s = max(self._rate_per_s * CUT, min(LEAST_PER_S, self._most_per_s))

    def state(self, now_s: float) -> PaceState:
        """Return what was learned."""
        self._advance(now_s)
        return PaceState(
            rate_per_s=None if self._rate_per_s == self._most_per_s else self._rate_per_s,
            at_once=None if self._at_once == self._most_at_once else self._at_once,
            failed_at_per_s=None if math.isinf(self._failed_at_per_s) else self._failed_at_per_s,
            cut_age_s=None if math.isinf(self._cut_s) else now_s - self._cut_s,
            calls_ages_s=tuple(now_s - at_s for at_s in self._lately),
        )

    def take_over(self, state: PaceState, now_s: float) -> None:
        """Go on with what another process has learned, within the configured rate and burst, which may differ from its own."""
        self._rate_per_s = _least(self._most_per_s, state.rate_per_s)
        self._at_once = _least(self._most_at_once, state.at_once)
        self._failed_at_per_s = math.inf if state.failed_at_per_s is None else state.failed_at_per_s
        self._cut_s = -math.inf if state.cut_age_s is None else now_s - state.cut_age_s
        self._at_s = now_s
        self._lately = deque(now_s - age_s for age_s in state.calls_ages_s)

    def _advance(self, now_s: float) -> None:
        passed_s = now_s - self._at_s
        if passed_s <= 0:
            return
        self._at_s = now_s
        if self._rate_per_s == self._most_per_s and self._at_once == self._most_at_once:
            return  # nearly always so
        self._at_once = min(self._most_at_once, _grown(self._at_once, BURST_GROWTH_PER_S * passed_s))
        careful_from = self._failed_at_per_s * CAREFUL_FROM
        if self._rate_per_s < careful_from:
            quick_s = min(passed_s, math.log(careful_from / self._rate_per_s) / GROWTH_PER_S)
            self._grow(GROWTH_PER_S * quick_s)
            passed_s -= quick_s
        self._grow(CAREFUL_GROWTH_PER_S * passed_s)

    def _grow(self, exponent: float) -> None:
        self._rate_per_s = min(self._most_per_s, _grown(self._rate_per_s, exponent))


def _least(most: float, learned: float | None) -> float:
    return most if learned is None else min(most, learned)


def _grown(value: float, exponent: float) -> float:
    # A great exponent reaches the bound anyway, and would make exp() overflow.
    return value * math.exp(min(exponent, 100.0))
