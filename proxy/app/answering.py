"""What answers: questions, views and events, with who may ask them and what a purge takes away."""

from contextlib import AsyncExitStack
from dataclasses import dataclass

from proxy.app.foundation import Foundation
from proxy.clock import Clock
from proxy.service.access.organizations import Organizations
from proxy.service.access.run_owners import RunOwners
from proxy.service.access.scopes import Scopes
from proxy.service.answering import Answerer
from proxy.service.executor import Executor
from proxy.service.fetching import FetchingRoom
from proxy.service.key_orders import KeyOrders
from proxy.service.lifetimes.run_lifetimes import RunLifetimes
from proxy.service.lookup import Lookup
from proxy.service.obtaining import Obtainer
from proxy.service.purging import Purging
from proxy.service.reader import Reader
from proxy.service.series import SeriesRoom
from proxy.service.view import ViewRoom, open_view
from proxy.service.watching import open_watching
from proxy.service.watching.watching import Watching
from proxy.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsweringRoom:
    """What the web asks."""

    reader: Reader
    answerer: Answerer
    view: ViewRoom
    watching: Watching
    purging: Purging


def open_answering(
    stack: AsyncExitStack,
    settings: Settings,
    clock: Clock,
    *,
    foundation: Foundation,
    fetching: FetchingRoom,
    series: SeriesRoom,
    lifetimes: RunLifetimes,
) -> AnsweringRoom:
    """Make all that answers, from what fetches and what knows series."""
    store, upstream, shelves = foundation.store, foundation.upstream, foundation.shelves
    tenancy, purges = foundation.tenancy, foundation.purges
    reader = _make_reader(settings, clock, foundation=foundation, fetching=fetching, series=series, lifetimes=lifetimes)
    owners = RunOwners(
        store=store,
        fetcher=fetching.fetcher,
        memo=fetching.memo,
        upstream=upstream,
        clock=clock,
        purges=purges,
        settings=settings,
    )
    scopes, key_orders = Scopes(tenancy, owners), KeyOrders()
    obtainer = Obtainer(
        reader=reader, computer=series.computer, shelves=shelves, lifetimes=lifetimes, tenancy=tenancy, clock=clock
    )
    view = open_view(
        clock,
        settings=settings,
        scopes=scopes,
        obtainer=obtainer,
        loader=series.loader,
        shelves=shelves,
        tenancy=tenancy,
        purges=purges,
    )
    return AnsweringRoom(
        reader=reader,
        answerer=Answerer(
            scopes=scopes,
            organizations=Organizations(tenancy, settings),
            reader=reader,
            key_orders=key_orders,
            encoder=fetching.encoder,
            purges=purges,
        ),
        view=view,
        watching=open_watching(
            stack,
            clock,
            obtainer=obtainer,
            settings=settings,
            shelves=shelves,
            tenancy=tenancy,
            lifetimes=lifetimes,
            purges=purges,
            upstream=upstream,
        ),
        purging=Purging(
            purges=purges,
            store=store,
            shelves=shelves,
            fetcher=fetching.fetcher,
            memo=fetching.memo,
            scopes=scopes,
            key_orders=key_orders,
            pyramids=view.pyramids,
        ),
    )


def _make_reader(
    settings: Settings,
    clock: Clock,
    *,
    foundation: Foundation,
    fetching: FetchingRoom,
    series: SeriesRoom,
    lifetimes: RunLifetimes,
) -> Reader:
    executor = Executor(
        asker=series.asker,
        refresher=series.refresher,
        upstream=foundation.upstream,
        lifetimes=lifetimes,
        clock=clock,
        settings=settings,
    )
    return Reader(
        lookup=Lookup(foundation.store, fetching.memo, series.computer, fetching.fetcher, clock),
        executor=executor,
        upstream=foundation.upstream,
        tenancy=foundation.tenancy,
        lifetimes=lifetimes,
        clock=clock,
        settings=settings,
    )
