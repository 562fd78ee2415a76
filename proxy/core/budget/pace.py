"""How many calls a second the upstream takes. Its limit is documented nowhere, so it is learned from its 429s.

The rate begins at the configured one. A 429 halves it, once for all that come within a second; below the rate that failed it
grows by 2 % a second at first, and by half a per cent a second from four fifths of that rate on, never beyond the configured
one. Near the limit most of the time is so spent below it, and a 429 is rare.
"""

import math

CUT = 0.5
SAME_EPISODE_S = 1.0
GROWTH_PER_S = 0.02
CAREFUL_GROWTH_PER_S = 0.005
CAREFUL_FROM = 0.8
LEAST_PER_S = 0.2


class Pace:
    """The rate to keep, in calls a second."""

    def __init__(self, *, most_per_s: float, now_s: float) -> None:
        self._most_per_s = most_per_s
        self._rate_per_s = most_per_s
        self._failed_at_per_s = math.inf
        self._cut_s = -math.inf
        self._at_s = now_s

    def rate_per_s(self, now_s: float) -> float:
        """Return the rate to keep now."""
        passed_s = max(0.0, now_s - self._at_s)
        self._at_s = max(self._at_s, now_s)
        careful_from = self._failed_at_per_s * CAREFUL_FROM
        if self._rate_per_s < careful_from:
            quick_s = min(passed_s, math.log(careful_from / self._rate_per_s) / GROWTH_PER_S)
            self._grow(GROWTH_PER_S * quick_s)
            passed_s -= quick_s
        self._grow(CAREFUL_GROWTH_PER_S * passed_s)
        return self._rate_per_s

    def cut(self, now_s: float) -> None:
        """Slow down: the upstream said that it was too much."""
        rate_per_s = self.rate_per_s(now_s)
        if now_s - self._cut_s < SAME_EPISODE_S:
            return
        self._cut_s = now_s
        self._failed_at_per_s = rate_per_s
        self._rate_per_s = min(self._most_per_s, max(rate_per_s * CUT, LEAST_PER_S))

    def _grow(self, exponent: float) -> None:
        # Far above any exponent that matters the rate has reached its bound anyway, and exp() would overflow.
        self._rate_per_s = min(self._most_per_s, self._rate_per_s * math.exp(min(exponent, 100.0)))
