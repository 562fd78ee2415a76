"""A disk that does not answer: reads are misses in bounded time, nothing piles up, and nothing is lost that was not dropped."""

import asyncio
import threading
from pathlib import Path
from unittest.mock import patch

import pytest

from proxy.errors import StoreError
from proxy.store import UnreadError
from proxy.store.sqlite import schema
from tests.store.support import (
    ManualClock,
    connection_threads,
    database,
    entry,
    keeper,
    opened,
    reader,
    same,
    stuck,
    until,
    writer,
)


async def test_a_slow_read_is_a_miss(path: Path, clock: ManualClock) -> None:
    """A read is waited for as long as it may take; the next ones not at all until the disk has answered."""
    async with opened(path, clock, read_timeout_s=0.05) as store:
        put = entry()
        store.put("ns", "key", put)
        await store.flush()
        reading = reader(store)
        async with stuck(reading):
            assert await store.get("ns", "key") is None
            assert store.health == f"reading the cache file {path} takes longer than 0.05 s"
            for _ in range(1000):
                assert await store.get("ns", "key") is None
            assert reading._tx.qsize() <= 2  # noqa: SLF001 -- the library tells nobody how much it is behind with
            with pytest.raises(UnreadError):
                await store.organization_of("u", "f")
        await until(lambda: store.health is None)
        assert same(await store.get("ns", "key"), put)
        assert store.counters.errors >= 1


async def test_what_waits_for_other_reads_is_not_late(path: Path, clock: ManualClock) -> None:
    """The time counts from when the disk's turn has come: very many reads at once all find what is there.

    All together take twice as long as one may.
    """
    async with opened(path, clock, read_timeout_s=0.6) as store:
        for number in range(60):
            store.put("ns", str(number), entry(str(number)))
        await store.flush()
        await reader(store).create_function("slowly", 1, lambda value: threading.Event().wait(0.02) or value)
        with patch.object(schema, "SELECT_ENTRY", schema.SELECT_ENTRY.replace("e.sent_at_s", "slowly(e.sent_at_s)")):
            found = await asyncio.gather(*(store.get("ns", str(number)) for number in range(60)))
        assert None not in found
        assert store.counters.unread == 0


def test_a_process_that_is_busy_itself(path: Path, clock: ManualClock) -> None:
    """Where other work takes the event loop's time, the disk is late only once the loop could have noticed its answer."""

    async def hog() -> None:
        while True:
            threading.Event().wait(0.15)
            await asyncio.sleep(0)

    async def look() -> None:
        async with opened(path, clock, read_timeout_s=0.1) as store:
            store.put("ns", "key", entry())
            await store.flush()
            hogging = asyncio.create_task(hog())
            await asyncio.sleep(0)
            assert await store.get("ns", "key") is not None
            hogging.cancel()

    # The tests' own loop never lets time pass while it is busy.
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        runner.run(look())


async def test_not_there_is_told_from_not_read(path: Path, clock: ManualClock) -> None:
    """What could not be read is counted; what isn't there is not."""
    async with opened(path, clock, read_timeout_s=0.05) as store:
        store.put("ns", "key", entry())
        await store.flush()
        assert await store.get("ns", "another") is None
        assert store.counters.unread == 0
        async with stuck(reader(store)):
            assert await asyncio.gather(*(store.get("ns", "key") for _ in range(20))) == [None] * 20
        assert store.counters.unread == 20


async def test_what_waits_is_read_from_memory(path: Path, clock: ManualClock) -> None:
    """While writing takes its time, what was put is found all the same; more than can wait is dropped, the oldest first."""
    async with opened(path, clock, pending_bytes=4 * entry().size_bytes) as store:
        async with stuck(writer(store)):
            for key in "abcdefgh":
                store.put("ns", key, entry(key * 2))
            found = [await store.get("ns", key) for key in "abcdefgh"]
        assert [had is not None for had in found] == [False] * 4 + [True] * 4
        await store.flush()
        assert store.counters.dropped == 4
        assert store.sizes.entries == 4


async def test_a_cancelled_read_harms_nothing(path: Path, clock: ManualClock) -> None:
    """Requests that go away while they read leave a connection that reads on."""
    async with opened(path, clock) as store:
        put = entry()
        store.put("ns", "key", put)
        await store.flush()
        async with stuck(reader(store)):
            reads = [asyncio.create_task(store.get("ns", "key")) for _ in range(10)]
            await asyncio.sleep(0)
            for read in reads[:9]:
                read.cancel()
            assert (
                sum(isinstance(r, asyncio.CancelledError) for r in await asyncio.gather(*reads[:9], return_exceptions=True))
                == 9
            )
        assert same(await reads[9], put)
        assert same(await store.get("ns", "key"), put)
        assert store.counters.errors == 0


@pytest.mark.parametrize("connection", ["_writer", "_reader"])
async def test_closing_does_not_wait_for_ever(
    path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, connection: str
) -> None:
    """A disk that does not answer does not keep the service from stopping; nobody else gets the file until it has answered."""
    monkeypatch.setattr("proxy.store.sqlite.keeper.STOP_TIMEOUT_S", 0.05)
    monkeypatch.setattr("proxy.store.sqlite.connections.CLOSE_TIMEOUT_S", 0.05)
    async with opened(path, clock, read_timeout_s=0.05) as store:
        async with stuck(getattr(database(store), connection)):
            store.put("ns", "key", entry())
            await store.get("ns", "key")
            await store.aclose()
            assert store.counters.dropped == (connection == "_writer")
            assert await store.get("ns", "key") is None
            with pytest.raises(StoreError, match="in use"):
                async with opened(path, clock):
                    pass
        await until(lambda: not connection_threads())
        async with opened(path, clock) as other:
            assert other.health is None


async def test_opening_does_not_wait_for_ever(path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that does not answer at the start lets the service start without it, and is used once it answers."""
    monkeypatch.setattr("proxy.store.sqlite.keeper.START_TIMEOUT_S", 0.05)
    gate = threading.Event()
    monkeypatch.setattr("proxy.store.sqlite.files.reason_against", lambda _path: gate.wait(30) and None)
    path.parent.mkdir(mode=0o700)
    path.touch()
    async with opened(path, clock) as store:
        assert store.health == f"the cache file {path} is not open"
        assert await store.get("ns", "key") is None
        gate.set()
        await until(lambda: store.health is None)
        store.put("ns", "key", entry())
        await store.flush()
        assert await store.get("ns", "key") is not None


async def test_opened_late(path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody gets the file while a store that was closed is still opening it; afterwards it is free, and open nowhere."""
    monkeypatch.setattr("proxy.store.sqlite.keeper.START_TIMEOUT_S", 0.05)
    monkeypatch.setattr("proxy.store.sqlite.keeper.STOP_TIMEOUT_S", 0.05)
    gate = threading.Event()
    monkeypatch.setattr("proxy.store.sqlite.files.reason_against", lambda _path: gate.wait(30) and None)
    path.parent.mkdir(mode=0o700)
    path.touch()
    async with opened(path, clock) as late:
        await late.aclose()
        with pytest.raises(StoreError, match="in use"):
            async with opened(path, clock):
                pass
        gate.set()
        await until(lambda: path.stat().st_size > 0 and not connection_threads())
        assert keeper(late).database is None
        async with opened(path, clock) as other:
            await until(lambda: other.health is None)  # its start may take longer than it waits for here


async def test_refused_after_a_slow_start(path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """What would have kept the service from starting is only said when it comes to light too late for that."""
    monkeypatch.setattr("proxy.store.sqlite.keeper.START_TIMEOUT_S", 0.0)
    path.parent.mkdir(mode=0o700)
    path.mkdir()
    async with opened(path, clock) as store:
        await until(lambda: store.health != f"the cache file {path} is not open")
        assert store.health == f"{path} is not a regular file; set cache.path to a file"


async def test_nothing_lingers(path: Path, clock: ManualClock) -> None:
    """After closing there is no thread and no task left."""
    async with opened(path, clock) as store:
        store.put("ns", "key", entry(b"x" * 300_000))
        await store.flush()
        assert len(connection_threads()) == 2
    for thread in connection_threads():
        # It has closed its connection, and only returns from there.
        thread.join(10)
    assert not connection_threads()
    assert asyncio.all_tasks() == {asyncio.current_task()}
