"""The leases that there are, and the requests that were seen, within a bound of memory: what was used least goes first."""

from collections import OrderedDict

from proxy.store.contract import EntryKey
from proxy.web.shortcut.lease import Lease
from proxy.web.shortcut.request_text import RequestText

# What a request costs beside its bytes.
_OVERHEAD_BYTES = 600
Place = tuple[str, bytes]
"""The address that a request came from, and its bytes."""


class Seen:
    """A request that was seen: the lease that answers it, and for whom. `count`: how often it did since that was accounted for.

    `client` is the one whose rate it is accounted to, None where there is no rate.
    """

    __slots__ = ("client", "count", "lease", "token")

    def __init__(self, lease: Lease, *, token: str, client: str | None) -> None:
        self.lease = lease
        self.token = token
        self.client = client
        self.count = 0

    def take(self, lease: Lease) -> None:
        """Have another lease answer it."""
        self.lease = lease

    def counted(self) -> int:
        """Return its count, and begin anew."""
        count, self.count = self.count, 0
        return count


class LeaseTable:
    """Keeps leases by the texts of requests, and requests by their places, within `most_bytes` of memory together.

    `leases` and `seen` are there to be looked up in, and to be changed by these methods alone.
    """

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self.size_bytes = 0
        """What all of it takes in memory."""
        self.leases: OrderedDict[RequestText, Lease] = OrderedDict()
        self.seen: OrderedDict[Place, Seen] = OrderedDict()
        self._of_entry: dict[EntryKey, dict[RequestText, Lease]] = {}

    def add(self, lease: Lease) -> None:
        """Keep a lease, in place of the one of the same text."""
        self.drop(self.leases.get(lease.text))
        self.leases[lease.text] = lease
        self._of_entry.setdefault(lease.entry_key, {})[lease.text] = lease
        self.take(lease.size_bytes)

    def add_seen(self, place: Place, seen: Seen) -> None:
        """Remember a request."""
        self.forget_seen(place)
        self.seen[place] = seen
        self.take(_size_bytes(place))

    def use(self, lease: Lease) -> None:
        """Note that a lease was used last of all."""
        self.leases.move_to_end(lease.text)

    def use_seen(self, place: Place) -> None:
        """Note that a request was used last of all."""
        self.seen.move_to_end(place)

    def take(self, size_bytes: int) -> None:
        """Take memory, and give back what was used least."""
        self.size_bytes += size_bytes
        while self.size_bytes > self.most_bytes and (self.seen or self.leases):
            if len(self.seen) > len(self.leases):
                self.forget_seen(next(iter(self.seen)))
            else:
                self.drop(self.leases[next(iter(self.leases))])

    def drop(self, lease: Lease | None) -> None:
        """End a lease, if it is one of these."""
        if lease is None or self.leases.get(lease.text) is not lease:
            return
        of_entry = self._of_entry[lease.entry_key]
        del of_entry[lease.text]
        if not of_entry:
            del self._of_entry[lease.entry_key]
        self._let_go(lease)

    def end(self, key: EntryKey) -> None:
        """End the leases that were made of the entry under a key: another one is there, or none."""
        for lease in self._of_entry.pop(key, {}).values():
            self._let_go(lease)

    def forget_seen(self, place: Place) -> None:
        """Forget a request."""
        if self.seen.pop(place, None) is not None:
            self.size_bytes -= _size_bytes(place)

    def clear(self) -> None:
        """End all leases and forget all requests."""
        for lease in self.leases.values():
            lease.end()
        self.leases.clear()
        self._of_entry.clear()
        self.seen.clear()
        self.size_bytes = 0

    def _let_go(self, lease: Lease) -> None:
        del self.leases[lease.text]
        self.size_bytes -= lease.size_bytes
        lease.end()


def _size_bytes(place: Place) -> int:
    return _OVERHEAD_BYTES + len(place[1])
