"""All that waits to be written: entries, when entries were used, rows to delete, purges, and namespaces to rename."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from proxy.core.freshness.entry import Entry
from proxy.core.freshness.purge import Purge, condensed, remains_after
from proxy.store.contract import EntryKey
from proxy.store.sqlite import codec
from proxy.store.sqlite.batch import Adoption, Batch
from proxy.store.sqlite.pending import Pending, says_gone

# When entries were used ("touches") is written with the next batch; without one, once there are so many touches, or after so
# many seconds.
MOST_TOUCHES = 10_000
TOUCHES_AFTER_S = 10.0
# While the file cannot be written, so many answers are remembered one by one as gone upstream. If there are more, one purge
# takes everything that is as old as they are.
MOST_GONE = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class NextWrite:
    """What the next transaction writes, its entries not compressed yet.

    `touches`: when the entry with an id was last used (wall time). `damaged`: ids and seals of rows to delete. `last`: nothing
    else waited when this was taken.
    """

    entries: Mapping[EntryKey, Entry] = field(default_factory=dict)
    touches: Mapping[int, float] = field(default_factory=dict)
    damaged: tuple[tuple[int, object], ...] = ()
    adoptions: tuple[Adoption, ...] = ()
    purges: tuple[Purge, ...] = ()
    last: bool = True

    @property
    def size_bytes(self) -> int:
        """How many bytes of entries there are to compress or to hash."""
        return sum(entry.size_bytes for entry in self.entries.values())

    def batch(self, *, max_blob_bytes: int) -> tuple[Batch, int]:
        """Return the batch, and how many of its entries cannot be stored. Compresses bodies: 0.5 ms for 240 kB."""
        rows = []
        too_large = []
        gone = []
        for (namespace, key), entry in self.entries.items():
            try:
                row = codec.row_of(namespace, key, entry)
            except ValueError:
                continue
            if entry.status != 200:
                gone.append((namespace, key, row.sent_at_s))
            elif len(row.blob) > max_blob_bytes:
                too_large.append((namespace, key, row.sent_at_s))
            else:
                rows.append(row)
        batch = Batch(
            rows=rows,
            superseded=[*too_large, *gone],
            touches=self.touches,
            damaged=self.damaged,
            adoptions=self.adoptions,
            purges=self.purges,
        )
        return batch, len(self.entries) - len(rows) - len(gone)


class Backlog:
    """What waits to be written: at most `max_bytes` bytes of entries. The rest is small, and bounded by how it comes about."""

    def __init__(self, max_bytes: int) -> None:
        self._pending = Pending(max_bytes)
        self._touches: dict[int, float] = {}
        self._damaged: dict[int, object] = {}
        self._adoptions: list[Adoption] = []
        self._purges: tuple[Purge, ...] = ()
        self._taken = NextWrite()

    def get(self, namespace: str, key: str) -> Entry | None:
        """Return the newest entry under this key that waits or is being written, or None."""
        return self._pending.get(namespace, key)

    def add(self, namespace: str, key: str, entry: Entry, *, lasting: bool = False) -> int:
        """Let an entry wait. Return how many entries were dropped to keep to the bound, which `lasting` ones never are."""
        given_up = self._pending.add(namespace, key, entry, lasting=lasting)
        if says_gone(key, entry) and len(self._pending) > MOST_GONE and len(gone := self._pending.gone) > MOST_GONE:
            self.purge(Purge(at_s=max(one.sent_at_s for one in gone)))
        return given_up

    def replace(self, namespace: str, key: str, entry: Entry) -> None:
        """Take over an entry's compressed forms where it waits."""
        self._pending.replace(namespace, key, entry)

    def touch(self, entry_id: int, now_s: float) -> bool:
        """Note that an entry was used. Return whether to wake the keeper: for the first touch, and for the one too many."""
        self._touches[entry_id] = now_s
        return len(self._touches) in (1, MOST_TOUCHES)

    def delete_damaged(self, entry_id: int, seal: object) -> None:
        """Have a damaged row deleted, unless its seal has changed by then."""
        self._damaged[entry_id] = seal

    def adopt(self, adoption: Adoption) -> None:
        """Rename the namespace of what waits, and have it renamed in the file after the batch that is being written now."""
        self._pending.rename(adoption.old_namespace, adoption.new_namespace)
        if adoption not in self._adoptions:
            self._adoptions.append(adoption)

    def purge(self, purge: Purge) -> None:
        """Purge what waits, and have the file purged after the batch that is being written now."""
        self._pending.purge(purge)
        self._purges = condensed((*self._purges, purge))

    def remains_of(self, key: str, entry: Entry) -> Entry | None:
        """Return what remains of an entry that was read from the file after the purges that the file may not have seen yet."""
        return remains_after((*self._taken.purges, *self._purges), key, entry)

    @property
    def unpurged(self) -> bool:
        """Whether there are purges that are not carried out in the file yet."""
        return bool(self._taken.purges or self._purges)

    @property
    def has_touches(self) -> bool:
        """Whether there are touches, which may wait for TOUCHES_AFTER_S."""
        return bool(self._touches)

    @property
    def is_urgent(self) -> bool:
        """Whether there is something that should be written now."""
        return bool(
            len(self._pending) or self._damaged or self._adoptions or self._purges or len(self._touches) >= MOST_TOUCHES
        )

    def take(self, limit_bytes: int) -> NextWrite:
        """Begin a batch with all that waits, up to `limit_bytes` of entries. End it with done(), put_back() or give_up()."""
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
        """Note that the batch is committed."""
        self._pending.done()
        self._taken = NextWrite()

    def put_back(self) -> int:
        """Let the batch wait again: it was not written, but may be soon, perhaps to another file.

        Return how many entries were dropped to keep to the bound. Touches and damaged rows are forgotten: their ids are those
        of the old file.
        """
        self._keep_lasting()
        return self._pending.put_back()

    def give_up(self) -> int:
        """Drop all entries, since nothing can be written for a while. Return how many were dropped.

        Adoptions, purges, lasting entries, and those that say that an answer is gone go on waiting.
        """
        self._keep_lasting()
        return self._pending.clear()

    def _keep_lasting(self) -> None:
        self._adoptions = [*self._taken.adoptions, *self._adoptions]
        self._purges = condensed((*self._taken.purges, *self._purges))
        self._taken = NextWrite()
        self._touches, self._damaged = {}, {}
