"""The file stays within its bounds, and keeps what is used."""

from pathlib import Path

import pytest

from proxy.store import SqliteStore
from proxy.store.sqlite import quota
from proxy.store.sqlite.connections import run
from proxy.store.sqlite.files import log_of
from tests.store.support import MIB, NOW_S, ManualClock, edit, entry, noise, opened, same, until, writer

# What the file may take, and the quota for it and its log together.
FILE = 2 * MIB
QUOTA = FILE * 4 // 3
LARGE = 16 * MIB * 4 // 3


async def fill(store: SqliteStore, total_bytes: int, *, size: int = 10_000, prefix: str = "k", batch: int = 20) -> int:
    """Put noise until so many bytes were put; return how many entries."""
    count = total_bytes // size
    for number in range(count):
        store.put("ns", f"{prefix}{number}", entry(noise(size, number)))
        if number % batch == batch - 1:
            await store.flush()
    await store.flush()
    return count


async def test_five_times_the_quota(path: Path, clock: ManualClock) -> None:
    """The file never exceeds its part of the quota, nor with its log the whole, and most of the room is used."""
    async with opened(path, clock, max_bytes=QUOTA) as store:
        largest = 0
        for part in range(10):
            clock.advance(1)
            await fill(store, FILE // 2, prefix=f"{part}-")
            largest = max(largest, path.stat().st_size)
            assert path.stat().st_size + log_of(path).stat().st_size <= QUOTA
            assert store.sizes.live_bytes <= FILE
        assert FILE * 0.8 < largest <= FILE
        assert (store.health, store.counters.errors, store.counters.dropped) == (None, 0, 0)
        assert store.counters.evictions > 600
        assert store.sizes.entries == store.counters.writes - store.counters.evictions


async def test_what_is_used_stays(path: Path, clock: ManualClock) -> None:
    """Entries that are read survive many times the quota of entries that are not."""
    async with opened(path, clock, max_bytes=QUOTA) as store:
        for key in "abc":
            store.put("used", key, entry(key * 1000))
        store.put("used", "forgotten", entry("x"))
        for part in range(10):
            clock.advance(1)
            await fill(store, FILE // 2, prefix=f"{part}-")
            clock.advance(1)
            for key in "abc":
                assert await store.get("used", key) is not None
        assert await store.get("used", "forgotten") is None


async def test_uses_outlive_a_restart(path: Path, clock: ManualClock) -> None:
    """When an entry was last used is written at closing, not with every read."""
    async with opened(path, clock, max_bytes=QUOTA) as store:
        store.put("used", "a", entry("a"))
        await fill(store, FILE // 2)
        batches = store.counters.write_batches
        clock.advance(5)
        for _ in range(100):
            assert await store.get("used", "a") is not None
        assert store.counters.write_batches == batches
    async with opened(path, clock, max_bytes=QUOTA) as store:
        clock.advance(5)
        await fill(store, FILE * 3 // 4, prefix="later")
        assert store.counters.evictions > 0
        assert await store.get("used", "a") is not None


async def test_uses_are_written_after_a_while(path: Path, clock: ManualClock) -> None:
    """Without any write, uses are written down ten seconds later, in one batch."""
    async with opened(path, clock) as store:
        store.put("ns", "a", entry())
        await store.flush()
        batches = store.counters.write_batches
        for _ in range(5):
            clock.advance(1.9)
            assert await store.get("ns", "a") is not None
        assert store.counters.write_batches == batches
        clock.advance(1)
        assert await store.get("ns", "unknown") is None
        await until(lambda: store.counters.write_batches > batches)
        await store.flush()
        assert store.counters.write_batches == batches + 1


async def test_too_large_for_the_file(path: Path, clock: ManualClock) -> None:
    """An entry that would take an eighth of the room is not kept, evicts nobody, and leaves no outdated answer behind."""
    async with opened(path, clock, max_bytes=QUOTA) as store:
        store.put("ns", "a", entry("a", NOW_S - 2))
        store.put("ns", "b", entry("b", NOW_S - 2))
        await store.flush()
        store.put("ns", "a", entry(noise(FILE // 8 + 1), NOW_S - 3))
        await store.flush()
        assert await store.get("ns", "a") is not None, "an older entry changes nothing, however large"
        store.put("ns", "a", entry(noise(FILE // 8 + 1), NOW_S - 1))
        await store.flush()
        assert await store.get("ns", "a") is None
        assert await store.get("ns", "b") is not None
        assert (store.counters.dropped, store.counters.evictions, store.sizes.entries) == (2, 0, 1)


async def test_more_than_can_wait(path: Path, clock: ManualClock) -> None:
    """Beyond the bound on what waits the oldest is dropped; it was only a cache."""
    async with opened(path, clock, pending_bytes=60_000) as store:
        puts = {str(number): entry(noise(10_000, number)) for number in range(20)}
        for key, put in puts.items():
            store.put("ns", key, put)
        await store.flush()
        assert store.counters.dropped == 15
        assert [key for key, put in puts.items() if same(await store.get("ns", key), put)] == [
            str(number) for number in range(15, 20)
        ]


async def test_a_smaller_quota_shrinks_the_file(path: Path, clock: ManualClock) -> None:
    """A file that is larger than a new quota is brought within it in small steps, keeping what was used last."""
    async with opened(path, clock, max_bytes=LARGE) as store:
        await fill(store, 12 * MIB)
        clock.advance(1)
        store.put("ns", "last", entry())
    assert path.stat().st_size > 12 * MIB
    async with opened(path, clock, max_bytes=QUOTA) as store:
        while store.sizes.file_bytes > FILE:
            before = store.sizes.file_bytes
            await store.flush()
            # Each step goes through the log.
            assert 0 < before - store.sizes.file_bytes <= 8 * quota.SizeLimits.of(QUOTA).full_log_bytes // 2
        assert await store.get("ns", "last") is not None
        assert await run(writer(store), "PRAGMA max_page_count") == [(FILE // 4096,)]
        await fill(store, FILE)
    assert path.stat().st_size <= FILE


async def test_room_is_made_for_more_than_one_batch(path: Path, clock: ManualClock) -> None:
    """When entries have to go, a tenth of the room is freed at once, so that it does not happen with every batch."""
    async with opened(path, clock, max_bytes=QUOTA) as store:
        for number in range(1000):
            store.put("ns", str(number), entry(noise(10_000, number)))
            await store.flush()
            if store.counters.evictions:
                break
        assert FILE * 0.85 < store.sizes.live_bytes < FILE * 0.92


async def test_the_quota_reached_before_the_reckoning(path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the pages run out although it was reckoned that they would do, more is evicted and the batch written after all."""
    async with opened(path, clock, max_bytes=QUOTA) as store:
        await fill(store, FILE * 3 // 4)
        monkeypatch.setattr(quota, "make_room", real := Reluctant(quota.make_room))
        monkeypatch.setattr(quota, "needed_bytes", lambda blob_bytes: blob_bytes // 2)
        await fill(store, FILE, prefix="more", batch=40)
        assert real.refused
        assert (store.health, store.counters.errors, store.counters.dropped) == (None, 0, 0)
        assert store.sizes.file_bytes <= FILE


class Reluctant:
    """Makes room only when it is asked for more than usual."""

    def __init__(self, make_room: object) -> None:
        self.make_room = make_room
        self.refused = False

    async def __call__(self, writer: object, need_bytes: int, *, max_bytes: int) -> int:
        if max_bytes == FILE:
            self.refused = True
            return 0
        assert callable(self.make_room)
        return int(await self.make_room(writer, need_bytes, max_bytes=max_bytes))


async def test_an_empty_file_with_a_tiny_quota(path: Path, clock: ManualClock) -> None:
    """With a quota smaller than the tables themselves nothing is kept, nothing raised and nothing looped."""
    async with opened(path, clock, max_bytes=4096) as store:
        store.put("ns", "a", entry())
        store.put("ns", "b", entry(noise(4000)))
        await store.flush()
        await store.get("ns", "a")
    assert path.stat().st_size < 100_000


async def test_the_hard_quota_is_sqlites_own(path: Path, clock: ManualClock) -> None:
    """Whatever else fails, SQLite itself lets the file not grow beyond the quota."""
    async with opened(path, clock, max_bytes=QUOTA) as store:
        assert await run(writer(store), "PRAGMA max_page_count") == [(FILE // 4096,)]


async def test_free_space_is_kept_for_the_next_entries(path: Path, clock: ManualClock) -> None:
    """A little free space is not given back to the file system, to be asked for again at once."""
    async with opened(path, clock, max_bytes=LARGE) as store:
        await fill(store, 4 * MIB)
    edit(path, "DELETE FROM bodies WHERE id % 4 = 0", "DELETE FROM entries WHERE id % 4 = 0")
    before = path.stat().st_size
    async with opened(path, clock, max_bytes=LARGE) as store:
        await store.flush()
        assert store.sizes.file_bytes == before
        assert store.sizes.live_bytes < before * 0.85
