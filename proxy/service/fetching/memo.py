"""The upstream's 4xx and failures of a moment ago: what they are about isn't asked again at once."""

from dataclasses import dataclass

from proxy.clock import Clock
from proxy.core.freshness.entry import Entry
from proxy.core.freshness.purge import Purge
from proxy.core.kept_errors import unraised
from proxy.errors import UpstreamError
from proxy.service.fetching.brief import Brief
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
        self._said = Brief[CallKey, Entry | Failure](settings, clock, most=_MOST)

    def get(self, key: CallKey) -> Entry | Failure | None:
        """Return what was remembered of a call within the last `negative_s` seconds."""
        # Nearly always it isn't there, which this alone tells at once.
        return self._said.held.get(key) if key in self._said.held else None

    def remember(self, key: CallKey, said: Entry | UpstreamError) -> None:
        """Remember the upstream's 4xx or a failure."""
        self._said.held[key] = said if isinstance(said, Entry) else Failure(error=unraised(said))

    def purge(self, purge: Purge) -> None:
        """Forget what a purge takes, whenever it came."""
        for key in [key for key in self._said.held if purge.takes(key.target)]:
            self._said.held.pop(key, None)

    def forget(self, key: CallKey) -> None:
        """Forget what was remembered, because the upstream has answered."""
        if key in self._said.held:
            self._said.held.pop(key, None)
