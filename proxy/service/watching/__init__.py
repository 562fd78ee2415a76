"""Series that clients watch: read when it is time, by one watcher each, and everybody who watches is told of changes.

- `watching` knows which series are watched and by whom. It has what is due read, and
  numbers changes.
- `watched_series` is one series that is watched: its state, who watches it, and when it is read next.
- `looking` reads one series, as a panel would.
- `subscription` is what one client watches, and what it is still to be told.
- `values` has what a series is, and its state; `troubles` what clients are told of an upstream that fails.
"""

import asyncio
from contextlib import AsyncExitStack

from proxy.clock import Clock
from proxy.core.freshness.purge import Purges
from proxy.service.knowledge.shelves import Shelves
from proxy.service.lifetimes.run_lifetimes import RunLifetimes
from proxy.service.obtaining import Obtainer
from proxy.service.tenancy import Tenancy
from proxy.service.watching.looking import SeriesReader
from proxy.service.watching.watching import Watching
from proxy.settings import Settings
from proxy.tasks import end_tasks
from proxy.upstream.client import Upstream


def open_watching(
    stack: AsyncExitStack,
    clock: Clock,
    *,
    obtainer: Obtainer,
    shelves: Shelves,
    tenancy: Tenancy,
    lifetimes: RunLifetimes,
    purges: Purges,
    upstream: Upstream,
    settings: Settings,
) -> Watching:
    """Open the room; the stack closes it."""
    series_reader = SeriesReader(obtainer=obtainer, shelves=shelves, tenancy=tenancy, lifetimes=lifetimes, clock=clock)
    watching = Watching(
        reader=series_reader,
        shelves=shelves,
        tenancy=tenancy,
        purges=purges,
        upstream=upstream,
        clock=clock,
        settings=settings,
    )
    stack.push_async_callback(watching.aclose)
    stack.push_async_callback(end_tasks, [asyncio.create_task(watching.run(), name="watching.run")])
    return watching
