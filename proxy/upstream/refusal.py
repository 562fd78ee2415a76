"""Whether the upstream refuses the shared key. A refused key is tried every 30 s at most; a changed key is tried at once."""

import structlog

from proxy.clock import Clock
from proxy.errors import KeyRefused

RETRY_S = 30.0
KEY_REFUSED = "pluto-api refused the shared key that this proxy holds; whoever runs the proxy must renew it"
_log = structlog.get_logger()


class Refusal:
    """Remembers which key the upstream refused, by its fingerprint. All times are monotonic."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._fingerprint: str | None = None
        self._refused_s = 0.0
        self._next_try_s = 0.0

    def is_refused(self, fingerprint: str) -> bool:
        """Tell whether the upstream's last reply to this key refused it."""
        return self._fingerprint == fingerprint

    def check(self, fingerprint: str) -> None:
        """Raise KeyRefused if the key was refused and no try is due."""
        if self.is_refused(fingerprint) and self._clock.monotonic_s() < self._next_try_s:
            raise KeyRefused(KEY_REFUSED)

    def take_try(self, fingerprint: str) -> bool:
        """Take the try that is due, just before sending. Return False if another call has taken it meanwhile.

        Always returns True for a key that is not refused.
        """
        if not self.is_refused(fingerprint):
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
        """Remember that the upstream accepted this key. Ignored if the call was sent before the refusal."""
        if self._fingerprint == fingerprint and sent_s >= self._refused_s:
            self._fingerprint = None
            _log.info("key.accepted", fingerprint=fingerprint)
