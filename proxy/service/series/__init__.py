"""Queries about series: answered from what is known, and asked so that others can be answered, too.

In this room a *question* is a `MetricsQuery`: what a query about metrics asks for.

- `computer` computes answers from what is known.
- `asking` chooses how to obtain any other answer, of other routes, too: by `updating`, by `widening`, or by the query as it
  came. `wanted` has what goes in and what comes out.
- `updating` answers by a delta. `deltas` asks for what is new, and `delta_planner` says what that is.
- `widening` asks a wider question. `widening_policy` chooses it, by what `interest` and `run_sizes` have found out.
- `loading` loads long series, each by a `load`; `rotation` looks at them again.
- `refreshing` asks when nobody waits.
"""

from contextlib import AsyncExitStack
from dataclasses import dataclass

from proxy.clock import Clock
from proxy.config import Config
from proxy.service.fetching import FetchingRoom
from proxy.service.knowledge.learner import Learner
from proxy.service.knowledge.shelves import Shelves
from proxy.service.lifetimes.run_lifetimes import RunLifetimes
from proxy.service.proof import ProofRoom
from proxy.service.series.asking import Asker
from proxy.service.series.computer import Computer
from proxy.service.series.delta_planner import DeltaPlanner
from proxy.service.series.deltas import Deltas
from proxy.service.series.interest import Interest
from proxy.service.series.load import WindowLoader
from proxy.service.series.loading import Loader
from proxy.service.series.refreshing import Refresher
from proxy.service.series.rotation import Rotation
from proxy.service.series.run_sizes import RunSizes
from proxy.service.series.updating import Updater
from proxy.service.series.widening import Widener
from proxy.service.series.widening_policy import WideningPolicy
from proxy.service.statuses import Statuses
from proxy.store.tiers import TieredStore
from proxy.upstream.exchange import Bounds


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesRoom:
    """The room's parts that others use, or look at."""

    computer: Computer
    learner: Learner
    deltas: Deltas
    rotation: Rotation
    loader: Loader
    asker: Asker
    refresher: Refresher


def open_series(
    stack: AsyncExitStack,
    config: Config,
    clock: Clock,
    *,
    fetching: FetchingRoom,
    proof: ProofRoom,
    statuses: Statuses,
    shelves: Shelves,
    lifetimes: RunLifetimes,
    store: TieredStore,
) -> SeriesRoom:
    """Open the room; the stack closes it."""
    settings, fetcher = config.series, fetching.fetcher
    # An answer that is too large to be kept would be fetched in vain.
    bounds = Bounds(bytes=min(settings.max_fetch_bytes, config.cache.max_object_bytes), rows=settings.max_fetch_rows)
    interest = Interest(clock)
    policy = WideningPolicy(interest, clock, max_rows=settings.max_fetch_rows)
    learner = Learner(shelves, lifetimes, clock, overlap_s=settings.overlap_s)
    computer = Computer(
        shelves=shelves,
        checks=proof.checks,
        interest=interest,
        encoder=fetching.encoder,
        lifetimes=lifetimes,
        clock=clock,
        enabled=settings.enabled,
    )
    rotation = Rotation(
        fetcher=fetcher,
        splitter=proof.splitter,
        evidence=proof.evidence,
        prover=proof.prover,
        learner=learner,
        clock=clock,
        bounds=bounds,
        rewrite_check_s=settings.rewrite_check_s,
    )
    stack.push_async_callback(rotation.aclose)
    planner = DeltaPlanner(
        shelves=shelves, interest=interest, policy=policy, lifetimes=lifetimes, clock=clock, settings=settings
    )
    deltas = Deltas(
        fetcher=fetcher,
        splitter=proof.splitter,
        evidence=proof.evidence,
        prover=proof.prover,
        learner=learner,
        planner=planner,
        policy=policy,
        rotation=rotation,
        clock=clock,
        bounds=bounds,
    )
    stack.push_async_callback(deltas.aclose)
    widener = Widener(
        fetcher=fetcher,
        splitter=proof.splitter,
        evidence=proof.evidence,
        prover=proof.prover,
        learner=learner,
        computer=computer,
        policy=policy,
        encoder=fetching.encoder,
        lifetimes=lifetimes,
        bounds=bounds,
    )
    loader = Loader(
        windows=WindowLoader(
            fetcher=fetcher,
            splitter=proof.splitter,
            evidence=proof.evidence,
            prover=proof.prover,
            clock=clock,
            bounds=bounds,
            max_rows=settings.max_rows,
        ),
        learner=learner,
        shelves=shelves,
        lifetimes=lifetimes,
        clock=clock,
        max_rows=settings.max_rows,
        memory_bytes=settings.memory_bytes,
        call_cost_rows=settings.call_cost_rows,
        rewrite_check_s=settings.rewrite_check_s,
    )
    stack.push_async_callback(loader.aclose)
    asker = Asker(
        fetcher=fetcher,
        memo=fetching.memo,
        computer=computer,
        sizes=RunSizes(store, fetcher, statuses, policy, clock),
        updater=Updater(deltas, computer, policy),
        widener=widener,
        loader=loader,
    )
    refresher = Refresher(asker=asker, fetcher=fetcher, statuses=statuses, interest=interest, lifetimes=lifetimes, clock=clock)
    stack.push_async_callback(refresher.aclose)
    return SeriesRoom(
        computer=computer, learner=learner, deltas=deltas, rotation=rotation, loader=loader, asker=asker, refresher=refresher
    )
