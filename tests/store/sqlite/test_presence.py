"""What the file doesn't hold is known without asking the disk, and never of anything that it does hold."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.freshness.purge import Purge
from proxy.store import SqliteStore
from proxy.store.sqlite import presence as module
from proxy.store.sqlite import quota
from proxy.store.sqlite.batch import Batch
from proxy.store.sqlite.connections import run
from proxy.store.sqlite.presence import BloomFilter
from proxy.store.sqlite.reads import READ_TIMEOUT_S
from tests.store.support import (
    MIB,
    NOW_S,
    ManualClock,
    connection_threads,
    database,
    edit,
    entry,
    learning,
    noise,
    opened,
    presence,
    reader,
    same,
    until,
)

HELD = "SELECT n.name, e.key FROM entries AS e JOIN namespaces AS n ON n.id = e.namespace_id"


async def learned(store: SqliteStore) -> None:
    await until(lambda: presence(store).is_complete)


def asks_nothing(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on every look into the file fails the test."""

    async def read(_namespace: str, key: str) -> None:
        pytest.fail(f"the disk was asked for {key}")

    monkeypatch.setattr(database(store), "read", read)


@given(st.lists(st.tuples(st.text(), st.text(st.characters())), max_size=50), st.integers(0, 1_000))
def test_whatever_was_added_is_found(places: list[tuple[str, str]], most: int) -> None:
    """However full it is, and whatever the texts are."""
    known = BloomFilter(most)
    known.add(places)
    assert all(place in known for place in places)
    assert known.added == len(places)


def test_hardly_anything_else_is_found() -> None:
    """As full as expected, one of 200 at most is looked for in vain; an empty one finds nothing."""
    known = BloomFilter(10_000)
    others = [("ns", f"/api/runs/metrics?runId=1&logName={number}") for number in range(20_000)]
    assert not any(place in known for place in others)
    known.add(("ns", f"/api/runs/metrics?runId=2&logName={number}") for number in range(10_000))
    assert sum(place in known for place in others) < len(others) / 200


def test_who_reads_waits_for_few_keys_of_a_slow_disk() -> None:
    """A disk that has to seek is asked for few keys at a time, a quick one for many."""
    rows = module.LEAST_ROWS
    for _ in range(20):
        rows = module.next_page_rows(rows, rows * 1e-6)
    assert rows == module.MOST_ROWS
    for _ in range(20):
        rows = module.next_page_rows(rows, rows * 8e-3)
    assert rows == module.LEAST_ROWS
    assert module.next_page_rows(100, 0.005) == 100


async def test_a_question_nobody_asked_before_asks_no_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither of a new file nor of one that was there; what is there is found as ever."""
    put = entry()
    async with opened(path) as store:
        await learned(store)
        store.put("ns", "key", put)
        await store.flush()
        assert same(await store.get("ns", "key"), put)
    async with opened(path) as store:
        await learned(store)
        assert same(await store.get("ns", "key"), put)
        asks_nothing(store, monkeypatch)
        assert await store.get("ns", "other") is None
        assert await store.get("other", "key") is None
        assert store.health is None


@pytest.mark.parametrize("rows", [1, 7, 500])
async def test_nothing_is_missed_while_it_is_learned(path: Path, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the first moment on all that was there is found, and what is written, moved or begun anew meanwhile."""
    monkeypatch.setattr(module, "LEAST_ROWS", rows)
    monkeypatch.setattr(module, "MOST_ROWS", rows)
    going_on = asyncio.Event()

    async def held(*arguments: Any) -> Any:
        await going_on.wait()
        return await run(*arguments)

    monkeypatch.setattr(module, "run", held)
    puts = {f"key {number}": entry(str(number)) for number in range(40)}
    async with opened(path) as store:
        for key, put in puts.items():
            store.put("key", key, put)
    async with opened(path) as store:
        assert not presence(store).is_complete
        going_on.set()
        for number, (key, put) in enumerate(puts.items()):
            assert same(await store.get("key" if number < 20 else "org", key), put)
            store.put("org", f"more {number}", put)
            if number == 19:
                going_on.clear()
                await store.adopt("u", "f", "o", old_namespace="key", new_namespace="org")
                assert not presence(store).is_complete
                going_on.set()
        await store.flush()
        await learned(store)
        for number, (key, put) in enumerate(puts.items()):
            assert same(await store.get("org", key), put)
            assert same(await store.get("org", f"more {number}"), put)


async def test_what_moves_is_found_where_it_is(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An adoption makes it learn anew; one that moves nothing doesn't."""
    put = entry()
    async with opened(path) as store:
        store.put("key", "a", put)
        await store.flush()
        await learned(store)
        await store.adopt("u", "f", "o", old_namespace="org", new_namespace="org")
        assert presence(store).is_complete
        await store.adopt("u", "f", "o", old_namespace="key", new_namespace="org")
        assert same(await store.get("org", "a"), put)
        await learned(store)
        assert same(await store.get("org", "a"), put)
        asks_nothing(store, monkeypatch)
        assert await store.get("key", "a") is None


async def test_nothing_is_denied_while_it_moves(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the moment at which the file has moved it and that at which we are told, too."""
    async with opened(path) as store:
        store.put("key", "a", entry())
        await store.flush()
        await learned(store)
        held = database(store)
        write, denied = held._write, []  # noqa: SLF001 -- what comes in between cannot be seen from outside

        async def noted(batch: Batch, *, now_s: float) -> int:
            evicted = await write(batch, now_s=now_s)
            denied.append(not held.may_hold("org", "a"))
            await asyncio.sleep(0.05)
            denied.append(not held.may_hold("org", "a"))
            return evicted

        monkeypatch.setattr(held, "_write", noted)
        await store.adopt("u", "f", "o", old_namespace="key", new_namespace="org")
        assert denied == [False, False]


async def test_what_is_written_while_all_is_learned_anew(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch that sets it off is known however long it takes to be written."""
    async with opened(path) as store:
        await learned(store)
        held = database(store)
        write = held._write  # noqa: SLF001 -- as above
        presence(store)._max_keys = 0  # noqa: SLF001 -- so that the next batch sets it off

        async def late(batch: Batch, *, now_s: float) -> int:
            assert not presence(store).is_complete
            await learned(store)
            return await write(batch, now_s=now_s)

        monkeypatch.setattr(held, "_write", late)
        put = entry()
        store.put("ns", "key", put)
        await store.flush()
        assert presence(store).is_complete
        assert same(await store.get("ns", "key"), put)


async def test_what_was_thrown_out_is_forgotten_in_time(path: Path, clock: ManualClock) -> None:
    """After as many writes as the file has room for all is learned anew, so that it doesn't fill up with what is gone."""
    async with opened(path, clock, max_bytes=MIB * 4 // 3) as store:
        await learned(store)
        known = presence(store)._filter  # noqa: SLF001 -- whether there is another one shows nowhere else
        most = MIB // quota.ROW_BYTES
        for number in range(most + 1):
            store.put("ns", f"{number}", entry(noise(8_000, number)))
            if number % 20 == 0:
                await store.flush()
        await store.flush()
        await learned(store)
        assert presence(store)._filter is not known  # noqa: SLF001 -- as above
        held = await run(reader(store), HELD)
        assert 0 < len(held) < most
        assert all([await store.get(*place) is not None for place in held])
        assert known.added > most
        assert not database(store).may_hold("ns", "0")


async def test_a_key_that_cannot_be_read_is_no_obstacle(path: Path) -> None:
    """In a damaged file a key may be anything: the others are found, and nothing is said of what wasn't gone through."""
    puts = {key: entry(key) for key in "abc"}
    async with opened(path) as store:
        for key, put in puts.items():
            store.put("ns", key, put)
    edit(path, "UPDATE entries SET key = x'00ff' WHERE key = 'b'")
    async with opened(path) as store:
        await learned(store)
        assert [same(await store.get("ns", key), put) for key, put in puts.items()] == [True, False, True]
    edit(path, "UPDATE entries SET key = CAST(x'ff' AS TEXT) WHERE key = x'00ff'")
    async with opened(path) as store:
        await learned(store)
        assert [same(await store.get("ns", key), put) for key, put in puts.items()] == [True, False, True]


async def test_closing_ends_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is closed while its keys are gone through leaves nothing behind."""
    monkeypatch.setattr(module, "LEAST_ROWS", 1)
    monkeypatch.setattr(module, "MOST_ROWS", 1)
    async with opened(path) as store:
        for number in range(50):
            store.put("ns", str(number), entry())
    async with opened(path) as store:
        task = learning(store)
    assert task.cancelled()


_NAMES = st.sampled_from(["a", "b", "c"])
_KEYS = st.sampled_from(["/x?projectName=p&runId=1", "/x?projectName=p&runId=2", "", "a\0b", "é", "\N{BOM}"])
_STEPS = st.one_of(
    st.tuples(st.just("put"), _NAMES, _KEYS, st.integers(0, 3_000)),
    st.tuples(st.just("gone"), _NAMES, _KEYS, st.just(0)),
    st.tuples(st.just("adopt"), _NAMES, _NAMES, st.just(0)),
    st.tuples(st.sampled_from(["purge", "reopen", "learn", "flush", "wait"]), _NAMES, _KEYS, st.just(0)),
)


@settings(max_examples=40)
@given(st.lists(_STEPS, max_size=30))
def test_nothing_that_is_held_is_ever_denied(steps: list[tuple[str, str, str, int]]) -> None:
    """Whatever is put, moved, purged, and whenever the file is closed or gone through."""
    asyncio.run(_never_denied(steps))


async def _never_denied(steps: list[tuple[str, str, str, int]]) -> None:
    clock = ManualClock()
    with TemporaryDirectory() as folder:
        path = Path(folder) / "cache" / "answers.sqlite"
        async with AsyncExitStack() as stack:
            store = await stack.enter_async_context(opened(path, clock))
            for step, name, key, number in steps:
                clock.advance(1)
                match step:
                    case "put":
                        store.put(name, key, entry(noise(number), clock.now_s()))
                    case "gone":
                        store.put(name, key, entry(sent_at_s=clock.now_s(), status=404))
                    case "adopt":
                        await store.adopt("u", "f", "o", old_namespace=name, new_namespace=key)
                    case "purge":
                        await store.purge(Purge(at_s=NOW_S, project="p", run="1"))
                    case "reopen":
                        await stack.aclose()
                        store = await stack.enter_async_context(opened(path, clock))
                    case "learn":
                        await learned(store)
                    case "flush":
                        await store.flush()
                    case _:
                        await asyncio.sleep(0.001)
                await _check(store)
            await learned(store)
            await store.flush()
            await _check(store)


async def _check(store: SqliteStore) -> None:
    places = await run(reader(store), HELD)
    assert all(database(store).may_hold(name, key) for name, key in places)


async def test_what_may_be_stored_costs_little_memory(path: Path) -> None:
    """A quota that will never be reached, "all there is", takes neither the memory nor the event loop's time."""
    async with opened(path, max_bytes=2**40) as store:
        await until(lambda: presence(store).is_complete)
        assert len(presence(store)._filter._bits) <= 32 * MIB  # noqa: SLF001 -- the memory that it takes shows nowhere else


async def test_a_quota_beyond_all_measure(path: Path) -> None:
    """It opens, and leaves no connection behind."""
    async with opened(path, max_bytes=2**60) as store:
        assert store.health is None
    for thread in connection_threads():
        thread.join(10)
    assert not connection_threads()


def test_a_few_keys_are_read_at_a_time() -> None:
    """After a part of the file that is in memory, one that isn't: the disk has to seek each page (8 ms)."""
    rows = module.LEAST_ROWS
    for _ in range(20):
        rows = module.next_page_rows(rows, rows * 1e-6)
    # About 15 keys are in a page.
    assert rows / 15 * 8e-3 < READ_TIMEOUT_S
