"""The file is given to a process that takes over: nothing that was put is lost, and it can be taken back."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from proxy.core.freshness.entry import tombstone
from proxy.core.freshness.purge import Purge
from proxy.errors import StoreError
from proxy.store import SqliteStore
from proxy.store.sqlite.batch import Batch
from tests.store.support import NOW_S, ManualClock, entry, locked, noise, opened, same, until


class Heir:
    """Who has the file now; `gone` if nobody is there any more."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.gone = False

    async def write(self, batch: Batch, *, now_s: float) -> int:
        assert now_s
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
