"""What was put and is not committed yet: read back like the rest, bounded in bytes, the newest entry of each key."""

import dataclasses
from collections.abc import Mapping

from proxy.core.freshness.entry import Entry
from proxy.core.freshness.purge import Purge, is_answer
from proxy.store.contract import EntryKey


def newest(first: Entry | None, second: Entry | None) -> Entry | None:
    """Return the one with the later `sent_at_s`, the second if they are equal, or the one that there is."""
    if first is None or second is None:
        return first or second
    return first if first.sent_at_s > second.sent_at_s else second


def says_gone(key: str, entry: Entry) -> bool:
    """Tell whether an entry says that there is no such answer any more.

    That a part of what answers are computed from is gone is of no importance: nothing refers to it.
    """
    return entry.status != 200 and is_answer(key)


class Pending:
    """Entries on their way to the file: those that wait, and those in the batch that is being written.

    At most `max_bytes` bytes (by Entry.size_bytes) wait; beyond that the entry that has waited longest is given up. But never
    one that says of an answer that it is gone: the file would bring it back.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._waiting: dict[EntryKey, Entry] = {}
        self._waiting_bytes = 0
        self._writing: dict[EntryKey, Entry] = {}

    def __len__(self) -> int:
        return len(self._waiting) + len(self._writing)

    def get(self, namespace: str, key: str) -> Entry | None:
        """Return the newest entry that is on its way under this key, or None."""
        return newest(self._writing.get((namespace, key)), self._waiting.get((namespace, key)))

    def add(self, namespace: str, key: str, entry: Entry) -> int:
        """Let the entry wait unless a newer one is on its way. Return how many entries were given up to keep to the bound."""
        held = self.get(namespace, key)
        if held is not None and held.sent_at_s > entry.sent_at_s:
            return 0
        self._remove((namespace, key))
        # Put in anew, not replaced, so that it waits at the end.
        self._waiting[namespace, key] = entry
        self._waiting_bytes += entry.size_bytes
        given_up = 0
        while self._waiting_bytes > self._max_bytes:
            oldest = next((place for place, waiting in self._waiting.items() if not says_gone(place[1], waiting)), None)
            if oldest is None:
                break
            self._remove(oldest)
            given_up += 1
        return given_up

    def replace(self, namespace: str, key: str, entry: Entry) -> None:
        """Take over the compressed forms of the same answer where it waits."""
        waiting = self._waiting.get((namespace, key))
        if waiting is not None and waiting.digest == entry.digest:
            formed = self._waiting[namespace, key] = dataclasses.replace(waiting, encoded=entry.encoded)
            self._waiting_bytes += formed.size_bytes - waiting.size_bytes

    def take(self, limit_bytes: int) -> Mapping[EntryKey, Entry]:
        """Begin a batch: what has waited longest, up to `limit_bytes` but one entry at least; nothing if nothing waits.

        It can still be read until done() or put_back().
        """
        batch: dict[EntryKey, Entry] = {}
        batch_bytes = 0
        for place, entry in self._waiting.items():
            batch_bytes += entry.size_bytes
            if batch and batch_bytes > limit_bytes:
                break
            batch[place] = entry
        for place in batch:
            self._remove(place)
        self._writing = dict(batch)
        return batch

    def done(self) -> None:
        """The batch is committed, or given up."""
        self._writing = {}

    def put_back(self) -> int:
        """The batch was not written: let it wait again. Return how many entries were given up to keep to the bound."""
        writing, self._writing = self._writing, {}
        return sum(
            self.add(*place, entry) for place, entry in writing.items() if newest(entry, self._waiting.get(place)) is entry
        )

    def clear(self) -> int:
        """Give up everything but what says that an answer is gone; return how many entries that were."""
        tables = (self._writing, self._waiting)
        gone = {place: entry for table in tables for place, entry in table.items() if says_gone(place[1], entry)}
        given_up = len(self) - len(gone)
        self._waiting, self._writing = gone, {}
        self._waiting_bytes = sum(entry.size_bytes for entry in gone.values())
        return given_up

    @property
    def gone(self) -> list[Entry]:
        """What waits that says that an answer is gone."""
        return [entry for place, entry in self._waiting.items() if says_gone(place[1], entry)]

    def rename(self, old_namespace: str, new_namespace: str) -> None:
        """Move what is on its way from one namespace to another; if both hold a key, the later `sent_at_s` stays.

        A batch that is being written goes to the file under its old name: the file's entries are renamed after that.
        """
        for table in (self._writing, self._waiting):
            for place in [place for place in table if place[0] == old_namespace]:
                entry = table.pop(place)
                held = table.get((new_namespace, place[1]))
                kept = newest(held, entry) or entry
                table[new_namespace, place[1]] = kept
        self._waiting_bytes = sum(entry.size_bytes for entry in self._waiting.values())

    def purge(self, purge: Purge) -> None:
        """Carry out a purge. What is being written gets into the file all the same: it is purged there after that."""
        for table in (self._writing, self._waiting):
            for place, entry in list(table.items()):
                remains = purge.judged(place[1], entry)
                if remains is None:
                    del table[place]
                else:
                    table[place] = remains
        self._waiting_bytes = sum(entry.size_bytes for entry in self._waiting.values())

    def _remove(self, place: EntryKey) -> None:
        entry = self._waiting.pop(place, None)
        if entry is not None:
            self._waiting_bytes -= entry.size_bytes
