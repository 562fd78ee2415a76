"""Memory in front of the file: what the file brings late doesn't undo what came meanwhile."""

import asyncio
import threading
from pathlib import Path
from unittest.mock import patch

import pytest

from proxy.core.freshness.entry import Entry, tombstone
from proxy.store import MemoryStore
from proxy.store.sqlite import codec
from proxy.store.tiers import TieredStore
from tests.store.support import MIB, NOW_S, entry, opened, same

OLD = entry("old" * codec.LARGE_BYTES)
NEW = entry("new", NOW_S + 1)


@pytest.mark.parametrize(
    ("meanwhile", "after"), [(None, OLD), (NEW, NEW), (tombstone(NOW_S + 1), None)], ids=["nothing", "newer", "gone"]
)
async def test_what_comes_while_the_file_is_read(path: Path, meanwhile: Entry | None, after: Entry | None) -> None:
    """What is newer stays, and what is gone stays gone; what was read otherwise is in memory from then on."""
    begun, gate, loop, unpack = asyncio.Event(), threading.Event(), asyncio.get_running_loop(), codec.entry_of

    def unpack_late(row: codec.Row) -> Entry:
        loop.call_soon_threadsafe(begun.set)
        assert gate.wait(30)
        return unpack(row)

    async with opened(path) as disk:
        store = TieredStore(MemoryStore(MIB), disk)
        disk.put("ns", "/key", OLD)
        await disk.flush()
        with patch.object(codec, "entry_of", unpack_late):
            reading = asyncio.create_task(store.get("ns", "/key"))
            await begun.wait()
            if meanwhile is not None:
                store.put("ns", "/key", meanwhile)
            await disk.flush()
            gate.set()
            assert same(await reading, OLD)
        held = store.peek("ns", "/key")
        assert held is None if after is None else same(held, after)
