"""Writing one batch: how much it may hold, compressing its bodies, and counting afterwards."""

import asyncio
from dataclasses import replace
from typing import Protocol

from proxy.clock import Clock
from proxy.store.counters import StoreCounters, StoreSizes
from proxy.store.sqlite.backlog import Backlog, NextWrite
from proxy.store.sqlite.batch import Batch
from proxy.store.sqlite.codec import LARGE_BYTES
from proxy.store.sqlite.database import Database
from proxy.store.sqlite.quota import SizeLimits

# One batch holds at most this part of the file's quota, and at most so many bytes of entries: a transaction stays short, and
# room can be made for it.
BATCH_SHARE = 1 / 8
BATCH_BYTES = 16 * 1024 * 1024
# A compressed body that is a larger part of the quota is not stored: it would evict too many others.
ENTRY_SHARE = 1 / 8

# Up to so many entries are counted after every batch, in less than 1 ms; more are counted every COUNT_EVERY_S.
COUNT_ALWAYS = 50_000
COUNT_EVERY_S = 10.0


class Target(Protocol):
    """Where batches are written: an open file, or another process."""

    async def write(self, batch: Batch, *, now_s: float) -> int:
        """Write a batch; return how many entries were evicted to make room."""


class Writer:
    """Writes what waits in the backlog to the file that is open. All methods raise sqlite3.Error."""

    def __init__(self, *, limits: SizeLimits, clock: Clock, counters: StoreCounters, backlog: Backlog) -> None:
        self._max_bytes = limits.file_bytes
        self._clock = clock
        self._counters = counters
        self._backlog = backlog
        self._counted_at_s = clock.monotonic_s()
        self.sizes = StoreSizes()
        self.more_to_give_back = False
        """Whether the file has more free space to give back to the file system."""

    async def write(self, target: Target) -> bool:
        """Commit one batch. Return whether it held all that waited when it began.

        If this raises, the backlog still has the batch.
        """
        work = self._backlog.take(min(BATCH_BYTES, int(self._max_bytes * BATCH_SHARE)))
        batch, unfit = await self._batch_of(work)
        self._counters.evictions += await target.write(batch, now_s=self._clock.now_s())
        self._backlog.done()
        self._counters.dropped += unfit
        self._counters.writes += len(batch.rows)
        self._counters.write_batches += 1
        return work.last

    async def tidy(self, database: Database) -> None:
        """Give back some free space, measure how full the file is, and bound its log. Raises LogHeldError, OSError."""
        self.more_to_give_back, pages = await database.give_back_space()
        entries = self.sizes.entries
        now_s = self._clock.monotonic_s()
        if entries < COUNT_ALWAYS or now_s - self._counted_at_s >= COUNT_EVERY_S:
            self._counted_at_s = now_s
            entries = await database.entries()
        self.sizes = replace(self.sizes, file_bytes=pages.file_bytes, live_bytes=pages.live_bytes, entries=entries)
        await self.bound_log(database)

    async def bound_log(self, database: Database) -> None:
        """Empty the write-ahead log if it is too full for another transaction. Raises LogHeldError, OSError."""
        log_bytes = await database.log_bytes()
        self.sizes = replace(self.sizes, log_bytes=log_bytes)
        self.sizes = replace(self.sizes, log_bytes=await database.bound_log(log_bytes))

    async def _batch_of(self, work: NextWrite) -> tuple[Batch, int]:
        max_blob_bytes = int(self._max_bytes * ENTRY_SHARE)
        if work.size_bytes < LARGE_BYTES:
            return work.batch(max_blob_bytes=max_blob_bytes)
        return await asyncio.to_thread(work.batch, max_blob_bytes=max_blob_bytes)
