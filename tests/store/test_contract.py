"""What both stores promise, and that they agree with each other whatever is asked of them."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.freshness.entry import Entry
from proxy.store import MemoryStore, SqliteStore, Store
from proxy.store.sqlite import keeper
from tests.store.support import MIB, NOW_S, entry, noise, opened, same, until


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, path: Path) -> AsyncIterator[Store]:
    if request.param == "memory":
        yield MemoryStore(64 * MIB)
    else:
        async with opened(path) as sqlite:
            yield sqlite


async def flush(store: Store) -> None:
    if isinstance(store, SqliteStore):
        await store.flush()


@pytest.fixture(params=[False, True], ids=["pending", "flushed"])
def settle(request: pytest.FixtureRequest) -> bool:
    """Whether what is put reaches the file before it is read: it must make no difference."""
    return bool(request.param)


async def test_what_is_put_is_read_back(store: Store, settle: bool) -> None:
    """An entry comes back as it was put."""
    put = entry('{"metrics":[]}', sent_at_s=NOW_S - 0.25)
    store.put("ns", "key", put)
    if settle:
        await flush(store)
    assert same(await store.get("ns", "key"), put)


async def test_what_was_not_put_is_none(store: Store) -> None:
    """An unknown key is None."""
    assert await store.get("ns", "key") is None


@pytest.mark.parametrize("place", [("other", "key"), ("ns", "other"), ("n", "skey"), ("nskey", "")])
async def test_nothing_is_found_elsewhere(store: Store, settle: bool, place: tuple[str, str]) -> None:
    """Another namespace or key holds nothing, even where the two together spell the same."""
    store.put("ns", "key", entry())
    if settle:
        await flush(store)
    assert await store.get(*place) is None


async def test_older_never_replaces_newer(store: Store, settle: bool) -> None:
    """An entry that was sent earlier changes nothing, at any moment."""
    newer = entry("newer", sent_at_s=NOW_S)
    store.put("ns", "key", newer)
    if settle:
        await flush(store)
    store.put("ns", "key", entry("older", sent_at_s=NOW_S - 1e-3))
    assert same(await store.get("ns", "key"), newer)
    await flush(store)
    assert same(await store.get("ns", "key"), newer)


async def test_newer_replaces_older(store: Store, settle: bool) -> None:
    """An entry that was sent later, or at the same moment, takes the place."""
    store.put("ns", "key", entry("older", sent_at_s=NOW_S - 1))
    for text in ("newer", "as new"):
        if settle:
            await flush(store)
        put = entry(text, sent_at_s=NOW_S)
        store.put("ns", "key", put)
        assert same(await store.get("ns", "key"), put)
    await flush(store)
    assert same(await store.get("ns", "key"), put)


@pytest.mark.parametrize(("age_s", "stays"), [(1, False), (0, False), (-1, True)])
async def test_what_is_gone_upstream_goes(store: Store, settle: bool, age_s: float, stays: bool) -> None:
    """An entry of another status is never handed out, and takes with it what was sent before; what was sent later stays."""
    put = entry(sent_at_s=NOW_S - 5 - age_s)
    store.put("ns", "key", put)
    store.put("ns", "other", put)
    if settle:
        await flush(store)
    store.put("ns", "key", entry("", sent_at_s=NOW_S - 5, status=404))
    assert same(await store.get("ns", "key"), put) is stays
    await flush(store)
    assert same(await store.get("ns", "key"), put) is stays
    assert same(await store.get("ns", "other"), put)


async def test_what_is_gone_can_come_back(store: Store, settle: bool) -> None:
    """After that a newer entry is kept as ever."""
    store.put("ns", "key", entry("", status=404, sent_at_s=NOW_S - 1))
    if settle:
        await flush(store)
    put = entry()
    store.put("ns", "key", put)
    assert same(await store.get("ns", "key"), put)
    await flush(store)
    assert same(await store.get("ns", "key"), put)


@pytest.mark.parametrize("size", [0, 1, 300_000, 2_000_000])
async def test_any_size(store: Store, settle: bool, size: int) -> None:
    """Empty bodies and large ones come back whole."""
    put = entry(noise(size))
    store.put("ns", "key", put)
    if settle:
        await flush(store)
    assert same(await store.get("ns", "key"), put)


@pytest.mark.parametrize("text", ["", "\0", "a\0b", "é" * 300, "'; DROP TABLE entries --", "\N{BOM}", "x" * 20_000])
async def test_any_text_is_a_key(store: Store, settle: bool, text: str) -> None:
    """Any text names a place, and only its own."""
    put = entry()
    store.put(text, text, put)
    if settle:
        await flush(store)
    assert same(await store.get(text, text), put)
    assert await store.get(text, text + "\0") is None


@pytest.mark.parametrize("unfit", [("ns", "\ud800"), ("\udfff", "key")])
async def test_a_key_that_is_not_unicode_raises_nothing(store: Store, unfit: tuple[str, str]) -> None:
    """A lone surrogate cannot be stored in a file; the others of its batch are."""
    store.put(*unfit, entry())
    store.put(unfit[0] + "x", unfit[1] + "x", entry(status=404))
    store.put("ns", "key", entry())
    await flush(store)
    await store.get(*unfit)
    await flush(store)
    assert await store.get("ns", "key") is not None
    if isinstance(store, SqliteStore):
        assert (store.health, store.counters.errors, store.counters.dropped) == (None, 0, 2)
        assert await store.organization_of(*unfit) is None


@pytest.mark.parametrize("sent_at_s", [float("nan"), float("inf"), -0.0])
async def test_odd_times_raise_nothing(store: Store, sent_at_s: float) -> None:
    """A time that is not a number may lose its entry, and nothing else."""
    store.put("ns", "odd", entry(sent_at_s=sent_at_s))
    store.put("ns", "key", entry())
    await flush(store)
    await store.get("ns", "odd")
    assert await store.get("ns", "key") is not None


async def test_closing_twice_is_closing(store: Store) -> None:
    """aclose() may be called again; then the store is empty, and still raises nothing."""
    store.put("ns", "key", entry())
    await store.aclose()
    await store.aclose()
    assert await store.get("ns", "key") is None
    if isinstance(store, SqliteStore):
        store.put("ns", "key", entry())
        await flush(store)
        assert await store.get("ns", "key") is None


places = st.tuples(st.sampled_from(["a", "b", "c"]), st.sampled_from(["k", "l"]))
puts = st.tuples(st.just("put"), places, st.integers(-1000, 0), st.binary(max_size=4))
renames = st.tuples(st.just("rename"), st.sampled_from(["a", "b", "c"]), st.sampled_from(["a", "b", "c"]))
# Of two entries that were sent at the same moment either may stay after a rename, so no two are.
steps = st.lists(
    puts | renames | st.just(("flush",)) | st.just(("yield",)),
    max_size=25,
    unique_by=lambda step: step[2] if len(step) == 4 else object(),
)


def expected_after(steps: list[tuple[object, ...]]) -> dict[tuple[str, str], Entry]:
    """What the contract says, step by step."""
    held: dict[tuple[str, str], Entry] = {}
    for step in steps:
        match step:
            case ("put", (str(ns), str(key)), int(at), bytes(body)):
                put = entry(body, sent_at_s=NOW_S + at)
                if (ns, key) not in held or held[ns, key].sent_at_s <= put.sent_at_s:
                    held[ns, key] = put
            case ("rename", str(old), str(new)) if old != new:
                for ns, key in [place for place in held if place[0] == old]:
                    moved = held.pop((ns, key))
                    if (new, key) not in held or held[new, key].sent_at_s < moved.sent_at_s:
                        held[new, key] = moved
    return held


@given(steps)
@settings(max_examples=60)
def test_both_stores_do_as_the_contract_says(steps: list[tuple[object, ...]]) -> None:
    """Whatever is put, renamed and written in whatever order: both hold what they should, before and after a restart."""
    asyncio.run(agree(steps, expected_after(steps)))


async def agree(steps: list[tuple[object, ...]], expected: dict[tuple[str, str], Entry]) -> None:
    memory = MemoryStore(MIB)
    every = [(ns, key) for ns in "abc" for key in "kl"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cache.sqlite"
        async with opened(path) as store:
            waiting = [task for step in steps if (task := await do(step, memory, store)) is not None]
            await asyncio.gather(*waiting)
            for place in every:
                found, peeked = await store.get(*place), memory.peek(*place)
                assert strip(found) == strip(peeked) == strip(expected.get(place))
        async with opened(path) as store:
            for place in every:
                found = await store.get(*place)
                assert strip(found) == strip(expected.get(place))


def strip(found: Entry | None) -> Entry | None:
    """The entry without the compressed forms that it gained on its way."""
    return found and replace(found, encoded={})


async def do(step: tuple[object, ...], memory: MemoryStore, store: SqliteStore) -> asyncio.Task[None] | None:
    match step:
        case ("put", (str(ns), str(key)), int(at), bytes(body)):
            put = entry(body, sent_at_s=NOW_S + at)
            memory.put(ns, key, put)
            store.put(ns, key, put)
        case ("rename", str(old), str(new)):
            memory.rename(old, new)
            adoption = asyncio.create_task(store.adopt("u", "f", "o", old_namespace=old, new_namespace=new))
            await asyncio.sleep(0)
            return adoption
        case ("flush",):
            await store.flush()
        case _:
            await asyncio.sleep(0)
    return None


async def test_what_comes_in_a_moment_is_one_transaction(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is gathered, and read from where it waits; whoever waits for it to be written does not wait for more of it."""
    monkeypatch.setattr(keeper, "GATHER_S", 600)
    async with opened(path) as store:
        before = store.counters.write_batches
        for number in range(20):
            store.put("ns", f"{number}", entry())
            await asyncio.sleep(0.001)
            assert await store.get("ns", f"{number}") is not None
        assert store.counters.write_batches == before
        async with asyncio.timeout(60):
            await store.flush()
        assert store.counters.write_batches == before + 1
        store.put("ns", "last", entry())
        await asyncio.sleep(0.001)
    async with opened(path) as store:
        assert await store.get("ns", "last") is not None


async def test_what_is_left_has_been_gathered(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits, or closes, doesn't wait for a moment between the batches of one backlog."""
    monkeypatch.setattr(keeper, "GATHER_S", 600)
    async with opened(path, max_bytes=MIB) as store:
        for number in range(40):
            store.put("ns", f"{number}", entry(noise(30_000, number)))
        async with asyncio.timeout(60):
            await store.flush()
        assert store.counters.write_batches > 5
        for number in range(40):
            store.put("ns", f"{number}", entry(noise(30_000, 100 + number), NOW_S + 1))
    assert store.counters.dropped == 0


async def test_nothing_is_gathered_for_ever(path: Path) -> None:
    """A moment later it is written without anybody's asking."""
    async with opened(path) as store:
        assert store.health is None
        before = store.counters.write_batches
        store.put("ns", "key", entry())
        await until(lambda: store.counters.write_batches == before + 1)
