"""Views of several runs and metrics at once.

Each series is obtained as any other client would. If that brings a sample, and it is wanted again, the series is loaded.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from proxy.clock import Clock
from proxy.core.access.grants import Grant
from proxy.core.freshness.directives import NO_DEMAND
from proxy.core.freshness.entry import Entry
from proxy.core.freshness.purge import Purges
from proxy.core.question.query import Query
from proxy.core.series.recipes import recipe_of
from proxy.core.view.painting import Painted, View, painting
from proxy.core.view.rows import reading_body
from proxy.core.view.version import NO_ROWS
from proxy.errors import ProxyError, UpstreamBadAnswer, UpstreamError, UpstreamFailed
from proxy.service.access.scopes import Scopes
from proxy.service.fetching.need import Need
from proxy.service.obtaining import Obtained, Obtainer, Whole
from proxy.service.series.loading import Loader
from proxy.service.tenancy import Tenancy, Tenant
from proxy.service.view.painting import SeriesPainter
from proxy.settings import Settings
from proxy.slices import in_slices

# So many series of one request are asked for at once.
_AT_ONCE = 16
# Rows may be lost while they are read, if the cache file is damaged or the rule is found broken; that hardly happens twice.
_TRIES = 3


class State(StrEnum):
    """What a view is made of."""

    COMPLETE = "complete"
    """All rows of the series."""
    SAMPLED = "sampled"
    """The rows that pluto-api chose. They may be all, but nothing proves that."""
    EMPTY = "empty"
    """The series has no rows."""
    FAILED = "failed"
    """Nothing: pluto-api could not be made to answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Requester:
    """Who asks: in whose turn the upstream is asked, until when (monotonic clock), and what they may see now.

    `granted` raises where they may no longer ask.
    """

    client: str
    deadline_s: float
    granted: Callable[[], Grant]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One series to be seen: all of it is what `query` asks for."""

    run: str
    metric: str
    query: Query


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One series as it is seen.

    - `through`: its last step, None where it has none. `version`: that of its rows.
    - `asked_at_s`: when its newest rows were asked for (wall time), `full_asked_at_s`: the oldest of what is seen.
    - `painted`: the view, None where there is nothing to be seen. `error`: why it failed.
    - `purges`: how many purges there had been before. `tenant`: whose it is, None where it failed.
    - `version_of_settings`: the settings by which it was fresh enough.
    """

    wanted: Wanted
    state: State
    purges: int
    version_of_settings: int
    through: int | None = None
    asked_at_s: float | None = None
    full_asked_at_s: float | None = None
    version: str = ""
    painted: Painted | None = None
    error: ProxyError | None = None
    tenant: Tenant | None = None


class Viewer:
    """Shows series."""

    def __init__(
        self,
        *,
        obtainer: Obtainer,
        loader: Loader,
        painter: SeriesPainter,
        scopes: Scopes,
        purges: Purges,
        tenancy: Tenancy,
        clock: Clock,
        settings: Settings,
    ) -> None:
        self._obtainer = obtainer
        self._loader = loader
        self._clock = clock
        self._painter = painter
        self._scopes = scopes
        self._purges = purges
        self._tenancy = tenancy
        self._settings = settings

    async def view(self, wanted: Sequence[Wanted], view: View, requester: Requester) -> list[Seen]:
        """Return the views of series of one project, at least one, in their order.

        A series that pluto-api could not be made to tell is told as failed. What is about all of them raises an error: a
        project that the requester may not see, or a token that was revoked meanwhile.
        """
        await self._scopes.admit(requester.granted(), wanted[0].query, client=requester.client)
        seen = await self._all(wanted, view, requester)
        # What may not be handed out any more is looked at anew.
        while gone := self._gone(seen):
            again = await self._all([seen[place].wanted for place in gone], view, requester)
            for place, one in zip(gone, again, strict=True):
                seen[place] = one
        requester.granted()
        return seen

    def stands(self, seen: Sequence[Seen]) -> bool:
        """Tell whether what was seen may be handed out: nothing of it was purged since, and the settings are the same."""
        return not any(map(self._is_outdated, seen))

    async def _all(self, wanted: Sequence[Wanted], view: View, requester: Requester) -> list[Seen]:
        turns = asyncio.Semaphore(_AT_ONCE)

        async def one(series: Wanted) -> Seen:
            async with turns:
                return await self._one(series, view, requester)

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(series), name="view.series") for series in wanted]
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from None
        return [task.result() for task in tasks]

    async def _one(self, wanted: Wanted, view: View, requester: Requester) -> Seen:
        purges, version = self._purges.count, self._settings.version
        try:
            for _ in range(_TRIES):
                found = await self._obtain(wanted.query, requester)
                seen = await (
                    self._sample(wanted, found.answer.entry, view)
                    if found.whole is None
                    else self._whole(wanted, found.whole, view)
                )
                if seen is not None:
                    return replace(seen, purges=purges, version_of_settings=version, tenant=found.answer.tenant)
            raise UpstreamFailed("the rows were lost while they were read; ask again")
        except UpstreamError as exc:
            return Seen(wanted=wanted, state=State.FAILED, purges=purges, version_of_settings=version, error=exc)

    async def _obtain(self, query: Query, requester: Requester) -> Obtained:
        client = requester.client
        found = await self._obtainer.obtain(query, NO_DEMAND, client=client, deadline_s=requester.deadline_s)
        answer = self._scopes.restrict(requester.granted(), query, found.answer)
        if found.whole is None and found.series is not None and answer.entry.status == 200:
            need = Need(not_before_s=self._clock.now_s(), persist=True, landings=0, client=client)
            self._loader.want(answer.tenant, found.series, need)
        return replace(found, answer=answer)

    async def _whole(self, wanted: Wanted, whole: Whole, view: View) -> Seen | None:
        recipe, source = whole.recipe, whole.recipe.source
        if recipe.through is None:
            return _empty(wanted, recipe.tail_asked_s, recipe.full_asked_s)
        portrait = await self._painter.paint(whole, view)
        if portrait is None:
            return None
        # What is smoothed depends on the rows before the window, too.
        part = None if view.constant else recipe_of(source, replace(whole.series, first=view.first, last=view.last))
        return Seen(
            wanted=wanted,
            state=State.COMPLETE,
            purges=0,
            version_of_settings=0,
            through=recipe.through,
            asked_at_s=recipe.tail_asked_s,
            full_asked_at_s=(part or recipe).full_asked_s,
            version=portrait.version,
            painted=portrait.painted,
        )

    async def _sample(self, wanted: Wanted, entry: Entry, view: View) -> Seen:
        if entry.status != 200:
            raise UpstreamFailed(f"pluto-api refused the query ({entry.status})", upstream_status=entry.status)
        try:
            rows = await in_slices(reading_body(entry.body))
        except ValueError as exc:
            raise UpstreamBadAnswer(str(exc)) from None
        if not rows.steps:
            return _empty(wanted, entry.sent_at_s, entry.oldest_asked_s)
        return Seen(
            wanted=wanted,
            state=State.SAMPLED,
            purges=0,
            version_of_settings=0,
            through=rows.steps[-1],
            asked_at_s=entry.sent_at_s,
            full_asked_at_s=entry.oldest_asked_s,
            version=entry.digest,
            painted=await in_slices(painting(rows, view)),
        )

    def _gone(self, seen: Sequence[Seen]) -> list[int]:
        """Return the places of what was purged since it was seen, or is another organization's than the rest.

        The key may have been changed in between. What was fresh enough by settings of before counts as gone, too.
        """
        mixed = len({one.tenant.namespace for one in seen if one.tenant is not None}) > 1
        namespace = self._tenancy.current().namespace
        return [
            place
            for place, one in enumerate(seen)
            if self._is_outdated(one) or (mixed and one.tenant is not None and one.tenant.namespace != namespace)
        ]

    def _is_outdated(self, seen: Seen) -> bool:
        """Tell whether a purge since a series was looked at takes what is seen of it, or the settings were switched."""
        if seen.full_asked_at_s is None:
            return False
        if seen.version_of_settings != self._settings.version:
            return True
        if seen.purges == self._purges.count:
            return False
        return self._purges.was_purged(seen.wanted.query.target, seen.full_asked_at_s)


def _empty(wanted: Wanted, asked_at_s: float, full_asked_at_s: float) -> Seen:
    return Seen(
        wanted=wanted,
        state=State.EMPTY,
        purges=0,
        version_of_settings=0,
        asked_at_s=asked_at_s,
        full_asked_at_s=full_asked_at_s,
        version=NO_ROWS,
    )
