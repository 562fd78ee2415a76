"""Assembly and lifecycle: which parts there are, in which order they open, and that they close in reverse."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from proxy.app.engine import ended, open_engine
from proxy.app.parts import Parts
from proxy.clock import Clock, SystemClock
from proxy.config import Config, KeySource
from proxy.core.freshness.lifetimes import LifetimeTable
from proxy.core.freshness.purge import KEEP_S, Purges
from proxy.core.freshness.verdict import Lifetimes
from proxy.core.proof.limits import Limits
from proxy.core.question.routes import ROUTES, Route
from proxy.log.lines import Lines
from proxy.service.access.scopes import Scopes
from proxy.service.access.tokens import Tokens
from proxy.service.answering import Answerer
from proxy.service.fetching.encoder import Encoder
from proxy.service.fetching.fetcher import Fetcher
from proxy.service.fetching.memo import Memo
from proxy.service.fetching.tenancy import Sleep, Tenancy
from proxy.service.purging import Purging
from proxy.service.reader import Reader
from proxy.service.status.lifetimes import RunLifetimes
from proxy.service.status.looks import Looks
from proxy.store.memory import MemoryStore
from proxy.store.sqlite import SqliteStore
from proxy.store.tiers import TieredStore
from proxy.telemetry import Telemetry
from proxy.upstream.client import Upstream
from proxy.upstream.credential import Credential
from proxy.upstream.exchange import Exchange
from proxy.upstream.pool import open_session
from proxy.web.opening import open_web
from proxy.web.pages.gauges import (
    expose_log,
    expose_proof,
    expose_series,
    expose_statuses,
    expose_store,
    expose_tokens,
    expose_upstream,
)
from proxy.web.pages.sections import (
    log_section,
    organization_section,
    series_section,
    store_section,
    tokens_section,
    upstream_section,
)


@asynccontextmanager
async def open_parts(
    config: Config,
    key: KeySource,
    *,
    routes: Sequence[Route] = ROUTES,
    clock: Clock | None = None,
    sleep: Sleep = asyncio.sleep,
    limits: Limits | None = None,
    lines: Lines | None = None,
) -> AsyncIterator[Parts]:
    """Open everything that answering takes, and close it at the end.

    Raises ConfigError where the key, the token file or upstream.ca_file cannot be used, StoreError where the cache file must
    not be. `routes`, `clock`, `sleep` and `limits` are for tests, which tell the time themselves and what was seen of the
    upstream's limits. `lines`: the log's, None where it isn't ours.
    """
    credential, clock = Credential(key), clock or SystemClock()
    tokens = None if config.access.tokens_file is None else Tokens(config.access.tokens_file, clock)
    telemetry = Telemetry()
    async with AsyncExitStack() as stack:
        # A call may be under way for as long as its deadline, and what is made of it some time more.
        purges = Purges(keep_s=KEEP_S + config.upstream.deadline_s)
        disk = SqliteStore(config.cache.path, max_bytes=config.cache.max_bytes, clock=clock, purges=purges)
        await disk.open()
        stack.push_async_callback(disk.aclose)
        store = TieredStore(MemoryStore(config.cache.memory_bytes, purges), disk)
        session = await stack.enter_async_context(open_session(config.upstream, clock))
        upstream = Upstream(config.upstream, credential, clock, Exchange(config.upstream, clock, session, telemetry), telemetry)
        tenancy = Tenancy(upstream, store, label=config.cache.label, sleep=sleep)
        stack.push_async_callback(tenancy.aclose)
        await tenancy.open()
        encoder = Encoder(store)
        stack.push_async_callback(encoder.aclose)
        table = _lifetimes(config, routes)
        lifetimes = RunLifetimes(table, Looks(clock), stale_if_error_ended_s=config.freshness.stale_if_error_ended_s)
        memo = Memo(clock, negative_s=config.freshness.negative_s)
        fetcher = Fetcher(
            upstream=upstream,
            store=store,
            tenancy=tenancy,
            memo=memo,
            encoder=encoder,
            lifetimes=lifetimes,
            clock=clock,
            purges=purges,
            max_object_bytes=config.cache.max_object_bytes,
        )
        stack.push_async_callback(fetcher.aclose)
        engine = await open_engine(
            stack,
            config,
            clock,
            upstream=upstream,
            store=store,
            tenancy=tenancy,
            encoder=encoder,
            fetcher=fetcher,
            memo=memo,
            lifetimes=lifetimes,
            purges=purges,
            limits=limits or Limits(),
        )
        reader = Reader(
            series=engine.series,
            upstream=upstream,
            store=store,
            tenancy=tenancy,
            asker=engine.asker,
            fetcher=fetcher,
            memo=memo,
            lifetimes=lifetimes,
            clock=clock,
            stale_wait_s=config.freshness.stale_wait_s,
        )
        scopes = Scopes(
            store=store,
            tenancy=tenancy,
            fetcher=fetcher,
            memo=memo,
            upstream=upstream,
            clock=clock,
            purges=purges,
            negative_s=config.freshness.negative_s,
        )
        series = engine.series
        purging = Purging(purges=purges, store=store, shelves=series.shelves, fetcher=fetcher, memo=memo, scopes=scopes)
        web = open_web(
            config,
            clock,
            telemetry,
            routes=routes,
            table=table,
            tokens=tokens,
            tenancy=tenancy,
            memory=store.memory,
            lifetimes=lifetimes,
            answerer=Answerer(scopes=scopes, reader=reader, encoder=encoder, purges=purges),
            purging=purging,
            sections=(
                upstream_section(upstream, upstream.turnstile),
                series_section(series, series.checks),
                tokens_section(tokens),
                store_section(store.memory, store.disk),
                log_section(lines),
                organization_section(tenancy),
            ),
            counts={
                "purges": lambda: purges.count,
                "series_bytes": lambda: series.shelves.size_bytes,
                "runs_refreshing": lambda: engine.deltas.in_flight,
            },
        )
        summing = asyncio.create_task(web.summary.run(), name="summary.run")
        stack.push_async_callback(ended, summing)
        expose_upstream(telemetry, fetcher, upstream, upstream.turnstile)
        expose_series(telemetry, series, series.shelves, engine.deltas, engine.assembler)
        expose_proof(telemetry, series.checks, engine.prover)
        expose_statuses(telemetry, engine.statuses)
        expose_store(telemetry, store.memory, store.disk)
        if tokens is not None:
            expose_tokens(telemetry, tokens)
        if lines is not None:
            expose_log(telemetry, lines)
        yield Parts(
            config=config,
            clock=clock,
            reader=reader,
            fetcher=fetcher,
            tenancy=tenancy,
            store=store,
            upstream=upstream,
            encoder=encoder,
            series=series,
            asker=engine.asker,
            assembler=engine.assembler,
            deltas=engine.deltas,
            prover=engine.prover,
            witnesses=engine.witnesses,
            statuses=engine.statuses,
            lifetimes=lifetimes,
            tokens=tokens,
            scopes=scopes,
            purging=purging,
            telemetry=telemetry,
            lines=lines,
            web=web,
        )


def _lifetimes(config: Config, routes: Sequence[Route]) -> LifetimeTable:
    general = Lifetimes(
        fresh_s=config.freshness.running_s,
        stale_while_revalidate_s=config.freshness.stale_while_revalidate_s,
        stale_if_error_s=config.freshness.stale_if_error_s,
        negative_s=config.freshness.negative_s,
        rewrite_check_s=config.series.rewrite_check_s,
        scant_s=config.freshness.running_s,
    )
    configured = config.lifetimes.model_dump()
    own = {route.name: configured.get(f"{route.name}_s", route.fresh_s) for route in routes}
    return LifetimeTable(general, routes, own, moving_s=config.lifetimes.moving_s)
