"""Whether the upstream refuses the shared key. A refused key is tried again at most every 30 s, or as soon as it changes."""

import structlog

from proxy.clock import Clock
from proxy.errors import KeyRefused

RETRY_S = 30.0
MESSAGE = "pluto-api refused the shared key that this proxy holds; whoever runs the proxy must renew it"
_log = structlog.get_logger()


class Refusal:
    """What is known about the key's standing upstream, by the key's fingerprint. All times are monotonic."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._fingerprint: str | None = None
        self._refused_s = 0.0
        self._next_try_s = 0.0

    def refused(self, fingerprint: str) -> bool:
        """Whether the last word of the upstream about this key was a refusal."""
        return self._fingerprint == fingerprint

    def check(self, fingerprint: str) -> None:
        """Raise KeyRefused while the key is known as refused and no try is due."""
        if self.refused(fingerprint) and self._clock.monotonic_s() < self._next_try_s:
            raise KeyRefused(MESSAGE)

    def book(self, fingerprint: str) -> bool:
        """Take the try that is due, just before it is sent; return False where somebody else has taken it meanwhile."""
        if not self.refused(fingerprint):
            return True
        now_s = self._clock.monotonic_s()
        if now_s < self._next_try_s:
            return False
        self._next_try_s = now_s + RETRY_S
        return True

    def note_refused(self, fingerprint: str) -> None:
        """Remember that the upstream refused this key."""
        self._refused_s = self._clock.monotonic_s()
        self._next_try_s = self._refused_s + RETRY_S
        if self._fingerprint != fingerprint:
            self._fingerprint = fingerprint
            _log.error("key.refused", fingerprint=fingerprint)

    def note_accepted(self, fingerprint: str, *, sent_s: float) -> None:
        """Remember that the upstream answered a call with this key, unless it was sent before the refusal."""
        if self._fingerprint == fingerprint and sent_s >= self._refused_s:
            self._fingerprint = None
            _log.info("key.accepted", fingerprint=fingerprint)
