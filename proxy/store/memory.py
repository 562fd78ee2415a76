"""The store in memory: bounded in bytes; the least recently used entry is evicted first."""

from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from cachetools import LRUCache

from proxy.core.freshness.entry import Entry
from proxy.core.freshness.purge import Purge, Purges
from proxy.store.contract import EntryKey

# Queries that name a point in time differ each time they are sent: each is hardly asked twice, so few answers to them are kept.
MOST_OF_FEW = 256


class Held(NamedTuple):
    """An entry, what it and its key cost in memory, and whether it is one of the `few` (`Keeping.FEW`)."""

    entry: Entry
    size_bytes: int
    few: bool = False


class CountingLRU(LRUCache[EntryKey, Held]):
    """A least-recently-used table that is bounded by the sizes of its entries, counts its evictions, and tells of each change.

    `changed` is called with a key once another entry is held under it, or none any more, for whatever reason.
    """

    def __init__(self, max_bytes: int, changed: Callable[[EntryKey], None]) -> None:
        super().__init__(max_bytes, getsizeof=lambda held: held.size_bytes)
        self._changed = changed
        self.evictions = 0

    def __setitem__(self, key: EntryKey, held: Held) -> None:
        super().__setitem__(key, held)
        self._changed(key)

    def __delitem__(self, key: EntryKey) -> None:
        super().__delitem__(key)
        self._changed(key)

    def clear(self) -> None:
        """Remove all entries."""
        keys = list(self)
        super().clear()
        for key in keys:
            self._changed(key)

    def popitem(self) -> tuple[EntryKey, Held]:
        """Remove the least recently used item and count it."""
        self.evictions += 1
        return super().popitem()


class MemoryStore:
    """A Store in memory.

    Its entries take at most `max_bytes`, by Entry.size_bytes and the lengths of their keys; 0 holds nothing. Its two coroutines
    never wait: they are coroutines because the contract says so.
    """

    def __init__(self, max_bytes: int, purges: Purges | None = None) -> None:
        self._held = CountingLRU(max_bytes, self._tell)
        self._followers: list[Callable[[EntryKey], None]] = []
        self._purges = purges or Purges()
        self._few: OrderedDict[EntryKey, None] = OrderedDict()
        self.removals = 0
        """How often it was put that an answer is gone."""

    def follow(self, changed: Callable[[EntryKey], None]) -> None:
        """Have `changed` called with a namespace and a key whenever another entry is held there, or none any more."""
        self._followers.append(changed)

    @property
    def evictions(self) -> int:
        """How many entries were evicted to make room."""
        return self._held.evictions

    @property
    def size_bytes(self) -> int:
        """How many bytes the entries held now take, by the same measure as `max_bytes`."""
        return int(self._held.currsize)

    @property
    def entries(self) -> int:
        """How many entries are held now."""
        return len(self._held)

    def peek(self, namespace: str, key: str) -> Entry | None:
        """Return the entry or None. Counts as a use of the entry."""
        held = self._held.get((namespace, key))
        return held.entry if held is not None else None

    async def get(self, namespace: str, key: str) -> Entry | None:
        """See Store."""
        return self.peek(namespace, key)

    def put(self, namespace: str, key: str, entry: Entry, *, few: bool = False) -> None:
        """See Store. An entry larger than the whole store is not kept either, and the older entry under its key is removed.

        Of the entries put with `few`, only the last MOST_OF_FEW are kept.
        """
        entry_key = (namespace, key)
        held = self._held.get(entry_key)
        self.removals += entry.status != 200
        remains = self._purges.remains_of(key, entry)
        if remains is None or (held is not None and held.entry.sent_at_s > entry.sent_at_s):
            return
        entry = remains
        size_bytes = entry.size_bytes + len(namespace) + len(key)
        if size_bytes > self._held.maxsize or entry.status != 200:
            self._held.pop(entry_key, None)
        else:
            self._held[entry_key] = Held(entry, size_bytes, few or (held is not None and held.few))
            self._bound_few(entry_key)

    def _tell(self, entry_key: EntryKey) -> None:
        for changed in self._followers:
            changed(entry_key)

    def _bound_few(self, entry_key: EntryKey) -> None:
        if self._held[entry_key].few:
            self._few[entry_key] = None
            self._few.move_to_end(entry_key)
            while len(self._few) > MOST_OF_FEW:
                self._held.pop(self._few.popitem(last=False)[0], None)

    def rename(self, old_namespace: str, new_namespace: str) -> None:
        """Move all entries of one namespace to another. If both hold a key, the entry with the later `sent_at_s` stays."""
        if old_namespace == new_namespace:
            return
        moving = [entry_key for entry_key in self._held if entry_key[0] == old_namespace]
        for entry_key in moving:
            held = self._held.pop(entry_key)
            self.put(new_namespace, entry_key[1], held.entry, few=held.few)

    def purge(self, purge: Purge) -> int:
        """Carry out a purge; return how many entries it removed or marked as purged."""
        taken = 0
        for entry_key, held in list(self._held.items()):
            entry = purge.remains_of(entry_key[1], held.entry)
            if entry is None:
                del self._held[entry_key]
                self._few.pop(entry_key, None)
            elif entry is not held.entry:
                self._held[entry_key] = held._replace(entry=entry)
            taken += entry is not held.entry
        return taken

    def clear(self) -> None:
        """Remove every entry."""
        self._held.clear()
        self._few.clear()

    async def aclose(self) -> None:
        """See Store."""
        self.clear()
