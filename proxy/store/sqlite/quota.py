"""Keeping the file and its write-ahead log within their bounds: evicting entries, and giving free space back.

The quota covers both. While another program reads an old state of the file, SQLite cannot overwrite anything in the log, and
the log grows with every transaction. So a quarter of the quota is for the log, 96 MiB at most. When a third of the log's part
is in use, the log must be emptied before anything more is written. The other two thirds are for the transaction that went
beyond the first. (Renaming a namespace and a purge can take more: each is one transaction, however many rows it changes.)
"""

import json
from dataclasses import dataclass

import aiosqlite

from proxy.store.sqlite import schema
from proxy.store.sqlite.connections import run

# After making room, this part of the quota is in use at most.
FILL = 0.9
# The same on the second attempt, after the file was full although the estimate said otherwise.
FILL_WHEN_FULL = 0.7

# Free pages up to this part of the quota are kept for the next entries. More are given back to the file system.
SPARE = 1 / 8
# How many pages are given back at a time: 1 MB, about 2 ms.
STEP_PAGES = 256

# What an entry takes beside its body: the row, its places in two indexes, and the empty part of a page.
ROW_BYTES = 1_024


_LOG_SHARE = 1 / 4
_LOG_MOST_BYTES = 96 * 2**20
_FULL = 1 / 3


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeLimits:
    """The quota and its parts: `file_bytes` for the database, `log_bytes` for the log, which is emptied at `full_log_bytes`."""

    max_bytes: int
    file_bytes: int
    log_bytes: int
    full_log_bytes: int

    @classmethod
    def of(cls, max_bytes: int) -> "SizeLimits":
        """Divide a quota of so many bytes."""
        log_bytes = int(min(max_bytes * _LOG_SHARE, _LOG_MOST_BYTES))
        full_log_bytes = int(log_bytes * _FULL)
        return cls(max_bytes=max_bytes, file_bytes=max_bytes - log_bytes, log_bytes=log_bytes, full_log_bytes=full_log_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pages:
    """How many pages the file has, and how many of these are free."""

    page_bytes: int
    total: int
    free: int

    @property
    def file_bytes(self) -> int:
        """The size of the file."""
        return self.total * self.page_bytes

    @property
    def live_bytes(self) -> int:
        """How many bytes of it are in use."""
        return (self.total - self.free) * self.page_bytes


def needed_bytes(blob_bytes: int) -> int:
    """Return how many bytes of the file an entry takes whose compressed body has so many bytes, rounded up."""
    return blob_bytes + blob_bytes // 64 + ROW_BYTES


async def pages_of(writer: aiosqlite.Connection) -> Pages:
    """Return the file's pages, as the current transaction sees them if there is one. Raises sqlite3.Error."""
    [(page_bytes, total, free)] = await run(
        writer,
        "SELECT page_size, page_count, freelist_count FROM pragma_page_size, pragma_page_count, pragma_freelist_count",
    )
    return Pages(page_bytes=page_bytes, total=total, free=free)


async def limit_pages(writer: aiosqlite.Connection, max_bytes: int) -> None:
    """Let the file grow to `max_bytes` at most, or not at all if it is larger. Raises sqlite3.Error."""
    page_bytes = (await pages_of(writer)).page_bytes
    await run(writer, f"PRAGMA max_page_count = {max(1, max_bytes // page_bytes)}")


async def delete(writer: aiosqlite.Connection, ids: list[int]) -> None:
    """Delete these entries with their bodies. Raises sqlite3.Error."""
    if ids:
        parameter = (json.dumps(ids),)
        await run(writer, schema.DELETE_BODIES, parameter)
        await run(writer, schema.DELETE_ENTRIES, parameter)


async def make_room(writer: aiosqlite.Connection, need_bytes: int, *, max_bytes: int, fill: float = FILL) -> int:
    """Evict the least recently used entries if `need_bytes` more do not fit into `max_bytes`.

    Entries are deleted until the file with these bytes takes no more than the part `fill` of `max_bytes`. Call this within a
    transaction. Return how many entries were deleted. Raises sqlite3.Error.
    """
    if (await pages_of(writer)).live_bytes + need_bytes <= max_bytes:
        return 0
    evicted = 0
    while (excess := (await pages_of(writer)).live_bytes + need_bytes - int(max_bytes * fill)) > 0:
        candidates = await run(writer, schema.LEAST_RECENTLY_USED)
        if not candidates:
            break
        ids = []
        for entry_id, blob_bytes in candidates:
            if excess <= 0:
                break
            ids.append(entry_id)
            excess -= blob_bytes
        await delete(writer, ids)
        evicted += len(ids)
    return evicted


async def give_back(writer: aiosqlite.Connection, limits: SizeLimits) -> tuple[bool, Pages]:
    """Give up to STEP_PAGES free pages back to the file system, and no more than the log has room for.

    Return whether there are more to give back, and the file's pages then. Raises sqlite3.Error.
    """
    pages = await pages_of(writer)
    max_bytes = limits.file_bytes
    excess = _excess_pages(pages, max_bytes // pages.page_bytes)
    if excess <= 0:
        return False, pages
    step = max(1, min(STEP_PAGES, excess, limits.full_log_bytes // pages.page_bytes // 2))
    # As a script, which runs to its end. As a statement, which has no columns, only its first step would run and free one page.
    async with writer.executescript(f"PRAGMA incremental_vacuum({step})"):
        pass
    # While the file was larger than its quota, its size could not be limited to the quota.
    await limit_pages(writer, max_bytes)
    return excess > step, await pages_of(writer)


def _excess_pages(pages: Pages, quota_pages: int) -> int:
    """Return how many of the free pages are to be given back; 0 or less: none."""
    spare_pages = max(STEP_PAGES, int(quota_pages * SPARE))
    return max(pages.free - spare_pages, min(pages.free, pages.total - quota_pages))
