"""The store in an SQLite file, whose entries outlive the process. No fault of the file ever reaches a request."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import structlog

from proxy.clock import Clock
from proxy.core.freshness.entry import Entry
from proxy.core.freshness.purge import Purge, Purges
from proxy.core.freshness.verdict import CLOCK_SKEW_S
from proxy.store.contract import UnreadError
from proxy.store.counters import StoreCounters, StoreSizes
from proxy.store.sqlite import codec
from proxy.store.sqlite.backlog import Backlog
from proxy.store.sqlite.batch import Adoption
from proxy.store.sqlite.database import Database
from proxy.store.sqlite.faults import UNUSABLE
from proxy.store.sqlite.giving import Heir
from proxy.store.sqlite.keeper import Keeper
from proxy.store.sqlite.pending import newest, says_gone
from proxy.store.sqlite.quota import SizeLimits
from proxy.store.sqlite.reads import READ_TIMEOUT_S, Reads

log = structlog.get_logger()

# How much may wait to be written. Of what a slow disk cannot take in time, the entry that has waited longest is dropped first.
PENDING_BYTES = 64 * 1024 * 1024

LOCK_TIMEOUT_S = 1.0

# How far ahead of the clock an entry's `sent_at_s` may be. If it is further ahead, the clock was set back while the proxy was
# not running: until the clock has caught up, the entry would seem fresh and no newer one could replace it.
AHEAD_S = CLOCK_SKEW_S


class SqliteStore:
    """A Store in the file at `path`, which takes at most `max_bytes` with its write-ahead log (see `quota`).

    Only entries of status 200 are kept. An entry can be read as soon as it was put. It is in the file a few milliseconds later,
    and survives a crash of the process from then on. When the file is full, the least recently used entries are evicted.

    While the file cannot be written, entries that are put are dropped. While it cannot be read, every read is a miss. The store
    recovers from both without a restart; until then `health` says what is wrong.
    """

    def __init__(
        self,
        path: Path,
        *,
        max_bytes: int,
        clock: Clock,
        purges: Purges | None = None,
        read_timeout_s: float = READ_TIMEOUT_S,
        lock_timeout_s: float = LOCK_TIMEOUT_S,
        pending_bytes: int = PENDING_BYTES,
        ahead_s: float = AHEAD_S,
        waits: bool = False,
    ) -> None:
        """`ahead_s`: an entry that is further ahead of the clock is deleted.

        `waits`: while another process uses the file, wait for it, as for the end of a fault.
        """
        self.path = path.absolute()
        self.counters = StoreCounters()
        self._clock = clock
        self._purges = purges or Purges()
        self._ahead_s = ahead_s
        self._backlog = Backlog(pending_bytes)
        self._keeper = Keeper(
            self.path,
            limits=SizeLimits.of(max_bytes),
            clock=clock,
            counters=self.counters,
            backlog=self._backlog,
            lock_timeout_s=lock_timeout_s,
            waits=waits,
        )
        self._reads = Reads(self.path, self._keeper, self.counters, timeout_s=read_timeout_s)

    @property
    def health(self) -> str | None:
        """One sentence for the operator that says what is wrong with the file, or None if nothing is."""
        if self._keeper.given:
            return None
        if self._keeper.trouble.fault is not None:
            return self._keeper.trouble.fault.sentence
        if self._keeper.database is None:
            return f"the cache file {self.path} is not open"
        return self._reads.trouble

    @property
    def accepts_writes(self) -> bool:
        """Whether what is put now is kept to be written; otherwise it is dropped."""
        return self._keeper.accepts_writes

    @property
    def effect(self) -> str | None:
        """One sentence for everybody that says what follows from it, without the file's name; None if nothing is wrong."""
        if self.health is None:
            return None
        fault = self._keeper.trouble.fault
        return UNUSABLE if fault is None else fault.effect

    @property
    def sizes(self) -> StoreSizes:
        """How full the file was after the last write."""
        return self._keeper.sizes

    async def open(self) -> None:
        """Open the file. Call this once, before anything else; it takes 5 s at most, whatever the disk does.

        Raises StoreError if the file must not be used: another pluto-proxy uses it, others may write in its directory, or what
        lies at the path is not a file. After any other fault `health` says what is wrong, and the store recovers by itself.
        """
        await self._keeper.start()

    async def get(self, namespace: str, key: str) -> Entry | None:
        """See Store. Takes `read_timeout_s` at most, once the reads that came before it have come back.

        While a read is stuck, the others return at once without reading.
        """
        try:
            return await self.read(namespace, key)
        except UnreadError:
            return None

    async def read(self, namespace: str, key: str) -> Entry | None:
        """Return what get() does, for who has to tell nothing found from nothing read: raises UnreadError for that."""
        self.counters.reads += 1
        on_its_way = self._backlog.get(namespace, key)
        try:
            in_file = await self._get_from_file(namespace, key)
        except UnreadError:
            if on_its_way is None:
                raise
            in_file = None
        entry = newest(in_file, on_its_way)
        if entry is not None and entry.status != 200:
            entry = None  # it waits to be written, to remove what the file has under the key
        if entry is not None and (entry := self._backlog.remains_of(key, entry)) is not None:
            entry = self._purges.remains_of(key, entry)  # it may have been read before a purge that came meanwhile
        self.counters.hits += entry is not None
        return entry

    def may_hold(self, namespace: str, key: str) -> bool:
        """Return False only where `get` would surely find nothing. Nothing is read for it."""
        return self._backlog.get(namespace, key) is not None or self._may_hold(namespace, key)

    def put(self, namespace: str, key: str, entry: Entry, *, lasting: bool = False) -> None:
        """See Store. `lasting`: the entry waits for as long as the file cannot be written; there should be few of them."""
        remains = self._purges.remains_of(key, entry)
        if remains is None:
            return
        if self.accepts_writes:
            self.counters.dropped += self._backlog.add(namespace, key, remains, lasting=lasting)
            self._keeper.wake()
        elif lasting or (says_gone(key, remains) and self._may_hold(namespace, key)):
            # The file may hold an answer that is gone upstream. That it is gone must wait until it can be written.
            self._backlog.add(namespace, key, remains, lasting=lasting)
        else:
            self.counters.dropped += 1

    def put_form(self, namespace: str, key: str, entry: Entry) -> None:
        """Take over an entry's compressed forms if it still waits to be written, so that they aren't made twice."""
        self._backlog.replace(namespace, key, entry)

    async def flush(self) -> None:
        """Return when everything put so far is committed, or dropped because it cannot be written now."""
        await self._keeper.settle()

    async def organization_of(self, upstream: str, fingerprint: str) -> str | None:
        """Return the organization that was adopted for this key fingerprint at this upstream, or None. Raises UnreadError."""
        return await self._reads.read(lambda database: database.organization_of(upstream, fingerprint))

    async def namespaces(self) -> Sequence[str]:
        """Return the namespaces that the file has entries of. Raises UnreadError."""
        return await self._reads.read(Database.namespaces) or ()

    async def adopt(
        self, upstream: str, fingerprint: str, organization: str, *, old_namespace: str, new_namespace: str
    ) -> None:
        """Remember the organization of a key fingerprint, and move all entries from `old_namespace` to `new_namespace`.

        Both happen in one transaction, which includes everything put before. If both namespaces hold a key, the entry with the
        later `sent_at_s` stays. Returns when the transaction is committed. If the file cannot be written now, returns at once,
        and the adoption is made up for as soon as the file can be written, as long as the process runs. Never raises.
        """
        adoption = Adoption(
            upstream=upstream,
            fingerprint=fingerprint,
            organization=organization,
            old_namespace=old_namespace,
            new_namespace=new_namespace,
        )
        if not adoption.is_storable:
            log.warning("store.adoption_refused", path=str(self.path), reason="it is not valid Unicode")
            return
        self._backlog.adopt(adoption)
        await self._keeper.settle()

    async def purge(self, purge: Purge) -> bool:
        """Carry out a purge. From the call on, get() returns nothing that it takes. Return whether the file was purged.

        If the file cannot be written now, it is purged as soon as it can be, as long as the process runs. Never raises.
        """
        self._backlog.purge(purge)
        await self._keeper.settle()
        return not self._backlog.unpurged

    @property
    def is_given(self) -> bool:
        """Whether another process may use the file: this one has let go of it."""
        return self._keeper.has_let_go

    async def give(self) -> bool:
        """Write what waits and let go of the file, for a process that takes over. Return False if the disk does not answer.

        From now on every read is a miss, and what is put waits for `inherit`.
        """
        return await self._keeper.give()

    def inherit(self, heir: Heir) -> None:
        """Hand what waits, and whatever is put from now on, to the process that has the file."""
        self._keeper.inherit(heir)

    def take_back(self) -> None:
        """Use the file again, as soon as its lock is free: the process that took over is gone."""
        self._keeper.take_back()

    async def aclose(self) -> None:
        """See Store. Writes what waits (5 s at most) and closes the file."""
        await self._keeper.stop()
        await self._reads.aclose()

    def _may_hold(self, namespace: str, key: str) -> bool:
        database = self._keeper.database
        return database is None or database.may_hold(namespace, key)

    async def _get_from_file(self, namespace: str, key: str) -> Entry | None:
        if self._keeper.database is not None:
            self._keeper.note_use()
            if not self._may_hold(namespace, key):
                return None
        found = await self._reads.read(lambda database: database.read(namespace, key))
        return None if found is None else await self._decoded(*found)

    async def _decoded(self, entry_id: int, row: codec.Row) -> Entry | None:
        try:
            codec.verify(row, not_after_s=self._clock.now_s() + self._ahead_s)
            large = row.body_bytes > codec.LARGE_BYTES
            entry = await asyncio.to_thread(codec.entry_of, row) if large else codec.entry_of(row)
        except codec.DamagedRowError as exc:
            self._delete_damaged(entry_id, row, str(exc))
            return None
        if self._backlog.touch(entry_id, self._clock.now_s()):
            self._keeper.wake()
        return entry

    def _delete_damaged(self, entry_id: int, row: codec.Row, reason: str) -> None:
        self.counters.corrupt += 1
        self._keeper.warn_once("store.row_deleted", "row", reason=reason)
        self._backlog.delete_damaged(entry_id, row.seal)
        self._keeper.wake()
