"""What is remembered for as long as a refusal of the upstream is, `freshness.negative_s`, and no longer."""

import math
from typing import Generic, TypeVar

from cachetools import TTLCache

from proxy.clock import Clock
from proxy.settings import Settings

K = TypeVar("K")
V = TypeVar("V")


class Brief(Generic[K, V]):
    """Remembers values for `seconds` each, the last `most` of them.

    Where that time changes, all that was to be forgotten after another one is forgotten at once.
    """

    def __init__(self, settings: Settings, clock: Clock, *, most: int) -> None:
        self._settings = settings
        self._clock = clock
        self._most = most
        self.seconds = math.nan
        settings.follow(self._renew)

    def _renew(self) -> None:
        if self.seconds != self._settings.now.freshness.negative_s:
            self.seconds = self._settings.now.freshness.negative_s
            self.held: TTLCache[K, V] = TTLCache(self._most, self.seconds, timer=self._clock.monotonic_s)
            """What is remembered now."""
