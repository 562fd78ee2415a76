"""What the upstream refused or failed to answer a moment ago, so that it isn't asked again at once."""

from dataclasses import dataclass

from cachetools import TTLCache

from proxy.clock import Clock
from proxy.core.freshness.entry import Entry
from proxy.core.freshness.purge import Purge
from proxy.core.raised import unraised
from proxy.errors import UpstreamError
from proxy.service.fetching.call_key import CallKey

_MOST = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A question that the upstream failed to answer. `error` was never raised, and isn't meant to be: `again` is."""

    error: UpstreamError

    def again(self) -> UpstreamError:
        """Return the error to raise once more; each who raises it has one of their own."""
        return unraised(self.error)


class Memo:
    """Remembers, for `negative_s` seconds after it was told, the upstream's own 4xx (an Entry) and failures."""

    def __init__(self, clock: Clock, *, negative_s: float) -> None:
        self._said: TTLCache[CallKey, Entry | Failure] = TTLCache(maxsize=_MOST, ttl=negative_s, timer=clock.monotonic_s)

    def get(self, question: CallKey) -> Entry | Failure | None:
        """Return what was remembered about a question within the last `negative_s` seconds."""
        return self._said.get(question) if self._said else None

    def remember(self, question: CallKey, said: Entry | UpstreamError) -> None:
        """Remember the upstream's 4xx or a failure."""
        self._said[question] = said if isinstance(said, Entry) else Failure(error=unraised(said))

    def purge(self, purge: Purge) -> None:
        """Forget what a purge takes, whenever it was said."""
        for question in [question for question in self._said if purge.takes(question.target)]:
            self._said.pop(question, None)

    def forget(self, question: CallKey) -> None:
        """Forget a question, because the upstream has answered it."""
        self._said.pop(question, None)
