"""The engine that computes metric answers: its parts, in the order in which they need each other."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass

from proxy.clock import Clock
from proxy.config import Config
from proxy.core.freshness.purge import Purges
from proxy.core.proof.limits import Limits
from proxy.core.run_status import Ramp
from proxy.service.fetching.encoder import Encoder
from proxy.service.fetching.fetcher import Fetcher
from proxy.service.fetching.memo import Memo
from proxy.service.fetching.tenancy import Tenancy
from proxy.service.proof.checks import Checks
from proxy.service.proof.proving import Prover
from proxy.service.proof.witnesses import Witnesses
from proxy.service.series.asking import Asker
from proxy.service.series.assembling import Assembler
from proxy.service.series.deltas import Deltas
from proxy.service.series.runs import Runs
from proxy.service.series.series import Series
from proxy.service.series.shelves import Shelves
from proxy.service.series.watched import Watched
from proxy.service.series.widening import Widening
from proxy.service.status.lifetimes import RunLifetimes
from proxy.service.status.statuses import Statuses
from proxy.store.tiers import TieredStore
from proxy.upstream.client import Upstream
from proxy.upstream.exchange import Bounds


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """What answers metric questions from what other questions brought, and asks so that others can be answered."""

    statuses: Statuses
    series: Series
    deltas: Deltas
    prover: Prover
    witnesses: Witnesses
    assembler: Assembler
    asker: Asker


async def open_engine(
    stack: AsyncExitStack,
    config: Config,
    clock: Clock,
    *,
    upstream: Upstream,
    store: TieredStore,
    tenancy: Tenancy,
    encoder: Encoder,
    fetcher: Fetcher,
    memo: Memo,
    lifetimes: RunLifetimes,
    purges: Purges,
    limits: Limits,
) -> Engine:
    """Put the engine together; what has to be closed is closed by the stack."""
    statuses = _statuses(config, fetcher, clock)
    lifetimes.ended_fresh_s = statuses.fresh_s
    stack.push_async_callback(statuses.aclose)
    shelves = Shelves(store, memory_bytes=config.series.memory_bytes, overlap_s=config.series.overlap_s, purges=purges)
    stack.push_async_callback(shelves.settled)
    checks = Checks(upstream, clock, shadow_s=config.series.shadow_s)
    stack.push_async_callback(checks.aclose)
    series = Series(
        shelves,
        Runs(clock, max_rows=config.series.max_fetch_rows),
        checks,
        memory=store.memory,
        encoder=encoder,
        clock=clock,
        enabled=config.series.enabled,
        overlap_s=config.series.overlap_s,
    )
    # More than can be kept would be fetched in vain.
    bounds = Bounds(bytes=min(config.series.max_fetch_bytes, config.cache.max_object_bytes), rows=config.series.max_fetch_rows)
    series.changed = lifetimes.changed = statuses.note_change
    series.looked = lifetimes.note_look

    def status_changed(namespace: str, run: str, project: str) -> None:
        lifetimes.note_status(namespace, run, project)
        series.runs.suspect(run, project)

    statuses.changed = status_changed
    witnesses = Witnesses(upstream, limits, clock, tenancy=tenancy, disk=store.disk, forget=series.forget)
    await witnesses.open()
    stack.push_async_callback(witnesses.aclose)
    watching = asyncio.create_task(witnesses.run(), name="witnesses.run")
    stack.push_async_callback(ended, watching)
    prover = Prover(fetcher, limits, clock, overlap_s=config.series.overlap_s)
    stack.push_async_callback(prover.aclose)
    deltas = Deltas(
        fetcher,
        series,
        prover,
        Watched(series, lifetimes, clock, config.series),
        clock,
        overlap_s=config.series.overlap_s,
        bounds=bounds,
    )
    stack.push_async_callback(deltas.aclose)
    widening = Widening(
        fetcher=fetcher,
        series=series,
        prover=prover,
        statuses=statuses,
        store=store,
        encoder=encoder,
        memo=memo,
        lifetimes=lifetimes,
        clock=clock,
        bounds=bounds,
    )
    assembler = Assembler(fetcher, series, prover, lifetimes, clock, bounds=bounds)
    stack.push_async_callback(assembler.aclose)
    asker = Asker(
        fetcher=fetcher,
        series=series,
        deltas=deltas,
        widening=widening,
        assembler=assembler,
        statuses=statuses,
        lifetimes=lifetimes,
        memo=memo,
        clock=clock,
    )
    stack.push_async_callback(asker.aclose)
    return Engine(
        statuses=statuses, series=series, prover=prover, witnesses=witnesses, deltas=deltas, assembler=assembler, asker=asker
    )


def _statuses(config: Config, fetcher: Fetcher, clock: Clock) -> Statuses:
    freshness = config.freshness
    ramp = Ramp(
        settling_s=freshness.settling_s,
        settling_failed_s=freshness.settling_failed_s,
        ended_max_s=freshness.ended_max_s,
    )
    return Statuses(fetcher, clock, status_s=freshness.status_s, ramp=ramp)


async def ended(task: "asyncio.Task[None]") -> None:
    """End a task that runs for as long as the process."""
    task.cancel()
    await asyncio.wait([task])
