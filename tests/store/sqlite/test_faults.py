"""Every fault of the file, done to a real one while the store has it open: misses at worst, never another's answer, and the
store mends itself."""

import os
import resource
import shutil
import sqlite3
from pathlib import Path

import aiosqlite
import pytest
from structlog.testing import capture_logs

from proxy.store import SqliteStore
from proxy.store.sqlite.connections import run
from tests.store.support import (
    ManualClock,
    aside,
    database,
    edit,
    entry,
    fetch,
    keeper,
    locked,
    noise,
    opened,
    same,
    scribble,
    until,
    writer,
)

PUTS = {f"key {number}": entry(noise(20_000, number)) for number in range(200)}


async def fill(store: SqliteStore) -> None:
    """Put more than the connections keep in their own memory, all of it in the database and nothing in its log."""
    for key, put in PUTS.items():
        store.put("ns", key, put)
    await store.flush()
    await run(writer(store), "PRAGMA wal_checkpoint(TRUNCATE)")


async def ask_for_all(store: SqliteStore) -> int:
    """Read every key. Each is a miss or exactly what was put; return how many were found."""
    found = [(await store.get("ns", key), put) for key, put in PUTS.items()]
    assert all(had is None or same(had, put) for had, put in found)
    return sum(had is not None for had, _ in found)


async def works(store: SqliteStore) -> bool:
    """Whether a new entry can be put, committed and read back, and the store says that it is well."""
    put = entry("after")
    writes = store.counters.writes
    store.put("ns", "after", put)
    await store.flush()
    return store.health is None and store.counters.writes > writes and same(await store.get("ns", "after"), put)


@pytest.mark.parametrize("begin", [0, 100, 4096, 2_000_000], ids=["header", "tables", "indexes", "bodies"])
async def test_overwritten_while_running(path: Path, clock: ManualClock, begin: int) -> None:
    """Pages that turn to garbage under a running store are misses; the file is set aside or its rows deleted."""
    async with opened(path, clock) as store:
        await fill(store)
        scribble(path, begin=begin)
        assert await ask_for_all(store) < len(PUTS)
        await store.flush()
        assert await works(store)
        await ask_for_all(store)
        assert store.counters.set_aside + store.counters.corrupt > 0
        assert len(aside(path)) == store.counters.set_aside
    async with opened(path, clock) as store:
        assert await works(store)


@pytest.mark.parametrize("begin", [0, 100, 4096, 2_000_000], ids=["header", "tables", "indexes", "bodies"])
async def test_overwritten_before_the_start(path: Path, clock: ManualClock, begin: int) -> None:
    """The same done while no store was running."""
    async with opened(path, clock) as store:
        await fill(store)
    scribble(path, begin=begin)
    async with opened(path, clock) as store:
        assert await ask_for_all(store) < len(PUTS)
        await store.flush()
        assert await works(store)
        assert store.counters.set_aside + store.counters.corrupt > 0


async def test_truncated_while_running(path: Path, clock: ManualClock) -> None:
    """A file cut to nothing in place is set aside, and a new one begun."""
    async with opened(path, clock) as store:
        await fill(store)
        os.truncate(path, 0)
        await ask_for_all(store)
        await store.flush()
        assert await works(store)


async def test_a_table_is_missing(path: Path, clock: ManualClock) -> None:
    """A file with the right header and the wrong tables is set aside when that comes to light."""
    async with opened(path, clock):
        pass
    edit(path, "DROP TABLE bodies")
    async with opened(path, clock) as store:
        assert await store.get("ns", "key") is None
        await store.flush()
        assert await works(store)
        assert store.counters.set_aside == 1


async def test_what_waits_survives_the_file(path: Path, clock: ManualClock) -> None:
    """Entries that could not be written because the file was broken are written to the new one, and so is an adoption."""
    async with opened(path, clock) as store:
        await fill(store)
        scribble(path)
        await run(writer(store), "PRAGMA shrink_memory")
        put = entry("kept")
        store.put("key", "kept", put)
        await store.adopt("u", "f", "o", old_namespace="key", new_namespace="org")
        await store.flush()
        assert same(await store.get("org", "kept"), put)
        assert await store.organization_of("u", "f") == "o"
        assert store.counters.set_aside == 1


async def test_breaking_again_and_again(path: Path, clock: ManualClock) -> None:
    """A disk that spoils every file is not filled with them: the second attempt waits, the next ones longer."""
    async with opened(path, clock) as store:
        for broken, wait_s in enumerate([0, 1, 2, 4]):
            store.put("ns", "key", entry())
            await store.flush()
            await run(writer(store), "DROP TABLE bodies")
            assert await store.get("ns", "key") is None
            await store.flush()
            assert store.counters.set_aside == broken + (wait_s == 0)
            if wait_s:
                assert store.health is not None
                clock.advance(wait_s - 0.01)
                await store.flush()
                assert store.health is not None
                clock.advance(0.01)
                await store.flush()
            assert store.health is None
        assert store.counters.set_aside == 4
        clock.advance(61)
        store.put("ns", "key", entry())
        await store.flush()
        await run(writer(store), "DROP TABLE bodies")
        assert await store.get("ns", "key") is None
        await store.flush()
        assert store.health is None


async def test_deleted_while_running(path: Path, clock: ManualClock) -> None:
    """A deleted file is noticed within a second of use, and a new one begun; what was put meanwhile is in it."""
    async with opened(path, clock) as store:
        await fill(store)
        path.unlink()
        clock.advance(1)
        put = entry("meanwhile")
        store.put("ns", "meanwhile", put)
        await store.flush()
        assert path.exists()
        assert await ask_for_all(store) == 0
        assert same(await store.get("ns", "meanwhile"), put)
        assert await works(store)
    assert fetch(path, "SELECT count(*) FROM entries") == [(2,)]


async def test_reading_notices_too(path: Path, clock: ManualClock) -> None:
    """No write is needed to notice that the file is gone."""
    async with opened(path, clock) as store:
        path.unlink()
        clock.advance(1)
        assert await store.get("ns", "key") is None
        await until(path.exists)
        await store.flush()
        assert store.counters.errors == 1


async def test_the_directory_deleted_while_running(path: Path, clock: ManualClock) -> None:
    """The directory is made anew, and the lock taken anew in it."""
    async with opened(path, clock) as store:
        await fill(store)
        shutil.rmtree(path.parent)
        clock.advance(1)
        await ask_for_all(store)
        await store.flush()
        assert await works(store)
        assert Path(f"{path}.lock").exists()


@pytest.mark.parametrize("companion", ["-wal", "-shm"])
async def test_the_log_deleted_while_running(path: Path, clock: ManualClock, companion: str) -> None:
    """Without its log at its path a crash would lose what is written: the file is opened anew, its entries kept."""
    async with opened(path, clock) as store:
        await fill(store)
        Path(f"{path}{companion}").unlink()
        clock.advance(1)
        await ask_for_all(store)
        await store.flush()
        assert Path(f"{path}{companion}").exists()
        assert await ask_for_all(store) == len(PUTS)
        assert await works(store)
        assert store.counters.set_aside == 0


async def test_replaced_by_another_of_our_files(path: Path, clock: ManualClock) -> None:
    """A file of this store that takes the place of the open one is used from then on, without the other's log."""
    async with opened(path.with_name("backup.sqlite"), clock) as store:
        store.put("ns", "from the backup", entry())
    async with opened(path, clock) as store:
        await fill(store)
        store.put("ns", "in the log", entry())
        await store.flush()
        path.with_name("backup.sqlite").replace(path)
        clock.advance(1)
        await ask_for_all(store)
        await store.flush()
        assert await ask_for_all(store) == 0
        assert await store.get("ns", "from the backup") is not None
        assert await store.get("ns", "in the log") is None
        assert await works(store)
        assert store.counters.set_aside == 0
    assert fetch(path, "PRAGMA integrity_check") == [("ok",)]


@pytest.mark.parametrize("other", ["garbage", "foreign"])
async def test_replaced_by_something_else(path: Path, clock: ManualClock, other: str) -> None:
    """Something else in the place of the open file is set aside untouched."""
    replacement = path.with_name("other")
    async with opened(path, clock) as store:
        await fill(store)
        if other == "garbage":
            replacement.write_bytes(b"\xa5" * 50_000)
        else:
            edit(replacement, "CREATE TABLE precious (a)")
        before = replacement.read_bytes()
        replacement.replace(path)
        clock.advance(1)
        await ask_for_all(store)
        await store.flush()
        assert await works(store)
        assert [kept.read_bytes() for kept in aside(path)] == [before]


async def test_replaced_by_a_directory(path: Path, clock: ManualClock) -> None:
    """What is not a file is left alone; the store waits until it is gone."""
    async with opened(path, clock) as store:
        await fill(store)
        path.unlink()
        path.mkdir()
        clock.advance(1)
        await ask_for_all(store)
        await store.flush()
        clock.advance(1)
        await store.flush()
        assert store.health == f"{path} is not a regular file; set cache.path to a file"
        assert await ask_for_all(store) == 0
        path.rmdir()
        clock.advance(30)
        await store.flush()
        assert await works(store)


async def test_locked_while_running(path: Path, clock: ManualClock) -> None:
    """While another program holds the lock, what is there is read, what is put is dropped, and it is said."""
    async with opened(path, clock) as store:
        await fill(store)
        async with locked(path):
            store.put("ns", "meanwhile", entry())
            await store.flush()
            assert store.health is not None
            assert "is locked by another program" in store.health
            assert await ask_for_all(store) == len(PUTS)
            store.put("ns", "meanwhile", entry())
            assert await store.get("ns", "meanwhile") is None
            clock.advance(1)
            await store.flush()
            assert store.health is not None
        clock.advance(1.99)
        await store.flush()
        assert store.health is not None
        clock.advance(0.01)
        await store.flush()
        assert await works(store)
        assert store.counters.dropped == 2
        assert not aside(path)


async def test_locked_at_the_start(path: Path, clock: ManualClock) -> None:
    """A file that is held by another program when the store opens does not keep the service from starting."""
    async with opened(path, clock) as store:
        await fill(store)
    async with locked(path, "EXCLUSIVE"), opened(path, clock) as store:
        assert store.health is not None
        assert "is locked by another program" in store.health
        assert await ask_for_all(store) == 0
    async with opened(path, clock) as store:
        assert await ask_for_all(store) == len(PUTS)


async def test_an_adoption_waits_for_the_lock(path: Path, clock: ManualClock) -> None:
    """What cannot be adopted now is adopted when the file can be written; the caller does not wait for that."""
    async with opened(path, clock) as store:
        store.put("key", "a", entry())
        await store.flush()
        async with locked(path):
            await store.adopt("u", "f", "o", old_namespace="key", new_namespace="org")
            assert await store.organization_of("u", "f") is None
        clock.advance(1)
        await store.flush()
        assert await store.organization_of("u", "f") == "o"
        assert await store.get("org", "a") is not None


async def test_no_room(path: Path, clock: ManualClock) -> None:
    """When there is no room, and that is not because of the quota, nothing is evicted: what is there is read on."""
    async with opened(path, clock, max_bytes=5_500_000 * 4 // 3) as store:
        await fill(store)
        assert 0.7 < store.sizes.live_bytes / 5_500_000 < 0.9
        await run(writer(store), "PRAGMA max_page_count = 1")
        store.put("ns", "large", entry(noise(100_000)))
        await store.flush()
        assert store.health is not None
        assert "there is no room for the cache file" in store.health
        assert await ask_for_all(store) == len(PUTS)
        assert (store.counters.evictions, store.counters.dropped) == (0, 1)
        assert not writer(store).in_transaction
        clock.advance(1)
        await store.flush()
        assert await works(store)


async def test_read_only_while_running(path: Path, clock: ManualClock) -> None:
    """A file that can only be read is read; writing is tried again later."""
    async with opened(path, clock) as store:
        await fill(store)
        await run(writer(store), "PRAGMA query_only = ON")
        store.put("ns", "a", entry())
        await store.flush()
        assert store.health is not None
        assert "is read-only" in store.health
        assert await ask_for_all(store) == len(PUTS)
        await run(writer(store), "PRAGMA query_only = OFF")
        clock.advance(1)
        await store.flush()
        assert await works(store)


async def test_reading_fails(path: Path, clock: ManualClock) -> None:
    """Input errors are misses; the file is opened again later, and set aside if that does not help for long."""
    async with opened(path, clock) as store:
        await fill(store)
        for attempt in range(4):
            assert store.health is None
            break_descriptors(path)
            await ask_for_all(store)
            await store.flush()
            if attempt < 3:
                assert store.health is not None
                assert store.counters.set_aside == 0
            clock.advance(2**attempt)
            await store.flush()
        assert store.counters.set_aside == 1
        assert await works(store)


def break_descriptors(path: Path) -> None:
    """Let every read of the open file fail: its descriptors are made to stand for a directory."""
    directory = os.open(path.parent, os.O_RDONLY)
    for descriptor in list(Path("/proc/self/fd").iterdir()):
        if descriptor.is_symlink() and descriptor.readlink() == path:
            os.dup2(directory, int(descriptor.name), inheritable=False)
    os.close(directory)


async def test_a_lock_that_keeps_readers_out(path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many reads fail meanwhile, it is one fault, and the next attempt is not put off."""
    busy = sqlite3.OperationalError("database is locked")
    busy.sqlite_errorcode = sqlite3.SQLITE_BUSY

    async def locked_out(_namespace: str, _key: str) -> None:
        raise busy

    async with opened(path, clock) as store:
        store.put("ns", "key", entry())
        await store.flush()
        with monkeypatch.context() as context:
            context.setattr(database(store), "read", locked_out)
            for _ in range(10):
                assert await store.get("ns", "key") is None
                await store.flush()
        assert store.counters.errors == 1
        clock.advance(1)
        await store.flush()
        assert await works(store)


async def test_what_a_closed_file_says_is_of_no_interest(path: Path, clock: ManualClock) -> None:
    """A read that comes back with an error after the file was opened anew says nothing about the new one."""
    async with opened(path, clock) as store:
        before = database(store)
        path.unlink()
        clock.advance(1)
        await store.flush()
        assert database(store) is not before
        damaged = sqlite3.DatabaseError("malformed")
        damaged.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        keeper(store).report(before, damaged)
        await store.flush()
        assert (store.counters.errors, store.counters.set_aside) == (1, 0)


async def test_a_transaction_that_stayed_open(path: Path, clock: ManualClock) -> None:
    """A transaction that could not be rolled back is no reason to give up a sound file."""
    async with opened(path, clock) as store:
        await run(writer(store), "BEGIN IMMEDIATE")
        assert await works(store)
        assert store.counters.errors == 0


async def test_no_descriptors_left(path: Path, clock: ManualClock) -> None:
    """Whichever step of opening finds that no more files can be opened, it leaves nothing open and is tried again later."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with opened(path, clock) as store:
        store.put("ns", "key", entry())
    last = max(descriptors())
    # Numbers are given out from the lowest: those that are free in between are taken first.
    taken = [os.open(os.devnull, os.O_RDONLY)]
    while taken[-1] < last:
        taken.append(os.open(os.devnull, os.O_RDONLY))
    before = descriptors()
    seen = set()
    for spare in range(16):
        store = SqliteStore(path, max_bytes=1 << 26, clock=clock, read_timeout_s=30)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(taken) + 1 + spare, hard))
        try:
            await store.open()
            seen.add(store.health)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        clock.advance(1)
        await store.flush()
        assert store.health is None
        assert await store.get("ns", "key") is not None
        assert store.counters.set_aside == 0
        await store.aclose()
        assert descriptors() == before
    for number in taken:
        os.close(number)
    assert len(seen) > 2
    assert None in seen


def descriptors() -> set[int]:
    """The files that are open, without the one that this is read from."""
    return {int(link.name) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()}


async def test_a_file_system_without_shared_memory(path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where write-ahead logging is not possible the store says so and the service runs without it."""
    connect = aiosqlite.connect
    monkeypatch.setattr(aiosqlite, "connect", lambda name, **options: connect(f"{name}&vfs=unix-none", **options))
    async with opened(path, clock) as store:
        assert store.health is not None
        assert "cannot do write-ahead logging (journal_mode is delete)" in store.health
        assert await store.get("ns", "key") is None


async def test_faults_are_said_once(path: Path, clock: ManualClock) -> None:
    """However often something is tried, a fault that stays is one line, and its end another; no key is ever in them."""
    with capture_logs() as logs:
        async with opened(path, clock) as store:
            await run(writer(store), "PRAGMA query_only = ON")
            for _ in range(5):
                store.put("secret namespace", "secret key", entry("secret body"))
                await store.flush()
                clock.advance(30)
                await store.flush()
            await run(writer(store), "PRAGMA query_only = OFF")
            clock.advance(30)
            await store.flush()
            assert store.counters.errors > 3
            await run(writer(store), "PRAGMA query_only = ON")
            store.put("secret namespace", "secret key", entry("secret body"))
    failed_and_recovered = ["store.failed", "store.recovered"]
    assert [line["event"] for line in logs] == ["store.opened", *failed_and_recovered, "store.failed"]
    assert "secret" not in str(logs)
