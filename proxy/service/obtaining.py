"""All of one series: its rows, where all are known here, or else pluto-api's sample of them.

How old what is known may be is not decided here. One row of the series is asked for like by any client. That answer is served,
refreshed or asked for, as its age, the demand and the upstream's state have it, and what is known is as new as that answer
then. What is asked upstream for it are the rows that are new of the run, for everybody at once. Where nothing whole is known,
or nothing as new, all of the series is asked for.
"""

from dataclasses import dataclass, replace

from proxy.clock import Clock
from proxy.core.freshness.directives import Demand
from proxy.core.question.query import Query
from proxy.core.series.metrics_query import MetricsQuery
from proxy.core.series.recipes import Recipe
from proxy.service.answer import Answer
from proxy.service.knowledge.shelves import Shelves
from proxy.service.lifetimes.run_lifetimes import RunLifetimes
from proxy.service.reader import Reader
from proxy.service.series.computer import Computer
from proxy.service.tenancy import Tenancy, Tenant


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """A series all of whose rows are known. `recipe` is how a question about all of it is answered."""

    tenant: Tenant
    series: MetricsQuery
    recipe: Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Obtained:
    """What there is of a series.

    - `answer` is what was said last, about one row of it or all of it, and `query` what that answers. Its status may be a 4xx.
    - `whole`: all of its rows, none of which is older than the answer. Where it is None the answer is about all of the series.
    - `series` is None where no answers about it can be computed now.
    """

    query: Query
    answer: Answer
    series: MetricsQuery | None
    whole: Whole | None


class Obtainer:
    """Obtains series."""

    def __init__(
        self,
        *,
        reader: Reader,
        computer: Computer,
        shelves: Shelves,
        lifetimes: RunLifetimes,
        tenancy: Tenancy,
        clock: Clock,
    ) -> None:
        self._reader = reader
        self._computer = computer
        self._shelves = shelves
        self._lifetimes = lifetimes
        self._tenancy = tenancy
        self._clock = clock

    async def obtain(self, query: Query, demand: Demand, *, client: str, deadline_s: float | None = None) -> Obtained:
        """Obtain what there is of a series; `query` asks for all of it, with the greatest limit.

        `demand`, `client`, `deadline_s`, and what is raised: as `Reader.read` has them.
        """
        series = self._computer.computable(query)
        if series is not None and await self._is_known(series):
            tiny = replace(series, limit=1).query
            answer = await self._reader.read(tiny, demand, client=client, deadline_s=deadline_s)
            if (whole := self._whole(answer, series)) is not None:
                return Obtained(query=tiny, answer=answer, series=series, whole=whole)
        answer = await self._reader.read(query, demand, client=client, deadline_s=deadline_s)
        whole = None if series is None else self._whole(answer, series)
        return Obtained(query=query, answer=answer, series=series, whole=whole)

    async def _is_known(self, series: MetricsQuery) -> bool:
        """Tell whether all rows of a series are known, however old they are: the question that follows sees to that."""
        tenant = self._tenancy.current()
        usable_s = self._lifetimes.of(series.query, tenant).usable_s
        # The disk is read where memory has nothing that could be used.
        known = await self._computer.look_up(tenant, series, newer_than_s=self._clock.now_s() - usable_s)
        return known.newest is not None

    def _whole(self, answer: Answer, series: MetricsQuery) -> Whole | None:
        """Return what is known of a series, if that is all of it, and as new as an answer about it."""
        if not self._shelves.is_open or answer.entry.status != 200:
            return None
        recipe = self._shelves.known(answer.tenant, series).newest
        if recipe is None or recipe.tail_asked_s < answer.entry.sent_at_s:
            return None
        return Whole(tenant=answer.tenant, series=series, recipe=recipe)
