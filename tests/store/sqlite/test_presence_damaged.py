"""Damaged keys in the file cost a look into the file at most, never an answer or the next read."""

import asyncio
import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiosqlite
import pytest

from proxy.store import SqliteStore
from proxy.store.sqlite import presence as module
from proxy.store.sqlite import schema
from proxy.store.sqlite.connections import run
from tests.store.support import database, edit, entry, learning, opened, same, until

PAGE = 4096
LEAF_OF_TABLE = 0x0D


@pytest.fixture
def no_gc() -> Iterator[None]:
    """What is held by a cycle stays held."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def flip(path: Path, old: bytes, new: bytes) -> int:
    """Change what tables hold, and not what indexes hold of it. Return how often it was found."""
    data = bytearray(path.read_bytes())
    found = 0
    for begin in range(0, len(data), PAGE):
        if data[begin] == LEAF_OF_TABLE and old in data[begin : begin + PAGE]:
            found += 1
            data[begin : begin + PAGE] = data[begin : begin + PAGE].replace(old, new)
    path.write_bytes(data)
    return found


async def settled(store: SqliteStore) -> None:
    """Everything has been gone through, or given up."""
    await asyncio.wait({learning(store)})


@pytest.mark.usefixtures("no_gc")
async def test_a_key_that_is_no_text_leaves_later_reads_alone(path: Path) -> None:
    """A statement that broke off would let the connection read, until it is collected, what the file held at that time."""
    async with opened(path) as store:
        for key in "abc":
            store.put("ns", key, entry(key))
    edit(path, "UPDATE entries SET key = CAST(x'ff' AS TEXT) WHERE key = 'b'")
    async with opened(path) as store:
        await settled(store)
        for key in ("new", "a"):
            put = entry(f"{key} again")
            store.put("ns", key, put)
            await store.flush()
            assert same(await store.get("ns", key), put)


@pytest.mark.parametrize(("old", "new"), [(b"the-namespace", b"the-nbmespace"), (b"the-key", b"the-kfy")])
async def test_what_is_found_by_an_index_is_not_denied(path: Path, old: bytes, new: bytes) -> None:
    """A read goes by the indexes: a bit that flipped in a table keeps it from nothing, and must not here."""
    put = entry()
    async with opened(path) as store:
        store.put("the-namespace", "the-key", put)
    assert flip(path, old, new) == 1
    async with opened(path) as store:
        assert same(await store.get("the-namespace", "the-key"), put)
        await settled(store)
        assert same(await store.get("the-namespace", "the-key"), put)


async def test_a_damaged_row_hides_no_others(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the order is broken, what comes after may have been passed over."""
    monkeypatch.setattr(module, "LEAST_ROWS", 4)
    monkeypatch.setattr(module, "MOST_ROWS", 4)
    puts = {f"key {number}": entry(str(number)) for number in range(10, 50)}
    async with opened(path) as store:
        for key, put in puts.items():
            store.put("ns", key, put)
    data = path.read_bytes()
    for old, new in ((b"key 13", b"key 73"), (b"key 17", b"key 01")):
        # In every place, so that it doesn't matter which of them is gone through.
        path.write_bytes(data.replace(old, new))
        async with opened(path) as store:
            held = database(store)
            await asyncio.wait_for(settled(store), 10)
            found = [key for key in puts if await held.read("ns", key) is not None]
            assert len(found) > 30
            assert [key for key in found if not held.may_hold("ns", key)] == []


@pytest.mark.parametrize("change", [b"key 10", b"key 00"])
async def test_it_does_not_go_round_in_circles(path: Path, monkeypatch: pytest.MonkeyPatch, change: bytes) -> None:
    """One that is too small at the end of a page doesn't begin it again and again."""
    monkeypatch.setattr(module, "LEAST_ROWS", 4)
    monkeypatch.setattr(module, "MOST_ROWS", 4)
    keys = [f"key {number}" for number in range(10, 50)]
    async with opened(path) as store:
        for key in keys:
            store.put("ns", key, entry(key))
    real_run, asked = run, 0

    async def read(connection: aiosqlite.Connection, sql: str, parameters: Any = ()) -> list[Any]:
        nonlocal asked
        asked += 1
        rows = await real_run(connection, sql, parameters)
        if sql == schema.SELECT_KEYS:
            # The fourth row's place among the others is wrong, whichever way they are ordered.
            rows = [(rows[0][0] - 1, *row[1:]) if row[-1] in (b"key 13", "key 13") else row for row in rows]
            rows = [(*row[:-1], change) if row[-1] == b"key 13" else row for row in rows]
        return rows

    monkeypatch.setattr(module, "run", read)
    async with opened(path) as store:
        await until(lambda: asked > 40 or learning(store).done())
        assert asked <= 40
        assert [key for key in keys if await store.get("ns", key) is None] == []
