"""Writing one batch: how much it takes, compressing it, and what is counted afterwards."""

import asyncio
from dataclasses import replace

from proxy.clock import Clock
from proxy.store.counters import StoreCounters, StoreSizes
from proxy.store.sqlite.backlog import Backlog, NextWrite
from proxy.store.sqlite.codec import LARGE_BYTES
from proxy.store.sqlite.database import Batch, Database
from proxy.store.sqlite.quota import Room

# One batch takes at most this part of the quota, and so many bytes: a transaction stays short, and room can be made for it.
BATCH_SHARE = 1 / 8
BATCH_BYTES = 16 * 1024 * 1024
# A compressed body that is a larger part of the quota would throw out too many others.
ENTRY_SHARE = 1 / 8

# Up to here the entries are counted after every batch, in less than 1 ms.
COUNT_ALWAYS = 50_000
COUNT_EVERY_S = 10.0


class Writer:
    """Writes what waits in the backlog to whichever file is open. Everything raises sqlite3.Error."""

    def __init__(self, *, room: Room, clock: Clock, counters: StoreCounters, backlog: Backlog) -> None:
        self._max_bytes = room.file_bytes
        self._clock = clock
        self._counters = counters
        self._backlog = backlog
        self._counted_at_s = clock.monotonic_s()
        self.sizes = StoreSizes()
        self.untidy = False
        """Whether there is more free space to give back."""

    async def write(self, database: Database) -> bool:
        """Commit one batch; return whether it was all that waited when it began. If it fails, the backlog still has it."""
        work = self._backlog.take(min(BATCH_BYTES, int(self._max_bytes * BATCH_SHARE)))
        batch, unfit = await self._batch_of(work)
        self._counters.evictions += await database.write(batch, now_s=self._clock.now_s())
        self._backlog.done()
        self._counters.dropped += unfit
        self._counters.writes += len(batch.rows)
        self._counters.write_batches += 1
        return work.last

    async def tidy(self, database: Database) -> None:
        """Give back some free space, see how full the file is, and see to its log. Raises LogHeldError, OSError."""
        self.untidy, pages = await database.tidy()
        entries = self.sizes.entries
        now_s = self._clock.monotonic_s()
        if entries < COUNT_ALWAYS or now_s - self._counted_at_s >= COUNT_EVERY_S:
            self._counted_at_s = now_s
            entries = await database.entries()
        self.sizes = replace(self.sizes, file_bytes=pages.file_bytes, live_bytes=pages.live_bytes, entries=entries)
        await self.bound_log(database)

    async def bound_log(self, database: Database) -> None:
        """See to it that another transaction may be written. Raises LogHeldError, OSError."""
        log_bytes = await database.log_bytes()
        self.sizes = replace(self.sizes, log_bytes=log_bytes)
        self.sizes = replace(self.sizes, log_bytes=await database.bound_log(log_bytes))

    async def _batch_of(self, work: NextWrite) -> tuple[Batch, int]:
        max_blob_bytes = int(self._max_bytes * ENTRY_SHARE)
        if work.size_bytes < LARGE_BYTES:
            return work.batch(max_blob_bytes=max_blob_bytes)
        return await asyncio.to_thread(work.batch, max_blob_bytes=max_blob_bytes)
