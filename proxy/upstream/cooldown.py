"""The cool-down: after a 429 or 503 the upstream is left alone, all of it, until the time it named has passed.

    closed ──429/503──> cooling ──time passed──> probing (one request) ──any other answer──> closed
                           ^                        │
                           └────────429/503─────────┘

Where the upstream names no time (or one that can't be read) it is 5 s, doubling each time in a row.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from proxy.clock import Clock
from proxy.errors import UpstreamBusy

FIRST_S = 5.0
PROBE_S = 1.0
_log = structlog.get_logger()


class Cooldown:
    """Lets requests through, or not. All times are of the monotonic clock, in seconds."""

    def __init__(self, clock: Clock, *, most_s: float) -> None:
        self._clock = clock
        self._most_s = most_s
        self._until_s: float | None = None
        self._unnamed = 0
        self._probing = False
        self.begun = 0
        """How many times a cool-down began or was prolonged."""

    @property
    def resting(self) -> bool:
        """Whether a request would be turned away now."""
        return self._until_s is not None and (self._probing or self._clock.monotonic_s() < self._until_s)

    @property
    def remaining_s(self) -> float:
        """Seconds until the next probe; 0 where nothing is cooling."""
        return max(0.0, (self._until_s or 0.0) - self._clock.monotonic_s()) if self._until_s is not None else 0.0

    @contextmanager
    def passage(self) -> Iterator[None]:
        """Pass one request through.

        Raises UpstreamBusy without letting it through during a cool-down. The block raises UpstreamBusy with `retry_after_s`
        where the upstream said so; that begins or prolongs the cool-down. Leaving it normally ends the cool-down.
        """
        probe = self._enter()
        try:
            yield
        except BaseException:
            if probe:
                self._probing = False
            raise
        if probe:
            self._probing = False
            self._until_s = None
            self._unnamed = 0
            _log.info("cooldown.ended")

    def begin(self, named_s: float | None) -> float:
        """Begin or prolong the cool-down by `named_s` seconds (None: the upstream named none); return what is left of it.

        Several requests under way may be told the same at once: what is already cooling is prolonged by a named time only.
        """
        now_s = self._clock.monotonic_s()
        cooling = self._until_s is not None and now_s < self._until_s
        if named_s is not None:
            self._unnamed = 0
        elif not cooling:
            self._unnamed += 1
        length_s = named_s if named_s is not None else min(FIRST_S * 2 ** max(self._unnamed - 1, 0), self._most_s)
        if not cooling or named_s is not None:
            self._until_s = max(self._until_s or 0.0, now_s + length_s)
            self.begun += 1
            _log.warning("cooldown.begun", length_s=round(length_s, 3), named=named_s is not None)
        return max(self.remaining_s, PROBE_S)

    def _enter(self) -> bool:
        """Return whether the request that enters is the probe."""
        if self._until_s is None:
            return False
        if self.resting:
            raise UpstreamBusy(
                "the upstream asked to be left alone and has not answered this question before; ask again later",
                retry_after_s=max(self.remaining_s, PROBE_S),
            )
        self._probing = True
        return True
