"""Killed at any moment while chunks, packs and heads are being written, the next proxy answers right."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from proxy.core.freshness.purge import Purge
from proxy.core.series import compacting, metrics_query
from proxy.core.series.evicting import chunks_of, without_chunks
from proxy.store.sqlite import writer
from proxy.store.sqlite.batch import Batch
from proxy.store.sqlite.database import Database
from tests.support.cache_copies import copy_as_killed
from tests.support.oracle_upstream import OracleUpstream, moment, proxied, right, row, series_world
from tests.support.world import ManualClock, World

MOST, ROWS = 40, 150
CHUNKS = compacting.ChunkSizes(rows=20, open_rows=12)
PROMPT = {"freshness__stale_while_revalidate_s": 0, "freshness__stale_wait_s": 30}


@pytest.fixture(autouse=True)
def _small() -> Iterator[None]:
    """Let a few rows make a long series, and each chunk, pack and head be a transaction of its own."""
    with (
        patch.object(metrics_query, "MAX_LIMIT", MOST),
        patch.object(compacting, "SIZES", CHUNKS),
        patch.object(writer, "BATCH_BYTES", 1),
    ):
        yield


@contextmanager
def copying(path: Path) -> Iterator[list[Path]]:
    """Copy a cache file after each transaction that writes what is known of series; give the folders of the copies."""
    copies: list[Path] = []
    write = Database.write

    async def writing(database: Database, batch: Batch, *, now_s: float) -> int:
        evicted = await write(database, batch, now_s=now_s)
        if any(not one.key.startswith("/") for one in batch.rows) or batch.superseded:
            folder = path.parents[1] / f"killed {len(copies)}"
            copy_as_killed(path, folder / "cache" / "cache.sqlite")
            copies.append(folder)
        return evicted

    with patch.object(Database, "write", writing):
        yield copies


async def test_killed_after_any_transaction(tmp_path: Path) -> None:
    """While a series is loaded, grows, has a row written again and is looked at again.

    Whatever is on disk by then, every answer is right, and what is lost is asked for again.
    """
    upstream = OracleUpstream(clock=ManualClock())
    now_s = upstream.clock.now_s()
    upstream.put(row("loss", step, value=step / 7, time=moment(now_s - 10 * (ROWS - step))) for step in range(ROWS))
    async with upstream.serve() as url:
        with copying(tmp_path / "cache" / "cache.sqlite") as copies:
            async with proxied(tmp_path, upstream, url, series__rewrite_check_s=120, **PROMPT) as running:
                for limit in range(5, 9):
                    await right(running, upstream, f"logName=loss&limit={limit}")
                    await running.settled()
                for polls in range(25):
                    running.advance(6)
                    upstream.log("loss", range(ROWS + 2 * polls, ROWS + 2 * polls + 2), value=3)
                    if polls == 10:
                        upstream.log("loss", [33], value=99)
                    await right(running, upstream, "logName=loss&limit=9&stepMin=120")
                    await running.settled()
                    await running.flushed()
                assert running.parts.series.rotation.changes == 1
        assert len(copies) > 60
        kept = [await _goes_on(folder, upstream, url) for folder in copies[::3]]
    # From the first head on, nothing that had been written before is lost.
    assert kept == sorted(kept)
    assert sum(kept) > len(kept) * 3 // 4


async def _goes_on(folder: Path, upstream: OracleUpstream, url: str) -> bool:
    """Start a proxy as it is after a kill, and ask it; return whether it knew chunks of the series from before."""
    async with proxied(folder, upstream, url, **PROMPT) as running:
        chunks = [chunk for window in await _windows(running) for chunk in chunks_of(window.by_name.values())]
        for raw in ("limit=40&stepMin=40&stepMax=70", "limit=9&stepMin=34", "limit=40&stepMin=34", "stepMin=100", "limit=3"):
            await right(running, upstream, f"logName=loss&{raw}")
            await running.settled()
        return bool(chunks)


async def _windows(running: World) -> list[Any]:
    asked = metrics_query.MetricsQuery(run="1", project="p", name="loss", group=None, limit=MOST, first=0, last=None)
    return await running.parts.shelves.load(running.parts.tenancy.current(), [asked])


async def test_a_chunk_that_the_disk_has_lost(tmp_path: Path) -> None:
    """Where rows are needed that are neither in memory nor on disk any more, they are asked for again."""
    async with series_world(tmp_path, **PROMPT) as (running, upstream):
        upstream.put(row("loss", step, value=step / 7) for step in range(ROWS))
        for limit in range(5, 9):
            await right(running, upstream, f"logName=loss&limit={limit}")
            await running.settled()
        await running.flushed()
        shelves, disk, tenant = running.parts.shelves, running.parts.store.disk, running.parts.tenancy.current()
        (window,) = await _windows(running)
        chunks = [chunk.digest for chunk in chunks_of(window.by_name.values())]
        assert shelves.replace(tenant, window, without_chunks(window, chunks), persist=False)
        await right(running, upstream, "logName=loss&limit=40&stepMin=30&stepMax=50")
        await disk.purge(Purge(at_s=upstream.clock.now_s()))
        for raw in ("limit=40&stepMin=30&stepMax=50", "limit=30&stepMin=60&stepMax=80", "limit=21"):
            await right(running, upstream, f"logName=loss&{raw}")
            await running.settled()
