"""The foundation: the cache, the upstream and the key's organization, on which all rooms stand."""

import asyncio
import math
from contextlib import AsyncExitStack
from dataclasses import dataclass

from proxy.clock import Clock
from proxy.config import Config
from proxy.core import budget
from proxy.core.freshness.purge import KEEP_S, Purges
from proxy.generation import Generation
from proxy.service.knowledge.shelves import Shelves
from proxy.service.tenancy import Sleep, Tenancy
from proxy.settings import Settings
from proxy.store.memory import MemoryStore
from proxy.store.sqlite import SqliteStore
from proxy.store.sqlite.store import AHEAD_S
from proxy.store.tiers import TieredStore
from proxy.telemetry import Telemetry
from proxy.upstream.client import Upstream
from proxy.upstream.credential import Credential
from proxy.upstream.exchange import Exchange
from proxy.upstream.turnstile import Turnstile
from proxy.upstream.wire import open_wire
from proxy.web.shortcut.leases import share_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Foundation:
    """What every room stands on."""

    purges: Purges
    store: TieredStore
    turnstile: Turnstile
    upstream: Upstream
    shelves: Shelves
    tenancy: Tenancy


async def open_foundation(
    stack: AsyncExitStack,
    settings: Settings,
    clock: Clock,
    *,
    credential: Credential,
    telemetry: Telemetry,
    generation: Generation,
    sleep: Sleep = asyncio.sleep,
    succeeds: bool = False,
) -> Foundation:
    """Open the cache file and the connections to the upstream, and begin to find out whose key it is.

    Raises ConfigError where the key or upstream.ca_file cannot be used, StoreError where the cache file must not be used.
    `succeeds`: another process may use the file still, and has the upstream's budget (`upstream.turnstile`).
    """
    config, purges = settings.now, Purges()
    # A call may be under way until its deadline, and its answer is worked on for some time more.
    settings.follow(lambda: purges.keep_for(KEEP_S + settings.now.upstream.deadline_s))
    store = await _open_store(stack, config, clock, purges, succeeds=succeeds)
    wire = await stack.enter_async_context(open_wire(config.upstream, clock))
    turnstile = Turnstile(_limits(config), clock, held=succeeds)
    settings.follow(lambda: turnstile.renew(_limits(settings.now)))
    upstream = Upstream(
        settings=settings,
        credential=credential,
        clock=clock,
        exchange=Exchange(settings, clock, wire, telemetry),
        turnstile=turnstile,
        telemetry=telemetry,
    )
    shelves = Shelves(store, clock, purges, memory_bytes=config.series.memory_bytes, overlap_s=config.series.overlap_s)
    stack.push_async_callback(shelves.settled)
    tenancy = Tenancy(
        upstream,
        store,
        label=config.cache.label,
        offline=config.upstream.offline,
        sleep=sleep,
        renamed=shelves.rename,
        generation=generation,
    )
    stack.push_async_callback(tenancy.aclose)
    await tenancy.open()
    return Foundation(purges=purges, store=store, turnstile=turnstile, upstream=upstream, shelves=shelves, tenancy=tenancy)


async def _open_store(stack: AsyncExitStack, config: Config, clock: Clock, purges: Purges, *, succeeds: bool) -> TieredStore:
    disk = SqliteStore(
        config.cache.path,
        max_bytes=config.cache.max_bytes,
        clock=clock,
        purges=purges,
        # Where the upstream is never asked, an entry from the future is better than none: this clock may be wrong.
        ahead_s=math.inf if config.upstream.offline else AHEAD_S,
        waits=succeeds,
    )
    await disk.open()
    stack.push_async_callback(disk.aclose)
    memory_bytes = config.cache.memory_bytes
    return TieredStore(MemoryStore(memory_bytes - share_of(memory_bytes), purges), disk)


def _limits(config: Config) -> budget.BudgetLimits:
    upstream = config.upstream
    return budget.BudgetLimits(
        rate_per_s=upstream.rate_per_s,
        burst=upstream.burst,
        max_concurrency=upstream.max_concurrency,
        cooldown_max_s=upstream.cooldown_max_s,
    )
