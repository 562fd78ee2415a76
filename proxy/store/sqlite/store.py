"""The second tier: entries in an SQLite file that outlive the process. No fault of the file ever reaches a request."""

import asyncio
import sqlite3
from pathlib import Path

import structlog

from proxy.clock import Clock
from proxy.core.freshness.entry import Entry
from proxy.core.freshness.purge import Purge, Purges
from proxy.core.freshness.verdict import CLOCK_SKEW_S
from proxy.store.counters import StoreCounters, StoreSizes
from proxy.store.sqlite import codec
from proxy.store.sqlite.backlog import Backlog
from proxy.store.sqlite.database import Adoption, Database
from proxy.store.sqlite.faults import UNUSABLE
from proxy.store.sqlite.keeper import Keeper
from proxy.store.sqlite.pending import newest, says_gone
from proxy.store.sqlite.quota import Room

log = structlog.get_logger()

# How much may wait to be written; what a slow disk cannot take is given up, the oldest first.
PENDING_BYTES = 64 * 1024 * 1024

# A read that takes longer is a miss: the upstream may well be faster.
READ_TIMEOUT_S = 0.25
LOCK_TIMEOUT_S = 1.0

# How far ahead of the clock an entry's time may be. Beyond it the clock was set back while the proxy was not running: the entry
# would seem fresh for as long, and nothing newer could replace it.
AHEAD_S = CLOCK_SKEW_S


class SqliteStore:
    """A Store in the file at `path`, which grows to `max_bytes` bytes at most, its write-ahead log included (`store.quota`).

    Only entries of status 200 are kept. What was put can be read at once and is on disk a few milliseconds later; it survives a
    crash of the process from then on. What is least recently used is thrown out when the file is full. While the file cannot be
    written, what is put is dropped; while it cannot be read, every read is a miss; both are mended without a restart, and
    `health` says what is wrong meanwhile.
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
    ) -> None:
        self.path = path.absolute()
        self.counters = StoreCounters()
        self._clock = clock
        self._purges = purges or Purges()
        self._read_timeout_s = read_timeout_s
        self._backlog = Backlog(pending_bytes)
        self._keeper = Keeper(
            self.path,
            room=Room.of(max_bytes),
            clock=clock,
            counters=self.counters,
            backlog=self._backlog,
            lock_timeout_s=lock_timeout_s,
        )
        self._slow: asyncio.Task[None] | None = None

    @property
    def health(self) -> str | None:
        """One sentence that says what is wrong with the file, or None."""
        if self._keeper.trouble.fault is not None:
            return self._keeper.trouble.fault.sentence
        if self._keeper.database is None:
            return f"the cache file {self.path} is not open"
        if self._slow is not None:
            return f"reading the cache file {self.path} takes longer than {self._read_timeout_s:g} s"
        return None

    @property
    def effect(self) -> str | None:
        """The same for everybody: what it comes to, without the name of a file."""
        if self.health is None:
            return None
        fault = self._keeper.trouble.fault
        return UNUSABLE if fault is None else fault.effect

    @property
    def sizes(self) -> StoreSizes:
        """How full the file was after the last write."""
        return self._keeper.sizes

    async def open(self) -> None:
        """Begin. Call it once, before anything else; it takes 5 s at most, whatever the disk does.

        Raises StoreError if the file must not be used: another pluto-proxy has it, or others may write in its directory, or
        there is something that is not a file. For anything else `health` says what is wrong, and the store recovers.
        """
        await self._keeper.start()

    async def get(self, namespace: str, key: str) -> Entry | None:
        """See Store. Takes `read_timeout_s` at most, and a moment while an earlier read has not come back."""
        self.counters.reads += 1
        on_its_way = self._backlog.get(namespace, key)
        entry = newest(await self._stored(namespace, key), on_its_way)
        if entry is not None and entry.status != 200:
            entry = None  # what says that there is nothing any more, on its way to the file
        if entry is not None and (entry := self._backlog.judged(key, entry)) is not None:
            entry = self._purges.judged(key, entry)  # it may have been read before a purge
        self.counters.hits += entry is not None
        return entry

    def put(self, namespace: str, key: str, entry: Entry) -> None:
        """See Store."""
        remains = self._purges.judged(key, entry)
        if remains is None:
            return
        if self._keeper.is_writing:
            self.counters.dropped += self._backlog.add(namespace, key, remains)
            self._keeper.wake()
        elif says_gone(key, remains) and self._may_hold(namespace, key):
            # The file would bring back what is gone: that goes on waiting until it can be written.
            self._backlog.add(namespace, key, remains)
        else:
            self.counters.dropped += 1

    def put_form(self, namespace: str, key: str, entry: Entry) -> None:
        """Take over the compressed form of an entry that still waits to be written, so that it isn't made twice."""
        self._backlog.replace(namespace, key, entry)

    async def flush(self) -> None:
        """Return when everything put so far is committed, or given up because it cannot be written now."""
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
            self._note(database, exc)
            return None

    async def adopt(
        self, upstream: str, fingerprint: str, organization: str, *, old_namespace: str, new_namespace: str
    ) -> None:
        """Remember the organization of a key fingerprint, and move all that was put under `old_namespace` to `new_namespace`.

        Both happen in one transaction, after everything put before is written; where both namespaces hold a key, the entry
        with the later `sent_at_s` stays. Returns when that is committed; if the file cannot be written now, it is done once it
        can, as long as the process runs. Never raises.
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
        """Carry out a purge; from the call on nothing that it takes is read any more. Return whether the file has seen it.

        Where the file cannot be written now that is made up for once it can, as long as the process runs. Never raises.
        """
        self._backlog.purge(purge)
        await self._keeper.settle()
        return not self._backlog.unpurged

    async def aclose(self) -> None:
        """See Store. Writes what waits (5 s at most) and closes the file."""
        await self._keeper.stop()
        if self._slow is not None:
            self._slow.cancel()
            await asyncio.wait({self._slow})

    def _may_hold(self, namespace: str, key: str) -> bool:
        database = self._keeper.database
        return database is None or database.may_hold(namespace, key)

    async def _stored(self, namespace: str, key: str) -> Entry | None:
        database = self._keeper.database
        if database is None:
            return None
        self._keeper.used()
        if not database.may_hold(namespace, key):
            return None
        if self._slow is not None:
            return None
        try:
            return await self._read(database, namespace, key)
        except Exception as exc:  # noqa: BLE001 - the contract: any fault whatever is a miss
            self._note(database, exc)
            return None

    async def _read(self, database: Database, namespace: str, key: str) -> Entry | None:
        async with asyncio.timeout(self._read_timeout_s):
            found = await database.read(namespace, key)
        if found is None:
            return None
        entry_id, row = found
        try:
            codec.verify(row, not_after_s=self._clock.now_s() + AHEAD_S)
            large = row.body_bytes > codec.LARGE_BYTES
            entry = await asyncio.to_thread(codec.entry_of, row) if large else codec.entry_of(row)
        except codec.DamagedRowError as exc:
            self._condemn(entry_id, row, str(exc))
            return None
        if self._backlog.touch(entry_id, self._clock.now_s()):
            self._keeper.wake()
        return entry

    def _condemn(self, entry_id: int, row: codec.Row, reason: str) -> None:
        self.counters.corrupt += 1
        self._keeper.say("store.row_deleted", "row", reason=reason)
        self._backlog.condemn(entry_id, row.seal)
        self._keeper.wake()

    def _note(self, database: Database, exc: Exception) -> None:
        """A read failed: leave it to the keeper, or wait for the disk to come back."""
        if isinstance(exc, TimeoutError):
            self.counters.errors += 1
            if self._slow is None:
                log.warning("store.read_timed_out", path=str(self.path), timeout_s=self._read_timeout_s)
                self._slow = asyncio.create_task(self._wait_for(database), name="store-slow-read")
        elif not isinstance(exc, ValueError):
            # That would be a key that no file can hold (a lone surrogate), or a connection that was closed meanwhile.
            self._keeper.report(database, exc)

    async def _wait_for(self, database: Database) -> None:
        """Nothing more is asked of a disk that does not answer until it has answered."""
        try:
            await database.drain()
            log.info("store.read_returned", path=str(self.path))
        except (sqlite3.Error, ValueError) as exc:
            self._keeper.report(database, exc)
        finally:
            self._slow = None
