"""Keeping the file and its log within their bounds: making room for what comes, and giving back what is no longer needed.

The quota is for both. While another program goes on reading an old state of the file, nothing in the log can be written over,
and it grows with every transaction. So a quarter of the quota is the log's, 96 MiB at most. When a third of that is in use the
log has to be emptied before anything more is written: the rest is for the transaction that went beyond. (Only to rename a
namespace, or to carry out a purge, can take more than that: each is one transaction, however much it moves.)
"""

import json
from dataclasses import dataclass

import aiosqlite

from proxy.store.sqlite import schema
from proxy.store.sqlite.connections import run

# After making room this much of the quota is in use at most.
FILL = 0.9
# The same when the file turned out to be full all the same.
FILL_WHEN_FULL = 0.7

# Free pages up to this part of the quota are kept, for the next entries; beyond it they are given back.
SPARE = 1 / 8
# So many pages are given back at a time: 1 MB, about 2 ms.
STEP_PAGES = 256

# What an entry needs beside its body: the row, its places in two indexes, and a part of a page that stays empty.
ROW_BYTES = 1_024


_LOG_SHARE = 1 / 4
_LOG_MOST_BYTES = 96 * 2**20
_FULL = 1 / 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """A quota, and how it is divided: what the database may take, what its log, and how full that is to be emptied."""

    max_bytes: int
    file_bytes: int
    log_bytes: int
    full_log_bytes: int

    @classmethod
    def of(cls, max_bytes: int) -> "Room":
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
        """The part of it that is in use."""
        return (self.total - self.free) * self.page_bytes


def need_of(blob_bytes: int) -> int:
    """Return how many bytes of the file an entry with such a body takes, rounded up."""
    return blob_bytes + blob_bytes // 64 + ROW_BYTES


async def pages_of(writer: aiosqlite.Connection) -> Pages:
    """Return the state of the file, within a transaction that of the transaction. Raises sqlite3.Error."""
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
    """Within a transaction: if `need_bytes` more do not fit into `max_bytes`, delete the least recently used entries until no
    more than `fill` of it is in use with them. Return how many were deleted. Raises sqlite3.Error.
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


async def give_back(writer: aiosqlite.Connection, room: Room) -> tuple[bool, Pages]:
    """Return up to STEP_PAGES free pages to the file system, as far as the log has room for that.

    Return whether there is more to give back, and the state after that. Raises sqlite3.Error.
    """
    pages = await pages_of(writer)
    max_bytes = room.file_bytes
    excess = _excess_pages(pages, max_bytes // pages.page_bytes)
    if excess <= 0:
        return False, pages
    step = max(1, min(STEP_PAGES, excess, room.full_log_bytes // pages.page_bytes // 2))
    # As a script, which is run to its end: of a statement without columns only the first step is run, which frees one page.
    async with writer.executescript(f"PRAGMA incremental_vacuum({step})"):
        pass
    # A file that was larger than its quota could not be limited to it before.
    await limit_pages(writer, max_bytes)
    return excess > step, await pages_of(writer)


def _excess_pages(pages: Pages, quota_pages: int) -> int:
    """How many of the free pages are not worth keeping."""
    spare_pages = max(STEP_PAGES, int(quota_pages * SPARE))
    return max(pages.free - spare_pages, min(pages.free, pages.total - quota_pages))
