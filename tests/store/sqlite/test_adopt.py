"""A key's organization is remembered, and what was stored under the key becomes the organization's."""

import asyncio
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from proxy.core.freshness.purge import Purge
from proxy.store import SqliteStore
from proxy.store.sqlite.batch import Batch
from tests.store.support import MIB, NOW_S, database, edit, entry, fetch, opened, same


async def adopt(store: SqliteStore, old: str = "key", new: str = "org") -> None:
    await store.adopt("u", "f", "o", old_namespace=old, new_namespace=new)


async def test_the_organization_is_remembered(path: Path) -> None:
    """It is there after a restart, for this upstream and fingerprint only, and can change."""
    async with opened(path) as store:
        assert await store.organization_of("u", "f") is None
        await adopt(store)
    async with opened(path) as store:
        assert await store.organization_of("u", "f") == "o"
        assert await store.organization_of("u", "other") is None
        assert await store.organization_of("other", "f") is None
        await store.adopt("u", "f", "o2", old_namespace="org", new_namespace="org2")
        assert await store.organization_of("u", "f") == "o2"


async def test_a_damaged_memory_is_none(path: Path) -> None:
    """An organization that does not match its checksum is not believed: it decides whose data is served."""
    async with opened(path) as store:
        await adopt(store)
    edit(path, "UPDATE organizations SET organization = 'other'")
    async with opened(path) as store:
        assert await store.organization_of("u", "f") is None


async def test_entries_move(path: Path) -> None:
    """What was committed and what waits is found under the new name only, before and after a restart."""
    puts = {name: entry(name) for name in ("committed", "waiting")}
    async with opened(path) as store:
        store.put("key", "committed", puts["committed"])
        await store.flush()
        store.put("key", "waiting", puts["waiting"])
        await adopt(store)
        for name, put in puts.items():
            assert same(await store.get("org", name), put)
            assert await store.get("key", name) is None
    async with opened(path) as store:
        for name, put in puts.items():
            assert same(await store.get("org", name), put)
            assert await store.get("key", name) is None
        assert store.sizes.entries == 2


async def test_moving_in_the_midst_of_a_batch(path: Path) -> None:
    """A batch that is written under the old name while the rename comes is found under the new one all the while."""
    async with opened(path) as store:
        put = entry()
        writing, release = asyncio.Event(), asyncio.Event()
        write = database(store).write

        async def held(batch: Batch, *, now_s: float) -> int:
            writing.set()
            await release.wait()
            return await write(batch, now_s=now_s)

        database(store).write = held  # type: ignore[method-assign]  # held up on its way
        store.put("key", "a", put)
        await writing.wait()
        moving = asyncio.create_task(adopt(store))
        await asyncio.sleep(0)
        assert same(await store.get("org", "a"), put)
        assert await store.get("key", "a") is None
        release.set()
        await moving
        assert same(await store.get("org", "a"), put)
        assert await store.get("key", "a") is None


async def test_the_newer_of_two_stays(path: Path) -> None:
    """Where both names hold a key, the entry that was sent later stays, whichever side it was on; no body is left behind."""
    async with opened(path) as store:
        for key, old_at, new_at in (("a", 2, 1), ("b", 1, 2)):
            store.put("key", key, entry("old", NOW_S - 9 + old_at))
            store.put("org", key, entry("new", NOW_S - 9 + new_at))
        await store.flush()
        await adopt(store)
        assert [found.body for key in "ab" if (found := await store.get("org", key))] == [b"old", b"new"]
        assert store.sizes.entries == 2
    async with opened(path) as store:
        assert store.sizes.entries == 2
    assert fetch(path, "SELECT count(*) FROM bodies") == [(2,)]
    assert fetch(path, "SELECT name FROM namespaces") == [("org",)]


async def test_what_is_not_unicode_is_not_adopted(path: Path) -> None:
    """A lone surrogate, which no file can hold, is refused, since it would fail again and again."""
    async with opened(path) as store:
        store.put("key", "a", entry())
        await store.adopt("u", "f", "\ud800", old_namespace="key", new_namespace="org")
        assert await store.organization_of("u", "f") is None
        assert await store.get("key", "a") is not None
        assert (store.health, store.counters.errors) == (None, 0)


async def test_a_name_for_itself(path: Path) -> None:
    """Adopting into the same namespace remembers the organization and moves nothing."""
    async with opened(path) as store:
        store.put("org", "a", entry())
        await adopt(store, "org", "org")
        assert await store.get("org", "a") is not None
        assert await store.organization_of("u", "f") == "o"


async def test_a_damaged_row_is_not_healed_by_moving(path: Path) -> None:
    """A row that does not match its checksum is not given a new one that it matches."""
    async with opened(path) as store:
        store.put("key", "a", entry())
        store.put("key", "b", entry())
    edit(path, "UPDATE entries SET sent_at_s = sent_at_s - 1 WHERE key = 'a'")
    async with opened(path) as store:
        await adopt(store)
        assert await store.get("org", "a") is None
        assert await store.get("org", "b") is not None
        assert store.sizes.entries == 1


async def test_other_namespaces_stay(path: Path) -> None:
    """What is put under the old name afterwards, and what lies under any other, is not moved."""
    async with opened(path) as store:
        store.put("other", "a", entry())
        await adopt(store)
        store.put("key", "a", entry())
        await store.flush()
        assert await store.get("key", "a") is not None
        assert await store.get("other", "a") is not None
        assert await store.get("org", "a") is None


@pytest.mark.skipif(sys.platform != "linux", reason="only there a process can look at its own files")
@pytest.mark.parametrize("deed", ["adopt", "purge"])
async def test_nothing_is_written_elsewhere(path: Path, deed: str) -> None:
    """What moves or marks many entries needs no other directory, which could be full or read-only."""
    async with opened(path, max_bytes=256 * MIB) as store:
        for number in range(10_000):
            store.put("key", f"/{number}", entry("x", NOW_S - 1))
        await store.flush()
        elsewhere: set[str] = set()

        async def look() -> None:
            while True:
                for link in Path("/proc/self/fd").iterdir():
                    with suppress(OSError):
                        elsewhere.update([str(link.readlink())] if "etilqs" in str(link.readlink()) else [])
                await asyncio.sleep(0)

        looking = asyncio.create_task(look())
        if deed == "adopt":
            await adopt(store)
        else:
            assert await store.purge(Purge(at_s=NOW_S, soft=True))
        looking.cancel()
        assert not elsewhere
        for key in ("/0", "/999", "/1000", "/9999"):
            found = await store.get("org" if deed == "adopt" else "key", key)
            assert found is not None
            assert found.purged == (deed == "purge")
