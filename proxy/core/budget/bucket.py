"""A token bucket: it limits calls a second, with a burst."""


class Bucket:
    """Fills with `rate_per_s` tokens a second up to `burst`, and begins full. One call takes one token."""

    def __init__(self, *, rate_per_s: float, burst: float, now_s: float) -> None:
        self.burst = burst
        self._rate_per_s = rate_per_s
        self._tokens = burst
        self._at_s = now_s

    def tokens(self, now_s: float) -> float:
        """Return the number of tokens in it, a fraction included."""
        self._fill(now_s)
        return self._tokens

    def take(self, now_s: float) -> None:
        """Take one token. Raises RuntimeError where there is none: ask `ready_in_s` first."""
        self._fill(now_s)
        if self._tokens < 1:
            raise RuntimeError("no token")
        self._tokens -= 1

    def ready_in_s(self, now_s: float, tokens: float = 1) -> float:
        """Return the seconds until so many tokens will have come, which may be more than fit in."""
        self._fill(now_s)
        return max(0.0, tokens - self._tokens) / self._rate_per_s

    def set_pace(self, rate_per_s: float, burst: float, now_s: float) -> None:
        """Go on at another rate with another burst. The tokens in it stay, as far as they fit."""
        if rate_per_s == self._rate_per_s and burst == self.burst:
            return  # nearly always so
        self._fill(now_s)
        self._rate_per_s = rate_per_s
        self.burst = burst
        self._tokens = min(self._tokens, burst)

    def drain(self, now_s: float) -> None:
        """Leave one token at most, so that calls that have waited go at the rate and not as a burst."""
        self._fill(now_s)
        self._tokens = min(self._tokens, 1.0)

    def begin_with(self, tokens: float, now_s: float) -> None:
        """Hold so many tokens from now on, as far as they fit."""
        self._tokens = min(self.burst, tokens)
        self._at_s = now_s

    def _fill(self, now_s: float) -> None:
        passed_s = now_s - self._at_s
        if passed_s > 0:
            self._tokens = min(self.burst, self._tokens + passed_s * self._rate_per_s)
            self._at_s = now_s
        # Rounding must not make a token late by a hair: the timer that woke the caller would wake it again at once.
        if 1 - 1e-9 < self._tokens < 1:
            self._tokens = 1.0
