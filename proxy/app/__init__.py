"""Assembly and lifecycle: all parts are made here, opened in this order, and closed in reverse."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from proxy.app.answering import open_answering
from proxy.app.exposing import expose
from proxy.app.foundation import open_foundation
from proxy.app.parts import Parts
from proxy.clock import Clock, SystemClock
from proxy.config import Config, KeySource
from proxy.core.proof.limits import Limits
from proxy.core.question.route import Route
from proxy.core.question.routes import ROUTES
from proxy.generation import Generation
from proxy.log.lines import Lines
from proxy.service.access.tokens import Tokens, read_token_file
from proxy.service.fetching import open_fetching
from proxy.service.history import open_history
from proxy.service.lifetimes.known_runs import KnownRuns
from proxy.service.lifetimes.run_lifetimes import RunLifetimes
from proxy.service.lifetimes.sightings import Sightings
from proxy.service.proof import open_proof
from proxy.service.series import open_series
from proxy.service.statuses import Statuses
from proxy.service.tenancy import Sleep
from proxy.settings import Settings
from proxy.settings.reloads import Reloads
from proxy.tasks import end_tasks
from proxy.telemetry import Telemetry
from proxy.upstream.credential import Credential, read_source
from proxy.web.assembly import open_web
from proxy.web.encryption.certificate import Certificate
from proxy.web.pages.sections import (
    certificate_section,
    configuration_section,
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
    succeeds: bool = False,
    telemetry: Telemetry | None = None,
) -> AsyncIterator[Parts]:
    """Open everything that answering takes, and close it at the end.

    Raises ConfigError where the key, the token file, the certificate or upstream.ca_file cannot be used, StoreError where the
    cache file must not be used. `key` may be None with upstream.offline. `routes`, `clock`, `sleep` and `limits` are for tests,
    which set the time themselves, and what was seen of the upstream's limits. `lines` writes the log, None where somebody else
    does. `telemetry` is for who reads the metrics otherwise than by `/metrics`.
    `succeeds`: this process takes over from another one: nothing is asked of the upstream before its budget is (`restart`).
    """
    settings, clock, generation = Settings(config), clock or SystemClock(), Generation()
    credential = Credential(read_source(key))
    tokens = Tokens(read_token_file(config.access.tokens_file), clock, generation)
    certificate, reloads = _open_certificate(config, clock), Reloads(clock)
    telemetry = telemetry or Telemetry()
    async with AsyncExitStack() as stack:
        base = await open_foundation(
            stack,
            settings,
            clock,
            credential=credential,
            telemetry=telemetry,
            generation=generation,
            sleep=sleep,
            succeeds=succeeds,
        )
        store, upstream, turnstile, shelves, tenancy = base.store, base.upstream, base.turnstile, base.shelves, base.tenancy
        known_runs = KnownRuns(settings, clock, generation)
        lifetimes = RunLifetimes(settings, routes, known_runs, Sightings(clock, generation), clock)
        fetching = open_fetching(
            stack, settings, clock, upstream=upstream, store=store, tenancy=tenancy, lifetimes=lifetimes, purges=base.purges
        )
        statuses = Statuses(fetching.fetcher, known_runs, clock)
        stack.push_async_callback(statuses.aclose)
        proof = await open_proof(
            stack,
            settings,
            clock,
            upstream=upstream,
            fetcher=fetching.fetcher,
            shelves=shelves,
            tenancy=tenancy,
            disk=store.disk,
            limits=limits or Limits(),
        )
        series = open_series(
            stack,
            settings,
            clock,
            fetching=fetching,
            proof=proof,
            statuses=statuses,
            shelves=shelves,
            lifetimes=lifetimes,
            store=store,
        )
        answering = open_answering(
            stack, settings, clock, foundation=base, fetching=fetching, series=series, lifetimes=lifetimes
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
            watching=answering.watching,
        )
        web = open_web(
            settings,
            clock,
            telemetry,
            routes=routes,
            tokens=tokens,
            certificate=certificate,
            tenancy=tenancy,
            memory=store.memory,
            generation=generation,
            lifetimes=lifetimes,
            answerer=answering.answerer,
            viewer=answering.view.viewer,
            watching=answering.watching,
            history=history,
            purging=answering.purging,
            sections=(
                upstream_section(upstream, turnstile),
                series_section(series.computer, proof.checks),
                tokens_section(tokens),
                certificate_section(certificate),
                configuration_section(reloads),
                store_section(store.memory, store.disk),
                log_section(lines),
                organization_section(tenancy),
            ),
            counts={
                "purges": lambda: base.purges.count,
                "series_bytes": lambda: shelves.size_bytes,
                "runs_refreshing": lambda: series.deltas.in_flight,
            },
        )
        summing = asyncio.create_task(web.summary.run(), name="summary.run")
        turning = asyncio.create_task(web.busiest.run(), name="busiest.run")
        stack.push_async_callback(end_tasks, [summing, turning])
        parts = Parts(
            settings=settings,
            credential=credential,
            tokens=tokens,
            reloads=reloads,
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
            reader=answering.reader,
            view=answering.view,
            purging=answering.purging,
            watching=answering.watching,
            history=history,
            web=web,
        )
        expose(telemetry, parts, certificate=certificate, lines=lines)
        yield parts


def _open_certificate(config: Config, clock: Clock) -> Certificate | None:
    path, key = config.server.tls_cert, config.server.tls_key
    return None if path is None or key is None else Certificate(path, key, clock)
