"""A live series that one answer cannot hold, loaded and watched, where a few rows are many."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from proxy.core.series import compacting, metrics_query
from proxy.core.series.extents import Extents
from tests.support.oracle_upstream import OracleUpstream, moment, right, row, series_world, target
from tests.support.world import World

MOST, ROWS, REWRITE_CHECK_S = 40, 150, 120
CHUNKS = compacting.ChunkSizes(rows=20, open_rows=12)


@contextmanager
def small_answers() -> Iterator[None]:
    """Let a few rows make a long series."""
    with patch.object(metrics_query, "MAX_LIMIT", MOST), patch.object(compacting, "SIZES", CHUNKS):
        yield


def log_long(upstream: OracleUpstream, name: str = "loss") -> None:
    """Log `ROWS` rows, ten seconds apart."""
    now_s = upstream.clock.now_s()
    upstream.put(row(name, step, value=step / 7, time=moment(now_s - 10 * (ROWS - step))) for step in range(ROWS))


@asynccontextmanager
async def loaded(folder: Path, **settings: Any) -> AsyncIterator[tuple[World, OracleUpstream]]:
    """Run the proxy with a live series of `ROWS` rows that has been loaded."""
    settings = {"series__rewrite_check_s": REWRITE_CHECK_S, "freshness__stale_while_revalidate_s": 0, **settings}
    async with series_world(folder, **settings) as (running, upstream):
        log_long(upstream)
        for limit in range(5, 40):
            await right(running, upstream, f"logName=loss&limit={limit}")
            await running.settled()
        assert running.parts.series.loader.finished == 1
        yield running, upstream


def grow(upstream: OracleUpstream, name: str = "loss", **more: Any) -> int:
    """Log another row; return its step. `more` are as for `row`."""
    step = 1 + max(step for named, _, step in upstream.rows if named == name)
    upstream.log(name, [step], **more)
    return step


async def watch(
    running: World, upstream: OracleUpstream, seconds: int, *, grows: bool = True, limits: tuple[int, ...] = (9,)
) -> list[int]:
    """Poll panels every 6 s while the series grows; return how many calls each round took."""
    calls: list[int] = []
    for _ in range(0, seconds, 6):
        before = upstream.metrics_calls
        running.advance(6)
        if grows:
            grow(upstream)
        for limit in limits:
            reply = await running.get(target(f"logName=loss&limit={limit}"))
            assert reply.status == 200
        await running.settled()
        calls.append(upstream.metrics_calls - before)
    return calls


def known_windows(running: World, name: str = "loss") -> list[Extents]:
    """Return what memory knows of a series."""
    asked = metrics_query.MetricsQuery(run="1", project="p", name=name, group=None, limit=MOST, first=0, last=None)
    return list(running.parts.shelves.peek(running.parts.tenancy.current(), asked))
