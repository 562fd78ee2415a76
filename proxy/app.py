"""Assembly and lifecycle: which parts there are, in which order they open, and that they close in reverse."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from aiohttp import web

from proxy.clock import Clock, SystemClock
from proxy.config import Config, KeySource
from proxy.core.freshness import Lifetimes
from proxy.service.encoder import Encoder
from proxy.service.fetcher import Fetcher
from proxy.service.memo import Memo
from proxy.service.reader import Reader
from proxy.service.tenancy import Sleep, Tenancy
from proxy.store.memory import MemoryStore
from proxy.store.sqlite import SqliteStore
from proxy.store.tiers import TieredStore
from proxy.telemetry import Telemetry
from proxy.upstream.client import Upstream
from proxy.upstream.credential import Credential
from proxy.upstream.exchange import Exchange
from proxy.upstream.pool import open_session
from proxy.web.fast import FastPath
from proxy.web.gauges import expose
from proxy.web.handler import handle
from proxy.web.hits import HitLog
from proxy.web.ids import RequestIds
from proxy.web.keys import PARTS, Parts
from proxy.web.queries import QueryReader
from proxy.web.unknown import UnknownParameters


def create_app(config: Config, key: KeySource, *, clock: Clock | None = None, sleep: Sleep = asyncio.sleep) -> web.Application:
    """Return the application; its parts open when it starts. Raises ConfigError where the key cannot be used.

    `clock` and `sleep` are for tests, which tell the time themselves.
    """
    credential = Credential(key)
    app = web.Application(client_max_size=1)

    async def parts(app: web.Application) -> AsyncIterator[None]:
        async with _open_parts(config, credential, clock or SystemClock(), sleep) as opened:
            app[PARTS] = opened
            yield

    app.cleanup_ctx.append(parts)
    app.router.add_route("*", "/{anything:.*}", handle)
    return app


@asynccontextmanager
async def _open_parts(config: Config, credential: Credential, clock: Clock, sleep: Sleep) -> AsyncIterator[Parts]:
    lifetimes = Lifetimes(
        fresh_s=config.freshness.running_s,
        stale_while_revalidate_s=config.freshness.stale_while_revalidate_s,
        stale_if_error_s=config.freshness.stale_if_error_s,
        negative_s=config.freshness.negative_s,
    )
    telemetry = Telemetry()
    async with AsyncExitStack() as stack:
        disk = SqliteStore(config.cache.path, max_bytes=config.cache.max_bytes, clock=clock)
        await disk.open()
        stack.push_async_callback(disk.aclose)
        store = TieredStore(MemoryStore(config.cache.memory_bytes), disk)
        session = await stack.enter_async_context(open_session(config.upstream))
        upstream = Upstream(config.upstream, credential, clock, Exchange(config.upstream, clock, session, telemetry), telemetry)
        tenancy = Tenancy(upstream, store, label=config.cache.label, sleep=sleep)
        stack.push_async_callback(tenancy.aclose)
        await tenancy.open()
        encoder = Encoder(store)
        stack.push_async_callback(encoder.aclose)
        memo = Memo(clock, negative_s=lifetimes.negative_s)
        fetcher = Fetcher(
            upstream=upstream,
            store=store,
            tenancy=tenancy,
            memo=memo,
            encoder=encoder,
            lifetimes=lifetimes,
            clock=clock,
            max_object_bytes=config.cache.max_object_bytes,
        )
        stack.push_async_callback(fetcher.aclose)
        reader = Reader(
            upstream=upstream,
            store=store,
            tenancy=tenancy,
            fetcher=fetcher,
            memo=memo,
            lifetimes=lifetimes,
            clock=clock,
            stale_wait_s=config.freshness.stale_wait_s,
        )
        ids, hits = RequestIds(), HitLog(clock)
        fast = FastPath(
            memory=store.memory,
            tenancy=tenancy,
            clock=clock,
            fresh_s=lifetimes.fresh_s,
            ids=ids,
            hits=hits,
            telemetry=telemetry,
        )
        parts = Parts(
            config=config,
            clock=clock,
            reader=reader,
            fetcher=fetcher,
            tenancy=tenancy,
            store=store,
            upstream=upstream,
            encoder=encoder,
            queries=QueryReader(config.upstream),
            unknown=UnknownParameters(),
            hits=hits,
            ids=ids,
            fast=fast,
            telemetry=telemetry,
        )
        expose(parts)
        summing = asyncio.create_task(parts.hits.run(), name="hits.run")
        stack.push_async_callback(_ended, summing)
        yield parts


async def _ended(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.wait([task])
