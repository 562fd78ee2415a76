"""The write-ahead log, and other programs that read the file: it grows to its bound, nothing is lost but what is new."""

import asyncio
import shutil
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from proxy.core.freshness.entry import tombstone
from proxy.core.freshness.purge import MOST, Purge
from proxy.store import SqliteStore
from proxy.store.sqlite.backlog import MOST_GONE
from proxy.store.sqlite.connections import run
from proxy.store.sqlite.files import log_of
from proxy.store.sqlite.quota import SizeLimits
from tests.store.support import (
    MIB,
    NOW_S,
    ManualClock,
    backlog,
    entry,
    fetch,
    noise,
    opened,
    pending,
    presence,
    purges,
    read_elsewhere,
    reader,
    same,
    until,
    writer,
)

QUOTA = 4 * MIB
ROOM = SizeLimits.of(QUOTA)
SAID = "another program goes on reading the cache file"


# Some hundredths of a second, all of them within one read transaction.
SLOW = """
WITH RECURSIVE numbers(n) AS (SELECT count(*) FROM entries UNION ALL SELECT n + 1 FROM numbers WHERE n < 200000)
SELECT count(*) FROM numbers
"""


def size_of(path: Path) -> int:
    """What the file takes on disk with its log."""
    return path.stat().st_size + log_of(path).stat().st_size


async def fill(store: SqliteStore, number: int) -> None:
    """Put so many entries, one after the other, 10 kB each."""
    for one in range(number):
        store.put("ns", f"/{one}", entry(noise(10_000, one), NOW_S - 20))
        await store.flush()


async def held(store: SqliteStore) -> None:
    """Write until nothing more is written."""
    number = 0
    while store.health is None:
        store.put("ns", f"/new {number}", entry(noise(10_000, number), NOW_S - 20))
        await store.flush()
        number += 1
        assert number < 1_000


@pytest.mark.parametrize("max_bytes", [MIB, QUOTA, 64 * MIB])
async def test_a_program_that_goes_on_reading(path: Path, clock: ManualClock, max_bytes: int) -> None:
    """File and log keep to the quota, what is there is read, and it is told; when the other has ended all is as before."""
    largest, large = 0, SizeLimits.of(max_bytes).file_bytes // 8 - 2_000
    with capture_logs() as logs:
        async with opened(path, clock, max_bytes=max_bytes) as store:
            # The file is as large as it becomes, and each transaction as well.
            for number in range(12):
                store.put("ns", f"/first {number}", entry(noise(large, number)))
                await store.flush()
            assert store.counters.evictions > 0
            async with read_elsewhere(path):
                # It is almost full, which is no reason yet, when the largest comes that there can be.
                while store.sizes.log_bytes < SizeLimits.of(max_bytes).full_log_bytes - 50_000:
                    store.put("ns", "/small", entry(noise(10_000)))
                    await store.flush()
                assert store.health is None
                for number in range(6):
                    store.put("ns", f"/large {number}", entry(noise(large, number)))
                    await store.flush()
                    largest = max(largest, size_of(path))
                assert max_bytes * 0.75 < largest <= max_bytes
                assert store.sizes.log_bytes == log_of(path).stat().st_size > SizeLimits.of(max_bytes).full_log_bytes
                assert store.health is not None
                assert SAID in store.health
                assert store.effect == f"{SAID}: nothing new is written to it"
                assert store.counters.dropped > 0
                assert same(await store.get("ns", "/large 0"), entry(noise(large, 0)))
                held_bytes = size_of(path)
                for wait_s in (1, 2):
                    clock.advance(wait_s)
                    await store.flush()
                    assert store.health is not None
                    assert size_of(path) == held_bytes
            clock.advance(4)
            await store.flush()
            assert store.health is None
            assert store.effect is None
            assert store.sizes.log_bytes <= SizeLimits.of(max_bytes).full_log_bytes
            put = entry("after")
            store.put("ns", "/after", put)
            await store.flush()
            assert same(await store.get("ns", "/after"), put)
    told = [(line["event"], line.get("kind")) for line in logs]
    assert told == [("store.opened", None), ("store.failed", "log-held"), ("store.recovered", None)]
    assert fetch(path, "PRAGMA integrity_check") == [("ok",)]


async def test_a_program_that_reads_now_and_then(path: Path, clock: ManualClock) -> None:
    """Who reads for a moment holds nothing up, however often: the log is emptied in between."""
    async with opened(path, clock, max_bytes=QUOTA) as store:
        for part in range(3):
            async with read_elsewhere(path):
                await fill(store, 5)
            await fill(store, 30 + part)
        assert (store.health, store.counters.errors, store.counters.dropped) == (None, 0, 0)


async def test_our_own_reads_hold_nothing(path: Path, clock: ManualClock) -> None:
    """However much is read meanwhile, by whoever asks and to learn which keys there are, the log is never held by that."""
    async with opened(path, clock, max_bytes=QUOTA, lock_timeout_s=0.0) as store:
        await fill(store, 50)

        async def read() -> None:
            while True:
                await asyncio.gather(*(store.get("ns", f"/{number}") for number in range(50)))
                presence(store).learn()

        async def read_slowly() -> None:
            # One begins before the other has ended: there is never a moment at which nothing is read.
            while True:
                await run(reader(store), SLOW)

        reading = [asyncio.create_task(one()) for one in (read, read_slowly, read_slowly, read_slowly)]
        for number in range(40):
            store.put("ns", f"/large {number}", entry(noise(100_000, number)))
            await store.flush()
            assert store.health is None
        for task in reading:
            task.cancel()
        await asyncio.wait(reading)
        assert (store.counters.errors, store.counters.dropped) == (0, 0)
        assert store.counters.evictions > 0


async def test_a_log_that_was_left_behind(path: Path, clock: ManualClock) -> None:
    """One that is larger than it may be, as after a crash, is brought into the file before anything is written."""
    copy = path.parent / "copy.sqlite"
    async with opened(path, clock, max_bytes=64 * MIB) as store, read_elsewhere(path):
        await fill(store, 100)
        for suffix in ("", "-wal"):
            shutil.copy(f"{path}{suffix}", f"{copy}{suffix}")
    assert log_of(copy).stat().st_size > ROOM.full_log_bytes
    async with opened(copy, clock, max_bytes=QUOTA) as store:
        assert store.health is None
        assert size_of(copy) <= QUOTA
        assert await store.get("ns", "/99") is not None


async def test_held_from_the_start(path: Path, clock: ManualClock) -> None:
    """A log that is too large and held already when the proxy starts: what is there is read, and later all is well."""
    async with opened(path, clock, max_bytes=64 * MIB) as store:
        async with read_elsewhere(path):
            await fill(store, 100)
            await store.aclose()
            async with opened(path, clock, max_bytes=QUOTA) as held_one:
                assert SAID in (held_one.health or "")
                assert held_one.sizes.log_bytes > ROOM.full_log_bytes
                assert await held_one.get("ns", "/99") is not None
        async with opened(path, clock, max_bytes=QUOTA) as free:
            assert free.health is None


async def test_a_transaction_that_stayed_open(path: Path, clock: ManualClock) -> None:
    """One that could not be rolled back is no obstacle to emptying the log."""
    async with opened(path, clock, max_bytes=QUOTA) as store:
        async with read_elsewhere(path):
            await held(store)
            await run(writer(store), "BEGIN IMMEDIATE")
        clock.advance(1)
        await store.flush()
        assert store.health is None


@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
async def test_a_purge_holds_meanwhile(path: Path, clock: ManualClock, soft: bool) -> None:
    """What is purged while nothing can be written isn't read as if it weren't, and is gone from the file afterwards."""
    async with opened(path, clock, max_bytes=QUOTA) as store:
        await fill(store, 3)
        async with read_elsewhere(path):
            await held(store)
            assert not await store.purge(Purge(at_s=NOW_S - 10, soft=soft))
            found = await store.get("ns", "/1")
            assert (found is not None and found.purged) if soft else found is None
        clock.advance(2)
        await store.flush()
        assert store.health is None
        found = await store.get("ns", "/1")
        assert (found is not None and found.purged) if soft else found is None
    async with opened(path, clock, max_bytes=QUOTA) as store:
        found = await store.get("ns", "/1")
        assert (found is not None and found.purged) if soft else found is None


async def test_what_is_gone_upstream_is_gone_meanwhile(path: Path, clock: ManualClock) -> None:
    """That there is nothing any more under a key is remembered until it can be written; what came later isn't touched by it."""
    async with opened(path, clock, max_bytes=QUOTA) as store:
        await fill(store, 3)
        store.put("ns", "part of /1", entry())
        await store.flush()
        await until(lambda: presence(store).is_complete)
        async with read_elsewhere(path):
            await held(store)
            for key in ("/1", "/never"):
                store.put("ns", key, tombstone(NOW_S - 10))
            store.put("ns", "/2", tombstone(NOW_S - 30))
            store.put("ns", "part of /1", tombstone(NOW_S - 10))
            await store.flush()
            # Neither what the file doesn't have, nor what nothing refers to.
            assert pending(store) == 2
            assert await store.get("ns", "/1") is None
            assert await store.get("ns", "/2") is not None
            clock.advance(1)
            await store.flush()
            assert await store.get("ns", "/1") is None
        clock.advance(2)
        await store.flush()
        assert store.health is None
        assert await store.get("ns", "/1") is None
        assert await store.get("ns", "/2") is not None
    assert fetch(path, "SELECT count(*) FROM entries WHERE key IN ('/0', '/1', '/2')") == [(2,)]


async def test_gone_in_the_very_batch_that_fails(path: Path, clock: ManualClock) -> None:
    """What waited to be deleted when writing was given up is deleted later, too."""
    async with opened(path, clock, max_bytes=QUOTA) as store:
        await fill(store, 3)
        await run(writer(store), "PRAGMA query_only = ON")
        store.put("ns", "/1", tombstone(NOW_S - 10))
        await store.flush()
        assert store.health is not None
        assert await store.get("ns", "/1") is None
        await run(writer(store), "PRAGMA query_only = OFF")
        clock.advance(1)
        await store.flush()
        assert store.health is None
        assert await store.get("ns", "/1") is None
        assert store.counters.dropped == 0


async def test_nothing_piles_up_meanwhile(path: Path, clock: ManualClock) -> None:
    """However much is purged and deleted while nothing can be written, no more is remembered than a bound; all of it holds."""
    async with opened(path, clock, max_bytes=QUOTA) as store:
        await fill(store, 3)
        async with read_elsewhere(path):
            await held(store)
            for number in range(10 * MOST):
                await store.purge(Purge(at_s=NOW_S - 1000 + number / 1000, run=str(number)))
            assert purges(backlog(store)) <= MOST + 1
            for number in range(200):
                store.put("ns", "/1", entry(noise(10_000, number), NOW_S - 6))
            assert not pending(store)
            presence(store).forget()
            for number in range(MOST_GONE + 10):
                store.put("ns", f"/{number}", tombstone(NOW_S - 5))
            assert pending(store) <= MOST_GONE
            for number in range(3):
                assert await store.get("ns", f"/{number}") is None
        clock.advance(2)
        await store.flush()
        assert store.health is None
        for number in range(3):
            assert await store.get("ns", f"/{number}") is None
