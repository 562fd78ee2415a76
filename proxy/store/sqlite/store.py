"""The store in an SQLite file, whose entries outlive the process. No fault of the file ever reaches a request."""

import asyncio
import sqlite3
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import TypeVar

import structlog

from proxy.clock import Clock
from proxy.core.freshness.entry import Entry
from proxy.core.freshness.purge import Purge, Purges
from proxy.core.freshness.verdict import CLOCK_SKEW_S
from proxy.store.counters import StoreCounters, StoreSizes
from proxy.store.sqlite import codec
from proxy.store.sqlite.backlog import Backlog
from proxy.store.sqlite.batch import Adoption
from proxy.store.sqlite.database import Database
from proxy.store.sqlite.faults import UNUSABLE
from proxy.store.sqlite.keeper import Heir, Keeper
from proxy.store.sqlite.pending import newest, says_gone
from proxy.store.sqlite.quota import SizeLimits

log = structlog.get_logger()

# How much may wait to be written. Of what a slow disk cannot take in time, the entry that has waited longest is dropped first.
PENDING_BYTES = 64 * 1024 * 1024

# A read that takes longer counts as a miss: the upstream may well be faster.
READ_TIMEOUT_S = 0.25
# One thread reads. What waits for others is not late, so few reads are begun at once: that many keep the thread busy.
READS_AT_ONCE = 8
_ROUNDS = 5
LOCK_TIMEOUT_S = 1.0

# How far ahead of the clock an entry's `sent_at_s` may be. If it is further ahead, the clock was set back while the proxy was
# not running: until the clock has caught up, the entry would seem fresh and no newer one could replace it.
AHEAD_S = CLOCK_SKEW_S

T = TypeVar("T")


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
        self._read_timeout_s = read_timeout_s
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
        self._slow_read: asyncio.Task[None] | None = None
        self._turns = asyncio.Semaphore(READS_AT_ONCE)

    @property
    def health(self) -> str | None:
        """One sentence for the operator that says what is wrong with the file, or None if nothing is."""
        if self._keeper.given:
            return None
        if self._keeper.trouble.fault is not None:
            return self._keeper.trouble.fault.sentence
        if self._keeper.database is None:
            return f"the cache file {self.path} is not open"
        if self._slow_read is not None:
            return f"reading the cache file {self.path} takes longer than {self._read_timeout_s:g} s"
        return None

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

        While a read is stuck, the others return at once without reading. `counters.unread` then tells nothing found from not
        there.
        """
        self.counters.reads += 1
        on_its_way = self._backlog.get(namespace, key)
        entry = newest(await self._get_from_file(namespace, key), on_its_way)
        if entry is not None and entry.status != 200:
            entry = None  # it waits to be written, to remove what the file has under the key
        if entry is not None and (entry := self._backlog.remains_of(key, entry)) is not None:
            entry = self._purges.remains_of(key, entry)  # it may have been read before a purge that came meanwhile
        self.counters.hits += entry is not None
        return entry

    def put(self, namespace: str, key: str, entry: Entry) -> None:
        """See Store."""
        remains = self._purges.remains_of(key, entry)
        if remains is None:
            return
        if self.accepts_writes:
            self.counters.dropped += self._backlog.add(namespace, key, remains)
            self._keeper.wake()
        elif says_gone(key, remains) and self._may_hold(namespace, key):
            # The file may hold an answer that is gone upstream. That it is gone must wait until it can be written.
            self._backlog.add(namespace, key, remains)
        else:
            self.counters.dropped += 1

    def put_form(self, namespace: str, key: str, entry: Entry) -> None:
        """Take over an entry's compressed forms if it still waits to be written, so that they aren't made twice."""
        self._backlog.replace(namespace, key, entry)

    async def flush(self) -> None:
        """Return when everything put so far is committed, or dropped because it cannot be written now."""
        await self._keeper.settle()

    async def organization_of(self, upstream: str, fingerprint: str) -> str | None:
        """Return the organization that was adopted for this key fingerprint at this upstream, or None. Never raises."""
        database = self._keeper.database
        if database is None:
            return None
        try:
            async with asyncio.timeout(self._read_timeout_s):
                return await database.organization_of(upstream, fingerprint)
        except Exception as exc:  # noqa: BLE001 - the contract: any fault whatever is None
            self._note_read_failure(database, exc)
            return None

    async def namespaces(self) -> Sequence[str]:
        """Return the namespaces that the file has entries of; none where it cannot be read. Never raises."""
        database = self._keeper.database
        if database is None:
            return ()
        try:
            async with asyncio.timeout(self._read_timeout_s):
                return await database.namespaces()
        except Exception as exc:  # noqa: BLE001 - the contract: any fault whatever is nothing
            self._note_read_failure(database, exc)
            return ()

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
        if self._slow_read is not None:
            self._slow_read.cancel()
            await asyncio.wait({self._slow_read})

    def _may_hold(self, namespace: str, key: str) -> bool:
        database = self._keeper.database
        return database is None or database.may_hold(namespace, key)

    async def _get_from_file(self, namespace: str, key: str) -> Entry | None:
        database = self._keeper.database
        if database is None:
            self.counters.unread += 1
            return None
        self._keeper.note_use()
        if not database.may_hold(namespace, key):
            return None
        async with self._turns:
            if self._slow_read is not None:
                self.counters.unread += 1
                return None
            try:
                return await self._read(database, namespace, key)
            except Exception as exc:  # noqa: BLE001 - the contract: any fault whatever is a miss
                self.counters.unread += 1
                self._note_read_failure(database, exc)
                return None

    async def _read(self, database: Database, namespace: str, key: str) -> Entry | None:
        found = await self._in_time(database.read(namespace, key))
        if found is None:
            return None
        entry_id, row = found
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

    async def _in_time(self, reading: Coroutine[None, None, T]) -> T:
        """Return what a read brings. Raises TimeoutError where the disk does not answer.

        Time counts only while the event loop goes round: where the process itself is busy, the disk is not late.
        """
        task = asyncio.create_task(reading)
        try:
            for _ in range(_ROUNDS):
                done, _ = await asyncio.wait({task}, timeout=self._read_timeout_s / _ROUNDS)
                if done:
                    return task.result()
            raise TimeoutError
        finally:
            task.cancel()

    def _delete_damaged(self, entry_id: int, row: codec.Row, reason: str) -> None:
        self.counters.corrupt += 1
        self._keeper.warn_once("store.row_deleted", "row", reason=reason)
        self._backlog.delete_damaged(entry_id, row.seal)
        self._keeper.wake()

    def _note_read_failure(self, database: Database, exc: Exception) -> None:
        """Handle a failed read: after a timeout wait for the disk, else report the fault to the keeper."""
        if isinstance(exc, TimeoutError):
            self.counters.errors += 1
            if self._slow_read is None:
                log.warning("store.read_timed_out", path=str(self.path), timeout_s=self._read_timeout_s)
                self._slow_read = asyncio.create_task(self._wait_for_disk(database), name="store-slow-read")
        elif not isinstance(exc, ValueError):
            # A ValueError is no fault of the file: its key has a lone surrogate, or the connection was closed meanwhile.
            self._keeper.report(database, exc)

    async def _wait_for_disk(self, database: Database) -> None:
        """Wait until a stuck read has come back. Nothing else is read until then."""
        try:
            await database.drain()
            log.info("store.read_returned", path=str(self.path))
        except (sqlite3.Error, ValueError) as exc:
            self._keeper.report(database, exc)
        finally:
            self._slow_read = None
