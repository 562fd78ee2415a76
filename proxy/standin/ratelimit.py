"""A rate limit as a firewall has it: a token bucket for all clients together."""

import time
from collections.abc import Callable


class RateLimit:
    """`per_s` requests a second, and up to `burst` at once; the clock is monotonic seconds."""

    def __init__(self, *, per_s: float, burst: float = 1, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.per_s = per_s
        self.burst = burst
        self._monotonic = monotonic
        self._tokens = burst
        self._at_s = monotonic()

    def allow(self) -> bool:
        """Whether one more request may pass now; a refused one costs nothing."""
        now_s = self._monotonic()
        self._tokens = min(self.burst, self._tokens + (now_s - self._at_s) * self.per_s)
        self._at_s = now_s
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
