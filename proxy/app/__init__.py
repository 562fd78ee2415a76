"""Assembly and lifecycle: all parts are made here, opened in this order, and closed in reverse."""

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from proxy.app.parts import Parts
from proxy.clock import Clock, SystemClock
from proxy.config import Config, KeySource
from proxy.core import budget
from proxy.core.freshness.purge import KEEP_S, Purges
from proxy.core.proof.limits import Limits
from proxy.core.question.route import Route
from proxy.core.question.routes import ROUTES
from proxy.log.lines import Lines
from proxy.service.access.organizations import Organizations
from proxy.service.access.run_owners import RunOwners
from proxy.service.access.scopes import Scopes
from proxy.service.access.tokens import Tokens
from proxy.service.answering import Answerer
from proxy.service.executor import Executor
from proxy.service.fetching import open_fetching
from proxy.service.history import open_history
from proxy.service.key_orders import KeyOrders
from proxy.service.knowledge.shelves import Shelves
from proxy.service.lifetimes import make_known_runs, make_lifetimes
from proxy.service.lookup import Lookup
from proxy.service.proof import open_proof
from proxy.service.purging import Purging
from proxy.service.reader import Reader
from proxy.service.series import open_series
from proxy.service.statuses import Statuses
from proxy.service.tenancy import Sleep, Tenancy
from proxy.service.view import open_view
from proxy.service.watching import open_watching
from proxy.store.memory import MemoryStore
from proxy.store.sqlite import SqliteStore
from proxy.store.sqlite.store import AHEAD_S
from proxy.store.tiers import TieredStore
from proxy.tasks import end_tasks
from proxy.telemetry import Telemetry
from proxy.upstream.client import Upstream
from proxy.upstream.credential import Credential
from proxy.upstream.exchange import Exchange
from proxy.upstream.pool import open_session
from proxy.upstream.turnstile import Turnstile
from proxy.web.assembly import open_web
from proxy.web.pages.metrics import (
    expose_knowledge,
    expose_log,
    expose_proof,
    expose_series,
    expose_statuses,
    expose_store,
    expose_tokens,
    expose_upstream,
    expose_view,
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
    key: KeySource | None,
    *,
    routes: Sequence[Route] = ROUTES,
    clock: Clock | None = None,
    sleep: Sleep = asyncio.sleep,
    limits: Limits | None = None,
    lines: Lines | None = None,
) -> AsyncIterator[Parts]:
    """Open everything that answering takes, and close it at the end.

    Raises ConfigError where the key, the token file or upstream.ca_file cannot be used, StoreError where the cache file must
    not be used. `key` may be None with upstream.offline. `routes`, `clock`, `sleep` and `limits` are for tests, which set the
    time themselves, and what was seen of the upstream's limits. `lines` writes the log, None where somebody else does.
    """
    credential, clock = Credential(key), clock or SystemClock()
    tokens = None if config.access.tokens_file is None else Tokens(config.access.tokens_file, clock)
    telemetry = Telemetry()
    async with AsyncExitStack() as stack:
        # A call may be under way until its deadline, and its answer is worked on for some time more.
        purges = Purges(keep_s=KEEP_S + config.upstream.deadline_s)
        disk = SqliteStore(
            config.cache.path,
            max_bytes=config.cache.max_bytes,
            clock=clock,
            purges=purges,
            # Where the upstream is never asked, an entry from the future is better than none: this clock may be wrong.
            ahead_s=math.inf if config.upstream.offline else AHEAD_S,
        )
        await disk.open()
        stack.push_async_callback(disk.aclose)
        store = TieredStore(MemoryStore(config.cache.memory_bytes, purges), disk)
        session = await stack.enter_async_context(open_session(config.upstream, clock))
        turnstile = Turnstile(_limits(config), clock)
        upstream = Upstream(
            settings=config.upstream,
            credential=credential,
            clock=clock,
            exchange=Exchange(config.upstream, clock, session, telemetry),
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
        )
        stack.push_async_callback(tenancy.aclose)
        await tenancy.open()
        known_runs = make_known_runs(config, clock)
        lifetimes = make_lifetimes(config, routes, known_runs, clock)
        fetching = open_fetching(
            stack, config, clock, upstream=upstream, store=store, tenancy=tenancy, lifetimes=lifetimes, purges=purges
        )
        statuses = Statuses(fetching.fetcher, known_runs, clock)
        stack.push_async_callback(statuses.aclose)
        proof = await open_proof(
            stack,
            config,
            clock,
            upstream=upstream,
            fetcher=fetching.fetcher,
            shelves=shelves,
            tenancy=tenancy,
            disk=disk,
            limits=limits or Limits(),
        )
        series = open_series(
            stack,
            config,
            clock,
            fetching=fetching,
            proof=proof,
            statuses=statuses,
            shelves=shelves,
            lifetimes=lifetimes,
            store=store,
        )
        executor = Executor(
            asker=series.asker,
            refresher=series.refresher,
            upstream=upstream,
            lifetimes=lifetimes,
            clock=clock,
            stale_wait_s=config.freshness.stale_wait_s,
        )
        reader = Reader(
            lookup=Lookup(store, fetching.memo, series.computer, fetching.fetcher, clock),
            executor=executor,
            upstream=upstream,
            tenancy=tenancy,
            lifetimes=lifetimes,
            clock=clock,
            stale_wait_s=config.freshness.stale_wait_s,
        )
        owners = RunOwners(
            store=store,
            fetcher=fetching.fetcher,
            memo=fetching.memo,
            upstream=upstream,
            clock=clock,
            purges=purges,
            negative_s=config.freshness.negative_s,
        )
        scopes, key_orders = Scopes(tenancy, owners), KeyOrders()
        organizations = Organizations(tenancy, wait_s=config.upstream.deadline_s)
        view = open_view(
            clock,
            series_bytes=config.series.memory_bytes,
            scopes=scopes,
            reader=reader,
            computer=series.computer,
            loader=series.loader,
            shelves=shelves,
            lifetimes=lifetimes,
            tenancy=tenancy,
            purges=purges,
        )
        purging = Purging(
            purges=purges,
            store=store,
            shelves=shelves,
            fetcher=fetching.fetcher,
            memo=fetching.memo,
            scopes=scopes,
            key_orders=key_orders,
            pyramids=view.pyramids,
        )
        watching = open_watching(
            stack,
            clock,
            reader=reader,
            computer=series.computer,
            shelves=shelves,
            tenancy=tenancy,
            lifetimes=lifetimes,
            purges=purges,
            upstream=upstream,
        )
        history = await open_history(
            stack,
            clock,
            telemetry=telemetry,
            fetcher=fetching.fetcher,
            statuses=statuses,
            upstream=upstream,
            turnstile=turnstile,
            store=store,
            shelves=shelves,
            checks=proof.checks,
            watching=watching,
        )
        web = open_web(
            config,
            clock,
            telemetry,
            routes=routes,
            tokens=tokens,
            tenancy=tenancy,
            memory=store.memory,
            lifetimes=lifetimes,
            answerer=Answerer(
                scopes=scopes,
                organizations=organizations,
                reader=reader,
                key_orders=key_orders,
                encoder=fetching.encoder,
                purges=purges,
            ),
            viewer=view.viewer,
            watching=watching,
            history=history,
            purging=purging,
            sections=(
                upstream_section(upstream, turnstile),
                series_section(series.computer, proof.checks),
                tokens_section(tokens),
                store_section(store.memory, store.disk),
                log_section(lines),
                organization_section(tenancy),
            ),
            counts={
                "purges": lambda: purges.count,
                "series_bytes": lambda: shelves.size_bytes,
                "runs_refreshing": lambda: series.deltas.in_flight,
            },
        )
        summing = asyncio.create_task(web.summary.run(), name="summary.run")
        turning = asyncio.create_task(web.busiest.run(), name="busiest.run")
        stack.push_async_callback(end_tasks, [summing, turning])
        expose_upstream(telemetry, fetching.fetcher, upstream, turnstile)
        expose_series(telemetry, series.computer, series.deltas, series.loader, series.rotation)
        expose_knowledge(telemetry, shelves, series.learner)
        expose_view(telemetry, view.pyramids)
        expose_proof(telemetry, proof.checks, proof.prover)
        expose_statuses(telemetry, statuses)
        expose_store(telemetry, store.memory, store.disk)
        if tokens is not None:
            expose_tokens(telemetry, tokens)
        if lines is not None:
            expose_log(telemetry, lines)
        yield Parts(
            config=config,
            clock=clock,
            store=store,
            upstream=upstream,
            turnstile=turnstile,
            tenancy=tenancy,
            lifetimes=lifetimes,
            fetching=fetching,
            statuses=statuses,
            shelves=shelves,
            proof=proof,
            series=series,
            reader=reader,
            view=view,
            purging=purging,
            watching=watching,
            history=history,
            web=web,
        )


def _limits(config: Config) -> budget.BudgetLimits:
    upstream = config.upstream
    return budget.BudgetLimits(
        rate_per_s=upstream.rate_per_s,
        burst=upstream.burst,
        max_concurrency=upstream.max_concurrency,
        cooldown_max_s=upstream.cooldown_max_s,
    )
