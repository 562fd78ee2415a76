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
from proxy.settings import Settings
from proxy.store.tiers import TieredStore


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
    settings: Settings,
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
    fetcher = fetching.fetcher
    interest = Interest(clock)
    policy = WideningPolicy(interest, settings, clock)
    learner = Learner(shelves, lifetimes, clock, overlap_s=settings.now.series.overlap_s)
    computer = Computer(
        shelves=shelves,
        checks=proof.checks,
        interest=interest,
        encoder=fetching.encoder,
        lifetimes=lifetimes,
        clock=clock,
        settings=settings,
    )
    rotation = Rotation(
        fetcher=fetcher,
        splitter=proof.splitter,
        evidence=proof.evidence,
        prover=proof.prover,
        learner=learner,
        clock=clock,
        settings=settings,
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
        settings=settings,
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
        settings=settings,
    )
    loader = Loader(
        windows=WindowLoader(
            fetcher=fetcher,
            splitter=proof.splitter,
            evidence=proof.evidence,
            prover=proof.prover,
            clock=clock,
            settings=settings,
        ),
        learner=learner,
        shelves=shelves,
        lifetimes=lifetimes,
        clock=clock,
        settings=settings,
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
