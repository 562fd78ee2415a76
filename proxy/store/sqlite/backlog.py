"""All that is to be written: entries, when entries were used, rows to delete, purges, and namespaces to rename."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from proxy.core.freshness.entry import Entry
from proxy.core.freshness.purge import Purge, bounded, judged_by
from proxy.store.contract import EntryKey
from proxy.store.sqlite import codec
from proxy.store.sqlite.database import Adoption, Batch
from proxy.store.sqlite.pending import Pending, says_gone

# Uses are noted down with the next batch; without one, when there are so many, or after so many seconds.
MOST_TOUCHES = 10_000
# That so many answers are gone is remembered one by one while it cannot be written; beyond it all that is as old is purged.
MOST_GONE = 10_000
TOUCHES_AFTER_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NextWrite:
    """What the next transaction writes, the entries not compressed yet. `last`: nothing else waited when it was taken."""

    entries: Mapping[EntryKey, Entry] = field(default_factory=dict)
    touches: Mapping[int, float] = field(default_factory=dict)
    damaged: tuple[tuple[int, object], ...] = ()
    adoptions: tuple[Adoption, ...] = ()
    purges: tuple[Purge, ...] = ()
    last: bool = True

    @property
    def size_bytes(self) -> int:
        """How many bytes there are to compress or to hash."""
        return sum(entry.size_bytes for entry in self.entries.values())

    def batch(self, *, max_blob_bytes: int) -> tuple[Batch, int]:
        """Return the work as rows, and how many entries cannot be stored. Compresses: 0.5 ms for 240 kB."""
        rows = []
        unfit = []
        gone = []
        for (namespace, key), entry in self.entries.items():
            try:
                row = codec.row_of(namespace, key, entry)
            except ValueError:
                continue
            if entry.status != 200:
                gone.append((namespace, key, row.sent_at_s))
            elif len(row.blob) > max_blob_bytes:
                unfit.append((namespace, key, row.sent_at_s))
            else:
                rows.append(row)
        batch = Batch(
            rows=rows,
            unfit=[*unfit, *gone],
            touches=self.touches,
            damaged=self.damaged,
            adoptions=self.adoptions,
            purges=self.purges,
        )
        return batch, len(self.entries) - len(rows) - len(gone)


class Backlog:
    """What waits to be written. At most `max_bytes` bytes of entries; the rest is small and bounded by how it comes about."""

    def __init__(self, max_bytes: int) -> None:
        self._pending = Pending(max_bytes)
        self._touches: dict[int, float] = {}
        self._damaged: dict[int, object] = {}
        self._adoptions: list[Adoption] = []
        self._purges: tuple[Purge, ...] = ()
        self._taken = NextWrite()

    def get(self, namespace: str, key: str) -> Entry | None:
        """Return the newest entry that is on its way under this key, or None."""
        return self._pending.get(namespace, key)

    def add(self, namespace: str, key: str, entry: Entry) -> int:
        """Let an entry wait; return how many had to be given up for it."""
        given_up = self._pending.add(namespace, key, entry)
        if says_gone(key, entry) and len(self._pending) > MOST_GONE and len(gone := self._pending.gone) > MOST_GONE:
            self.purge(Purge(at_s=max(one.sent_at_s for one in gone)))
        return given_up

    def replace(self, namespace: str, key: str, entry: Entry) -> None:
        """Take another form of an entry that waits."""
        self._pending.replace(namespace, key, entry)

    def touch(self, entry_id: int, now_s: float) -> bool:
        """Note that an entry was used; return whether the keeper should know (the first one, or one too many)."""
        self._touches[entry_id] = now_s
        return len(self._touches) in (1, MOST_TOUCHES)

    def condemn(self, entry_id: int, seal: object) -> None:
        """Have a damaged row deleted."""
        self._damaged[entry_id] = seal

    def adopt(self, adoption: Adoption) -> None:
        """Rename what is on its way, and have the file's entries renamed after what is being written now."""
        self._pending.rename(adoption.old_namespace, adoption.new_namespace)
        if adoption not in self._adoptions:
            self._adoptions.append(adoption)

    def purge(self, purge: Purge) -> None:
        """Carry out a purge of what is on its way, and have it carried out in the file after what is being written now."""
        self._pending.purge(purge)
        self._purges = bounded((*self._purges, purge))

    def judged(self, key: str, entry: Entry) -> Entry | None:
        """Return what remains of an entry that was read, after the purges that the file may not have seen yet."""
        return judged_by((*self._taken.purges, *self._purges), key, entry)

    @property
    def unpurged(self) -> bool:
        """Whether there are purges that the file has not seen yet."""
        return bool(self._taken.purges or self._purges)

    @property
    def has_touches(self) -> bool:
        """Whether there is something that can wait for TOUCHES_AFTER_S."""
        return bool(self._touches)

    @property
    def is_urgent(self) -> bool:
        """Whether there is something that should not wait."""
        return bool(
            len(self._pending) or self._damaged or self._adoptions or self._purges or len(self._touches) >= MOST_TOUCHES
        )

    def take(self, limit_bytes: int) -> NextWrite:
        """Begin a batch with all that waits, up to `limit_bytes` of entries. It ends with done(), put_back() or give_up()."""
        entries = self._pending.take(limit_bytes)
        self._taken = NextWrite(
            entries=entries,
            touches=self._touches,
            damaged=tuple(self._damaged.items()),
            adoptions=tuple(self._adoptions),
            purges=self._purges,
            last=len(self._pending) == len(entries),
        )
        self._touches, self._damaged, self._adoptions, self._purges = {}, {}, [], ()
        return self._taken

    def done(self) -> None:
        """The batch is committed."""
        self._pending.done()
        self._taken = NextWrite()

    def put_back(self) -> int:
        """The batch was not written but may be soon, to another file; return how many entries were given up.

        What is known by an id of the old file is forgotten.
        """
        self._keep_lasting()
        return self._pending.put_back()

    def give_up(self) -> int:
        """Nothing can be written for a while: forget all answers, and return how many.

        What is to be taken away from the file goes on waiting, and so do adoptions and purges.
        """
        self._keep_lasting()
        return self._pending.clear()

    def _keep_lasting(self) -> None:
        self._adoptions = [*self._taken.adoptions, *self._adoptions]
        self._purges = bounded((*self._taken.purges, *self._purges))
        self._taken = NextWrite()
        self._touches, self._damaged = {}, {}
