"""The lock file taken away while the proxy runs: whoever has lost the right to the file lets go of it until it may have it."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from proxy.core.freshness.purge import Purge
from proxy.errors import StoreError
from proxy.store.sqlite.connections import run
from proxy.store.sqlite.files import FileLock, LockLostError
from tests.store.support import NOW_S, ManualClock, aside, database, entry, fetch, keeper, opened, same, until, writer


def lock_of(path: Path) -> Path:
    return Path(f"{path}.lock")


def removed(path: Path) -> None:
    lock_of(path).unlink()


def replaced(path: Path) -> None:
    other = path.with_name("other")
    other.touch(0o600)
    other.replace(lock_of(path))


def moved(path: Path) -> None:
    lock_of(path).rename(path.with_name("elsewhere"))


def copied_directory(path: Path) -> None:
    """The directory renamed, and a copy of it in its place."""
    elsewhere = path.parent.with_name("elsewhere")
    path.parent.rename(elsewhere)
    shutil.copytree(elsewhere, path.parent)
    path.parent.chmod(0o700)


DEEDS = [removed, replaced, moved, copied_directory]


@pytest.mark.parametrize("deed", DEEDS, ids=lambda deed: deed.__name__)
async def test_nobody_else_came(path: Path, clock: ManualClock, deed: Callable[[Path], None]) -> None:
    """The lock is taken anew within a second, and the file opened anew with all that it holds; the log says so."""
    async with opened(path, clock) as store:
        put = entry("kept")
        store.put("ns", "kept", put)
        await store.flush()
        before = database(store)
        deed(path)
        clock.advance(1)
        with capture_logs() as logs:
            await store.flush()
        assert database(store) is not before
        assert [line["event"] for line in logs] == ["store.failed", "store.recovered"]
        assert (store.health, store.counters.errors, store.counters.set_aside) == (None, 1, 0)
        assert same(await store.get("ns", "kept"), put)
        with pytest.raises(StoreError, match="in use by another pluto-proxy"):
            async with opened(path, clock):
                pass
    assert fetch(path, "PRAGMA integrity_check") == [("ok",)]


@pytest.mark.parametrize("deed", DEEDS, ids=lambda deed: deed.__name__)
async def test_another_came(path: Path, clock: ManualClock, deed: Callable[[Path], None]) -> None:
    """While a second proxy has the file the first neither reads nor writes it, and says so; afterwards it has it again."""
    async with opened(path, clock) as first:
        first.put("ns", "old", entry("old"))
        await first.flush()
        deed(path)
        async with opened(path, clock) as second:
            clock.advance(1)
            first.put("ns", "lost", entry("lost"))
            await first.flush()
            assert first.health == f"the cache file {path} is in use by another pluto-proxy; set cache.path to another file"
            assert first.counters.dropped == 1
            assert await first.get("ns", "old") is None
            assert same(await second.get("ns", "old"), entry("old"))
            assert await second.get("ns", "lost") is None
            assert not await first.purge(Purge(at_s=NOW_S - 1))
            put = entry("new")
            second.put("ns", "new", put)
            await second.flush()
            assert (second.health, second.counters.errors) == (None, 0)
            clock.advance(1)
            await first.flush()
            assert first.health is not None
        clock.advance(30)
        await first.flush()
        assert first.health is None
        assert same(await first.get("ns", "new"), put), "what the other wrote is known of"
        first.put("ns", "after", entry("after"))
        await first.flush()
        assert await first.get("ns", "after") is not None
        assert not aside(path)
    assert fetch(path, "PRAGMA integrity_check") == [("ok",)]


async def test_taken_away_from_both(path: Path, clock: ManualClock) -> None:
    """However often it is taken away, one of them has the file, and never the other as well."""
    async with opened(path, clock) as first:
        removed(path)
        async with opened(path, clock) as second:
            for _ in range(6):
                clock.advance(31)
                await first.flush()
                await second.flush()
                assert (first.health is None) != (second.health is None)
                removed(path)


@pytest.mark.parametrize("suffix", ["", ".lock"], ids=["file", "lock"])
async def test_noticed_though_nobody_asks(path: Path, clock: ManualClock, suffix: str) -> None:
    """A proxy that is idle looks as well: of a file that was deleted the space is free only when it is closed."""
    async with opened(path, clock) as store:
        Path(f"{path}{suffix}").unlink()
        clock.advance(1)
        await until(lambda: store.counters.errors == 1 and store.health is None)
        assert path.exists()
        assert lock_of(path).exists()


async def test_noticed_while_something_else_is_wrong(path: Path, clock: ManualClock) -> None:
    """A file that cannot be written is read on only as long as it is nobody else's."""
    async with opened(path, clock) as first:
        first.put("ns", "key", entry())
        await first.flush()
        clock.advance(61)
        for _ in range(6):
            # Attempts become rare.
            await run(writer(first), "PRAGMA query_only = ON")
            first.put("ns", "other", entry())
            await first.flush()
            clock.advance(max(0.0, keeper(first).trouble.due_in_s()))
            await first.flush()
        assert keeper(first).trouble.due_in_s() > 10
        removed(path)
        async with opened(path, clock):
            clock.advance(1)
            await first.get("ns", "key")
            await first.flush()
            assert "another pluto-proxy" in (first.health or "")
            assert await first.get("ns", "key") is None


def test_a_lock_that_is_replaced_while_it_is_taken(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who locks a file that lies there no more has nothing: a second one could have the other."""
    path.parent.mkdir()
    first, second = FileLock(path), FileLock(path)
    opening = os.open

    def open_and_lose(*given: object, **named: object) -> int:
        descriptor = opening(*given, **named)  # type: ignore[arg-type]  # as it was called
        monkeypatch.undo()
        lock_of(path).unlink()
        second.acquire()
        return descriptor

    monkeypatch.setattr("proxy.store.sqlite.files.os.open", open_and_lose)
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(LockLostError):
        first.acquire()
    assert len(list(Path("/proc/self/fd").iterdir())) == before + 1
    with pytest.raises(StoreError):
        first.acquire()
    second.check()
    second.release()
    with pytest.raises(LockLostError):
        second.check()
    first.acquire()
    first.release()
