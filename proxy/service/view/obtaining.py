"""What a view of one series is made of: its rows, where all are known here, or else pluto-api's sample of them.

How old what is known may be is not decided here. One row of the series is asked for like by any client. That answer is served,
refreshed or asked for, as its age and the upstream's state demand, and what is known is as new as that answer then. Where
nothing whole is known, or nothing as new, all of the series is asked for. If that brings a sample, and it is wanted again, the
series is loaded.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from proxy.clock import Clock
from proxy.core.access.grants import Grant
from proxy.core.freshness.entry import Entry
from proxy.core.question.query import Query
from proxy.core.series.metrics_query import MetricsQuery
from proxy.core.series.recipes import Recipe
from proxy.service.access.scopes import Scopes
from proxy.service.answer import Answer
from proxy.service.fetching.need import Need
from proxy.service.knowledge.shelves import Shelves
from proxy.service.lifetimes.run_lifetimes import RunLifetimes
from proxy.service.reader import Reader
from proxy.service.series.computer import Computer
from proxy.service.series.loading import Loader
from proxy.service.tenancy import Tenancy, Tenant


@dataclass(frozen=True, slots=True, kw_only=True)
class Requester:
    """Who asks: in whose turn the upstream is asked, until when (monotonic clock), and what they may see now.

    `granted` raises where they may no longer ask.
    """

    client: str
    deadline_s: float
    granted: Callable[[], Grant]


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """A series all of whose rows are known. `recipe` is how a question about all of it is answered."""

    tenant: Tenant
    series: MetricsQuery
    recipe: Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What pluto-api answered to a question about all of a series, with the greatest limit. Its status may be a 4xx."""

    tenant: Tenant
    entry: Entry


class Obtainer:
    """Obtains what views are made of."""

    def __init__(
        self,
        *,
        scopes: Scopes,
        reader: Reader,
        computer: Computer,
        loader: Loader,
        shelves: Shelves,
        lifetimes: RunLifetimes,
        tenancy: Tenancy,
        clock: Clock,
    ) -> None:
        self._scopes = scopes
        self._reader = reader
        self._computer = computer
        self._loader = loader
        self._shelves = shelves
        self._lifetimes = lifetimes
        self._tenancy = tenancy
        self._clock = clock

    async def obtain(self, query: Query, requester: Requester) -> Whole | Sample:
        """Obtain what there is of a series; `query` asks for all of it. Raises as `Reader.read` and `Scopes.restrict` do."""
        tenant, series = self._tenancy.current(), self._computer.computable(query)
        if series is not None:
            newer_than_s = self._clock.now_s() - self._lifetimes.of(query, tenant).usable_s
            known = await self._computer.look_up(tenant, series, newer_than_s=newer_than_s)
            if known.newest is not None:
                told = await self._read(replace(series, limit=1).query, requester)
                if (whole := self._whole(told, series)) is not None:
                    return whole
        told = await self._read(query, requester)
        whole = None if series is None else self._whole(told, series)
        if series is not None and whole is None and told.entry.status == 200:
            need = Need(not_before_s=self._clock.now_s(), persist=True, landings=0, client=requester.client)
            self._loader.want(told.tenant, series, need)
        return whole or Sample(tenant=told.tenant, entry=told.entry)

    async def _read(self, query: Query, requester: Requester) -> Answer:
        read = await self._reader.read(query, client=requester.client, deadline_s=requester.deadline_s)
        return self._scopes.restrict(requester.granted(), query, read)

    def _whole(self, told: Answer, series: MetricsQuery) -> Whole | None:
        """Return what is known of a series if all of it is, and that is as new as what was told of it."""
        if not self._shelves.is_open or told.entry.status != 200:
            return None
        recipe = self._shelves.known(told.tenant, series).newest
        if recipe is None or recipe.tail_asked_s < told.entry.sent_at_s:
            return None
        return Whole(tenant=told.tenant, series=series, recipe=recipe)
