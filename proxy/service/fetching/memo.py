"""The upstream's 4xx and failures of a moment ago: what they are about isn't asked again at once."""

import math
from dataclasses import dataclass

from cachetools import TTLCache

from proxy.clock import Clock
from proxy.core.freshness.entry import Entry
from proxy.core.freshness.purge import Purge
from proxy.core.kept_errors import unraised
from proxy.errors import UpstreamError
from proxy.service.fetching.call_key import CallKey
from proxy.settings import Settings

_MOST = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A question that the upstream failed to answer. `error` itself is never raised: `to_raise` returns a copy."""

    error: UpstreamError

    def to_raise(self) -> UpstreamError:
        """Return a copy of the error, to be raised once."""
        return unraised(self.error)


class Memo:
    """Remembers the upstream's own 4xx (an Entry) and its failures, for `negative_s` seconds after they came."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._negative_s = math.nan
        settings.follow(self._renew)

    def _renew(self) -> None:
        # What is remembered was to be forgotten after another time: it is forgotten at once.
        if self._negative_s != self._settings.now.freshness.negative_s:
            self._negative_s = self._settings.now.freshness.negative_s
            self._said: TTLCache[CallKey, Entry | Failure] = TTLCache(_MOST, self._negative_s, self._clock.monotonic_s)

    def get(self, key: CallKey) -> Entry | Failure | None:
        """Return what was remembered of a call within the last `negative_s` seconds."""
        # Nearly always it isn't there, which this alone tells at once.
        return self._said.get(key) if key in self._said else None

    def remember(self, key: CallKey, said: Entry | UpstreamError) -> None:
        """Remember the upstream's 4xx or a failure."""
        self._said[key] = said if isinstance(said, Entry) else Failure(error=unraised(said))

    def purge(self, purge: Purge) -> None:
        """Forget what a purge takes, whenever it came."""
        for key in [key for key in self._said if purge.takes(key.target)]:
            self._said.pop(key, None)

    def forget(self, key: CallKey) -> None:
        """Forget what was remembered, because the upstream has answered."""
        if key in self._said:
            self._said.pop(key, None)
