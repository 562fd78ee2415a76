"""What the proxy has done in the last hour, in intervals of ten seconds.

- `recorder` makes a point of each interval, holds those of the last hour, and keeps them in the cache file.
- `point` is one of them. `totals` is what is counted since the process began: a point has what that grew by.
- `quantiles` reads durations from counts by bucket.
"""

import asyncio
from contextlib import AsyncExitStack

from proxy.clock import Clock
from proxy.service.fetching.fetcher import Fetcher
from proxy.service.history.recorder import History
from proxy.service.knowledge.shelves import Shelves
from proxy.service.proof.checks import Checks
from proxy.service.statuses import Statuses
from proxy.service.watching.watching import Watching
from proxy.store.tiers import TieredStore
from proxy.tasks import end_tasks
from proxy.telemetry import Telemetry
from proxy.upstream.client import Upstream
from proxy.upstream.turnstile import Turnstile


async def open_history(
    stack: AsyncExitStack,
    clock: Clock,
    *,
    telemetry: Telemetry,
    fetcher: Fetcher,
    statuses: Statuses,
    upstream: Upstream,
    turnstile: Turnstile,
    store: TieredStore,
    shelves: Shelves,
    checks: Checks,
    watching: Watching,
) -> History:
    """Open the room; the stack closes it."""
    history = History(
        telemetry=telemetry,
        fetcher=fetcher,
        statuses=statuses,
        upstream=upstream,
        turnstile=turnstile,
        store=store,
        shelves=shelves,
        checks=checks,
        watching=watching,
        clock=clock,
    )
    await history.open()
    stack.push_async_callback(history.aclose)
    stack.push_async_callback(end_tasks, [asyncio.create_task(history.run(), name="history.run")])
    return history
