"""The file is given to a process that takes over: nothing that was put is lost, and it can be taken back."""

import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from proxy.core.freshness.entry import tombstone
from proxy.core.freshness.purge import Purge
from proxy.errors import StoreError
from proxy.store import SqliteStore
from proxy.store.sqlite.batch import Batch
from tests.store.support import (
    NOW_S,
    ManualClock,
    connection_threads,
    database,
    entry,
    keeper,
    locked,
    noise,
    opened,
    same,
    stuck,
    until,
    writer,
)


class Heir:
    """Who has the file now; `gone` if nobody is there any more. While `free` is not set it is busy."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.gone = False
        self.asked = asyncio.Event()
        self.free = asyncio.Event()
        self.free.set()

    async def write(self, batch: Batch, *, now_s: float) -> int:
        assert now_s
        self.asked.set()
        await self.free.wait()
        if self.gone:
            raise ConnectionError("gone")
        self.batches.append(batch)
        return 0

    @property
    def keys(self) -> set[str]:
        return {row.key for batch in self.batches for row in batch.rows}


async def test_what_waits_is_written_first(path: Path) -> None:
    """Then another store may open the file, and finds it there."""
    async with opened(path) as old:
        old.put("ns", "key", entry("body"))
        assert await old.give()
        assert old.is_given
        assert old.health is None
        async with opened(path) as new:
            assert same(await new.get("ns", "key"), entry("body"))
        assert await old.get("ns", "key") is None


async def test_what_is_put_later_goes_to_the_heir(path: Path) -> None:
    """It waits until there is one, can be read meanwhile, and is never lost: entries, what is gone, adoptions and purges."""
    heir = Heir()
    async with opened(path) as old:
        await old.give()
        old.put("ns", "/key", entry("body"))
        old.put("ns", "/gone", tombstone(NOW_S))
        assert not await old.purge(Purge(at_s=NOW_S - 100))
        await old.adopt("u", "f", "o", old_namespace="a", new_namespace="b")
        assert same(await old.get("ns", "/key"), entry("body"))
        assert not heir.batches
        old.inherit(heir)
        await old.flush()
        (batch,) = heir.batches
        assert heir.keys == {"/key"}
        assert batch.superseded == [("ns", "/gone", NOW_S)]
        assert [purge.at_s for purge in batch.purges] == [NOW_S - 100]
        assert len(batch.adoptions) == 1
        assert await old.purge(Purge(at_s=NOW_S - 99))
        old.put("ns", "last", entry())
    assert "last" in heir.keys


async def test_more_than_a_batch_goes_to_the_heir(path: Path) -> None:
    """Each in a batch of its own, if need be."""
    heir = Heir()
    async with opened(path, max_bytes=1 << 20) as old:
        await old.give()
        for number in range(8):
            old.put("ns", str(number), entry(noise(60_000, number)))
        old.inherit(heir)
        await old.flush()
        assert len(heir.batches) > 1
        assert heir.keys == {str(number) for number in range(8)}


async def test_the_heir_goes(path: Path) -> None:
    """What it didn't take waits for the file, and is written once that is taken back."""
    heir = Heir()
    async with opened(path) as old:
        await old.give()
        old.inherit(heir)
        heir.gone = True
        old.put("ns", "key", entry("body"))
        assert not await old.purge(Purge(at_s=NOW_S - 100))
        await old.flush()
        old.take_back()
        await until(lambda: old.health is None and old.accepts_writes)
        await old.flush()
        assert old.counters.writes == 1
    async with opened(path) as new:
        assert same(await new.get("ns", "key"), entry("body"))


async def test_taken_back_while_it_is_in_use(path: Path, clock: ManualClock) -> None:
    """It is looked at each second whether the file is free, however often; a purge waits for it."""
    async with opened(path) as old:
        await old.flush()
    async with opened(path) as other, opened(path, clock, waits=True) as late:
        other.put("ns", "/key", entry("body"))
        await other.flush()
        for _ in range(5):
            assert "is in use by another pluto-proxy" in (late.health or "")
            assert not await late.purge(Purge(at_s=NOW_S + 1))
            clock.passed_s += 1
            await late.flush()
        await other.aclose()
        clock.passed_s += 1
        await late.flush()
        assert late.health is None
        assert await late.get("ns", "/key") is None


async def test_who_does_not_wait_is_refused(path: Path, clock: ManualClock) -> None:
    """Waiting is for a process that takes over. And one that waits is refused all the same for another reason."""
    async with opened(path):
        with pytest.raises(StoreError):
            await SqliteStore(path, max_bytes=1 << 20, clock=clock).open()
    path.unlink()
    for companion in path.parent.glob(f"{path.name}-*"):
        companion.unlink()
    path.mkdir()
    with pytest.raises(StoreError):
        await SqliteStore(path, max_bytes=1 << 20, clock=clock, waits=True).open()


async def test_what_cannot_be_written_any_more_goes_to_the_heir(path: Path) -> None:
    """Another program has locked the file: it is given all the same, and the heir writes what could not be."""
    heir = Heir()
    async with opened(path) as old:
        await old.flush()
        with capture_logs() as logs:
            async with locked(path):
                old.put("ns", "key", entry())
                assert await old.give()
        assert any(line["event"] == "store.failed" and line["kind"] == "giving" for line in logs)
        old.inherit(heir)
        await old.flush()
        assert heir.keys == {"key"}


async def test_it_ends_while_nobody_has_inherited(path: Path) -> None:
    """It ends at once; the lock is free."""
    async with opened(path) as old:
        await old.give()
        old.put("ns", "key", entry())
    async with opened(path) as new:
        assert await new.get("ns", "key") is None


async def all_written(path: Path, *keys: str) -> None:
    """All these keys are in the file."""
    async with opened(path) as store:
        assert [key for key in keys if not same(await store.get("ns", key), entry(key))] == []


async def test_taken_back_while_it_writes_what_waits(path: Path) -> None:
    """It is written to its end, the file is closed and opened again; what is put at any moment is there afterwards."""
    async with opened(path) as old:
        before = database(old)
        async with stuck(writer(old)):
            old.put("ns", "before", entry("before"))
            giving = asyncio.create_task(old.give())
            await until(lambda: old.health is None and not old.is_given and keeper(old).given)
            old.put("ns", "meanwhile", entry("meanwhile"))
            old.take_back()
            old.put("ns", "after", entry("after"))
            for key in ("before", "meanwhile", "after"):
                assert same(await old.get("ns", key), entry(key))
        assert not await giving, "nobody else may use the file"
        assert not old.is_given
        await old.flush()
        assert old.health is None
        assert keeper(old).database is not None
        assert (old.counters.dropped, old.sizes.entries) == (0, 3)
        with pytest.raises(StoreError, match="in use"):
            async with opened(path):
                pass
    assert before is not None
    await all_written(path, "before", "meanwhile", "after")


@pytest.mark.parametrize("connection", ["_writer", "_reader"])
async def test_taken_back_while_it_is_closed(path: Path, monkeypatch: pytest.MonkeyPatch, connection: str) -> None:
    """The disk does not answer: the file is opened anew beside what is still being closed, and keeps its lock."""
    monkeypatch.setattr("proxy.store.sqlite.connections.CLOSE_TIMEOUT_S", 0.05)
    async with opened(path) as old:
        old.put("ns", "before", entry("before"))
        await old.flush()
        async with stuck(getattr(database(old), connection)):
            giving = asyncio.create_task(old.give())
            await until(lambda: keeper(old).database is None)
            old.put("ns", "meanwhile", entry("meanwhile"))
            old.take_back()
            old.put("ns", "after", entry("after"))
            assert not await giving
            await until(lambda: keeper(old).database is not None)
        await until(lambda: len(connection_threads()) == 2)
        await old.flush()
        assert (old.health, old.counters.dropped, old.sizes.entries) == (None, 0, 3)
        with pytest.raises(StoreError, match="in use"):
            async with opened(path):
                pass
    await all_written(path, "before", "meanwhile", "after")


@pytest.mark.parametrize("connection", ["_writer", "_reader"])
async def test_closed_late(path: Path, monkeypatch: pytest.MonkeyPatch, connection: str) -> None:
    """Nobody gets the file while this process may still write to it, though it ends; everybody does once it was closed."""
    monkeypatch.setattr("proxy.store.sqlite.connections.CLOSE_TIMEOUT_S", 0.05)
    async with opened(path) as old:
        async with stuck(getattr(database(old), connection)):
            assert not await old.give()
            for _ in range(2):
                with pytest.raises(StoreError, match="in use"):
                    async with opened(path):
                        pass
                await old.aclose()
        await until(lambda: old.is_given)
        async with opened(path) as new:
            assert new.health is None


@pytest.mark.parametrize("gone", [True, False], ids=["gone", "late"])
async def test_taken_back_while_the_heir_writes(path: Path, gone: bool) -> None:
    """The heir fails after the file was taken back, or answers late: nothing that waits is dropped."""
    heir = Heir()
    async with opened(path) as old:
        await old.give()
        old.inherit(heir)
        heir.free.clear()
        old.put("ns", "/handed", entry("/handed"))
        old.put("ns", "/gone", tombstone(NOW_S))
        purging = asyncio.create_task(old.purge(Purge(at_s=NOW_S - 100)))
        await heir.asked.wait()
        old.put("ns", "/meanwhile", entry("/meanwhile"))
        heir.gone = gone
        old.take_back()
        old.put("ns", "/after", entry("/after"))
        heir.free.set()
        await purging
        await old.flush()
        assert (old.health, old.counters.dropped) == (None, 0)
        assert [key for key in ("/handed", "/meanwhile", "/after") if await old.get("ns", key) is None] == (
            [] if gone else ["/handed"]
        )
    await all_written(path, *(["/handed"] if gone else []), "/meanwhile", "/after")


async def test_taken_back_from_who_still_has_it(path: Path, clock: ManualClock) -> None:
    """What waits goes on waiting until the file is free; another fault is dealt with as ever."""
    async with opened(path, clock) as old:
        await old.give()
        old.put("ns", "given", entry("given"))
        async with opened(path, clock):
            old.take_back()
            for key in ("in use", "still"):
                old.put("ns", key, entry(key))
                await old.flush()
                assert "is in use by another pluto-proxy" in (old.health or "")
                assert old.accepts_writes
                clock.advance(1)
        clock.advance(1)
        await old.flush()
        assert (old.health, old.counters.dropped, old.sizes.entries) == (None, 0, 3)
        async with locked(path):
            old.put("ns", "locked", entry("locked"))
            await old.flush()
            assert not old.accepts_writes
        assert old.counters.dropped == 1
    await all_written(path, "given", "in use", "still")


async def test_taken_back_after_another_fault(path: Path, clock: ManualClock) -> None:
    """It is opened at once, however long the next attempt was to be put off before it was given."""
    async with opened(path, clock) as old:
        async with locked(path):
            for _ in range(3):
                old.put("ns", "lost", entry())
                await old.flush()
                clock.advance(max(0.0, keeper(old).trouble.due_in_s()))
            await old.flush()
            assert keeper(old).trouble.due_in_s() > 0
            await old.give()
        dropped = old.counters.dropped
        old.put("ns", "kept", entry("kept"))
        old.take_back()
        await old.flush()
        assert (old.health, old.counters.dropped) == (None, dropped)
    await all_written(path, "kept")


async def test_taken_back_where_it_cannot_be_used(path: Path) -> None:
    """Nobody else has it: what waits is dropped, as whenever the file cannot be used."""
    async with opened(path) as old:
        await old.give()
        old.put("ns", "key", entry())
        path.unlink()
        path.mkdir()
        old.take_back()
        await old.flush()
        assert (old.accepts_writes, old.counters.dropped) == (False, 1)


async def test_lost_after_it_was_taken_back(path: Path, clock: ManualClock) -> None:
    """Once it was here again, another process that comes to have it is no heir: what is put is dropped."""
    async with opened(path, clock) as old:
        await old.give()
        old.take_back()
        await old.flush()
        Path(f"{path}.lock").unlink()
        async with opened(path, clock):
            clock.advance(1)
            old.put("ns", "key", entry())
            await old.flush()
            assert "is in use" in (old.health or "")
            assert (old.accepts_writes, old.counters.dropped) == (False, 1)
