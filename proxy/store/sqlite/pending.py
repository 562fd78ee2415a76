"""The entries that were put and are not committed yet: the newest of each key, readable meanwhile, bounded in bytes."""

import dataclasses
from collections.abc import Mapping

from proxy.core.freshness.entry import Entry
from proxy.core.freshness.purge import Purge, is_answer
from proxy.store.contract import EntryKey


def newest(first: Entry | None, second: Entry | None) -> Entry | None:
    """Return the entry with the later `sent_at_s`, or the second if they are equal. None stands for no entry."""
    if first is None or second is None:
        return first or second
    return first if first.sent_at_s > second.sent_at_s else second


def says_gone(key: str, entry: Entry) -> bool:
    """Tell whether an entry says that an answer is gone upstream, so that the file must not go on serving it.

    False for the parts that answers are computed from: nothing refers to a part that is gone.
    """
    return entry.status != 200 and is_answer(key)


def _takes_part_away(key: str, entry: Entry) -> bool:
    """Tell whether an entry says that a part that answers are computed from is no longer needed."""
    return entry.status != 200 and not is_answer(key)


class Pending:
    """Entries on their way to the file: those that wait, and those in the batch that is being written.

    At most `max_bytes` bytes (by Entry.size_bytes) wait. If there are more, the entry that has waited longest is dropped. An
    entry that says that an answer is gone is never dropped: the file would bring the answer back. Nor is one that is lasting.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._waiting: dict[EntryKey, Entry] = {}
        self._waiting_bytes = 0
        self._writing: dict[EntryKey, Entry] = {}
        self._lasting: set[EntryKey] = set()

    def __len__(self) -> int:
        return len(self._waiting) + len(self._writing)

    def get(self, namespace: str, key: str) -> Entry | None:
        """Return the newest entry under this key that waits or is being written, or None."""
        return newest(self._writing.get((namespace, key)), self._waiting.get((namespace, key)))

    def add(self, namespace: str, key: str, entry: Entry, *, lasting: bool = False) -> int:
        """Let the entry wait, unless a newer one is on its way. Return how many entries were dropped to keep to the bound.

        `lasting`: what is put under the key is never dropped.
        """
        if lasting:
            self._lasting.add((namespace, key))
        held = self.get(namespace, key)
        if held is not None and held.sent_at_s > entry.sent_at_s:
            return 0
        self._remove((namespace, key))
        # It was removed first so that it waits at the end.
        self._waiting[namespace, key] = entry
        self._waiting_bytes += entry.size_bytes
        given_up = 0
        while self._waiting_bytes > self._max_bytes:
            oldest = next((place for place, waiting in self._waiting.items() if not self._is_kept(place, waiting)), None)
            if oldest is None:
                break
            self._remove(oldest)
            given_up += 1
        return given_up

    def replace(self, namespace: str, key: str, entry: Entry) -> None:
        """Take over an entry's compressed forms if an entry with the same body waits under the key."""
        waiting = self._waiting.get((namespace, key))
        if waiting is not None and waiting.digest == entry.digest:
            formed = self._waiting[namespace, key] = dataclasses.replace(waiting, encoded=entry.encoded)
            self._waiting_bytes += formed.size_bytes - waiting.size_bytes

    def take(self, limit_bytes: int) -> Mapping[EntryKey, Entry]:
        """Begin a batch with the entries that have waited longest, up to `limit_bytes`, but one at least if any waits.

        They can still be read until done() or put_back(). Parts of answers are taken away last: until what refers to other
        parts instead is in the file, something there refers to these.
        """
        batch: dict[EntryKey, Entry] = {}
        batch_bytes = 0
        for entry_key, entry in sorted(self._waiting.items(), key=lambda item: _takes_part_away(item[0][1], item[1])):
            batch_bytes += entry.size_bytes
            if batch and batch_bytes > limit_bytes:
                break
            batch[entry_key] = entry
        for entry_key in batch:
            self._remove(entry_key)
        self._writing = dict(batch)
        return batch

    def done(self) -> None:
        """Note that the batch is committed."""
        self._writing = {}

    def put_back(self) -> int:
        """Let the batch wait again, since it was not written. Return how many entries were dropped to keep to the bound."""
        writing, self._writing = self._writing, {}
        return sum(
            self.add(*entry_key, entry)
            for entry_key, entry in writing.items()
            if newest(entry, self._waiting.get(entry_key)) is entry
        )

    def clear(self) -> int:
        """Drop all entries except those that are never dropped. Return how many were dropped."""
        tables = (self._writing, self._waiting)
        kept = {place: entry for table in tables for place, entry in table.items() if self._is_kept(place, entry)}
        given_up = len(self) - len(kept)
        self._waiting, self._writing = kept, {}
        self._waiting_bytes = sum(entry.size_bytes for entry in kept.values())
        return given_up

    @property
    def gone(self) -> list[Entry]:
        """The waiting entries that say that an answer is gone."""
        return [entry for entry_key, entry in self._waiting.items() if says_gone(entry_key[1], entry)]

    def rename(self, old_namespace: str, new_namespace: str) -> None:
        """Move entries from one namespace to another. If both hold a key, the entry with the later `sent_at_s` stays.

        The batch that is being written reaches the file under its old name. Renaming in the file follows after it.
        """
        for table in (self._writing, self._waiting):
            for entry_key in [entry_key for entry_key in table if entry_key[0] == old_namespace]:
                entry = table.pop(entry_key)
                held = table.get((new_namespace, entry_key[1]))
                kept = newest(held, entry) or entry
                table[new_namespace, entry_key[1]] = kept
        self._waiting_bytes = sum(entry.size_bytes for entry in self._waiting.values())
        self._lasting |= {(new_namespace, key) for namespace, key in self._lasting if namespace == old_namespace}

    def purge(self, purge: Purge) -> None:
        """Carry out a purge.

        The batch that is being written reaches the file all the same. Purging the file follows after it.
        """
        for table in (self._writing, self._waiting):
            for entry_key, entry in list(table.items()):
                remains = purge.remains_of(entry_key[1], entry)
                if remains is None:
                    del table[entry_key]
                else:
                    table[entry_key] = remains
        self._waiting_bytes = sum(entry.size_bytes for entry in self._waiting.values())

    def _is_kept(self, entry_key: EntryKey, entry: Entry) -> bool:
        """Tell whether an entry is never dropped."""
        return says_gone(entry_key[1], entry) or entry_key in self._lasting

    def _remove(self, entry_key: EntryKey) -> None:
        entry = self._waiting.pop(entry_key, None)
        if entry is not None:
            self._waiting_bytes -= entry.size_bytes
