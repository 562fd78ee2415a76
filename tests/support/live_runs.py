"""Runs whose rows are coming, and a proxy that answers with nothing older than a lifetime."""

import math
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from proxy.core.series.known_series import nothing_known
from proxy.core.series.metrics_query import MetricsQuery
from proxy.service.fetching.need import Need
from proxy.service.series.wanted import WantedSeries
from tests.support.oracle_upstream import OracleUpstream, right, series_world, target
from tests.support.world import World

WIDE = target("logName=loss&limit=10000")
WHOLE = target("limit=10000")
# Nobody is given anything older than its lifetime where something newer can be had.
PROMPT = {"freshness__stale_while_revalidate_s": 0, "freshness__stale_wait_s": 30}
PANEL = "logName=loss&limit=10"
HOUR_S = 3600.0
YEAR_S = 365 * 24 * HOUR_S


def since(step: int, name: str | None = "loss", *, group: str | None = None) -> str:
    """Return the question for what is new from a step on."""
    pairs = {"logName": name, "logGroup": group, "limit": 10_000, "stepMin": step}
    return target("&".join(f"{key}={value}" for key, value in pairs.items() if value is not None))


@asynccontextmanager
async def live(folder: Path, **settings: Any) -> AsyncIterator[tuple[World, OracleUpstream]]:
    """Run a proxy in front of a live run; nothing older than a lifetime will do."""
    async with series_world(folder, **PROMPT | settings) as (running, upstream):
        yield running, upstream


def begin(upstream: OracleUpstream, *names: str, **more: Any) -> None:
    """Log 100 rows of each name, the last 50 of them within the overlap."""
    for name in names or ("loss",):
        upstream.log(name, range(50), ago_s=HOUR_S, **more)
        upstream.log(name, range(50, 100), **more)


def settle(upstream: OracleUpstream, name: str, steps: Iterable[int], **more: Any) -> None:
    """Log rows so far apart and so long ago that no others can come between them but the last one is asked for again."""
    for number, step in enumerate(steps):
        upstream.log(name, [step], ago_s=1000 * HOUR_S - 100 * number, **more)


async def later(
    running: World, upstream: OracleUpstream, *raws: str, seconds: float = 6, grow: Callable[[], None] | None = None
) -> list[str]:
    """Let time pass and rows come, then ask some questions one after the other; return what the upstream was asked."""
    running.advance(seconds)
    if grow is not None:
        grow()
    upstream.asked.clear()
    for raw in raws or ("logName=loss&limit=10",):
        await right(running, upstream, raw)
    return list(upstream.asked)


def import_run(upstream: OracleUpstream, *, written: bool = False, status: str = "COMPLETED") -> None:
    """Let the run say that it ended a year ago, by a write to its record that is told or not."""
    now_s = upstream.clock.now_s()
    upstream.status, upstream.status_since_s = status, now_s - YEAR_S
    upstream.written_s = now_s if written else None


def unlooked(running: World, name: str, *, limit: int = 10) -> WantedSeries:
    """Return a question about a series as a refresh ahead asks it: nobody has looked what is known of it."""
    metrics = MetricsQuery(run="1", project="p", name=name, group=None, limit=limit, first=0, last=None)
    return WantedSeries(
        tenant=running.parts.tenancy.current(),
        query=metrics.query,
        need=Need(not_before_s=-math.inf, persist=True, landings=0),
        in_full=False,
        extra_wait_s=1,
        metrics=metrics,
        known=nothing_known(metrics),
    )
