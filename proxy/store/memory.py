"""The first tier: entries in memory, bounded in bytes, least recently used out first."""

from collections import OrderedDict
from typing import NamedTuple

from cachetools import LRUCache

from proxy.core.freshness.entry import Entry
from proxy.core.freshness.purge import Purge, Purges
from proxy.store.contract import EntryKey

# Questions that name a point in time are new ones every time they are asked.
MOST_OF_FEW = 256


class Held(NamedTuple):
    """An entry with what it costs, key included, reckoned once."""

    entry: Entry
    size_bytes: int
    few: bool = False


class CountingLRU(LRUCache[EntryKey, Held]):
    """An LRU table bounded by the sizes of what it holds, which counts what it throws out."""

    def __init__(self, max_bytes: int) -> None:
        super().__init__(max_bytes, getsizeof=lambda held: held.size_bytes)
        self.evictions = 0

    def popitem(self) -> tuple[EntryKey, Held]:
        """Remove the least recently used item and count it."""
        self.evictions += 1
        return super().popitem()


class MemoryStore:
    """A Store in memory that holds at most `max_bytes` bytes by Entry.size_bytes and the lengths of the keys; 0 holds nothing.

    Everything but the contract's two coroutines is synchronous, and so are they in effect: they never wait.
    """

    def __init__(self, max_bytes: int, purges: Purges | None = None) -> None:
        self._held = CountingLRU(max_bytes)
        self._purges = purges or Purges()
        self._few: OrderedDict[EntryKey, None] = OrderedDict()

    @property
    def evictions(self) -> int:
        """How many entries were thrown out to make room."""
        return self._held.evictions

    @property
    def size_bytes(self) -> int:
        """What the entries held now cost."""
        return int(self._held.currsize)

    @property
    def entries(self) -> int:
        """How many entries are held now."""
        return len(self._held)

    def peek(self, namespace: str, key: str) -> Entry | None:
        """Return the entry, which counts as using it, or None."""
        held = self._held.get((namespace, key))
        return held.entry if held is not None else None

    async def get(self, namespace: str, key: str) -> Entry | None:
        """See Store."""
        return self.peek(namespace, key)

    def put(self, namespace: str, key: str, entry: Entry, *, few: bool = False) -> None:
        """See Store. What is larger than the whole store is not held either, and takes the older entry of its key with it.

        Of what is put as one of a `few`, the last MOST_OF_FEW stay.
        """
        place = (namespace, key)
        held = self._held.get(place)
        remains = self._purges.remains_of(key, entry)
        if remains is None or (held is not None and held.entry.sent_at_s > entry.sent_at_s):
            return
        entry = remains
        size_bytes = entry.size_bytes + len(namespace) + len(key)
        if size_bytes > self._held.maxsize or entry.status != 200:
            self._held.pop(place, None)
        else:
            self._held[place] = Held(entry, size_bytes, few or (held is not None and held.few))
            self._bound_few(place)

    def _bound_few(self, place: EntryKey) -> None:
        if self._held[place].few:
            self._few[place] = None
            self._few.move_to_end(place)
            while len(self._few) > MOST_OF_FEW:
                self._held.pop(self._few.popitem(last=False)[0], None)

    def rename(self, old_namespace: str, new_namespace: str) -> None:
        """Move all entries of one namespace to another. If both hold a key, the later `sent_at_s` stays."""
        if old_namespace == new_namespace:
            return
        moving = [place for place in self._held if place[0] == old_namespace]
        for place in moving:
            held = self._held.pop(place)
            self.put(new_namespace, place[1], held.entry, few=held.few)

    def purge(self, purge: Purge) -> int:
        """Carry out a purge; return how many entries it took."""
        taken = 0
        for place, held in list(self._held.items()):
            entry = purge.remains_of(place[1], held.entry)
            if entry is None:
                del self._held[place]
                self._few.pop(place, None)
            elif entry is not held.entry:
                self._held[place] = held._replace(entry=entry)
            taken += entry is not held.entry
        return taken

    def clear(self) -> None:
        """Let go of every entry."""
        self._held.clear()
        self._few.clear()

    async def aclose(self) -> None:
        """See Store."""
        self.clear()
