"""What the upstream's answers tell of series, added to what is known. Every answer counts as a sighting of its series, too.

An answer about a whole window is **installed**: it takes the place of what was known of that window. An answer about what is
new, or about one name of several, lets the windows **grow** that hold those series.
"""

from collections.abc import Awaitable, Callable, Collection, Iterator
from dataclasses import replace
from typing import NamedTuple

import structlog

from proxy.clock import Clock
from proxy.core.pieces import Work
from proxy.core.series.compacting import compacting
from proxy.core.series.extents import Extents, Known, is_long, without_rows
from proxy.core.series.growth import differing, extending, keeping_settled, tells_nothing
from proxy.core.series.joining import narrowed, replaced
from proxy.core.series.metrics_query import MetricsQuery
from proxy.core.series.rechecking import rechecking
from proxy.service.knowledge.shelves import Shelves
from proxy.service.lifetimes.run_lifetimes import RunLifetimes
from proxy.service.tenancy import Tenant
from proxy.slices import in_slices

_log = structlog.get_logger()


class _Renewed(NamedTuple):
    """A window as it is now, and whether its rows differ from what they were."""

    extents: Extents
    differs: bool


_Renewing = Callable[[Extents], Awaitable[tuple[Extents, bool]]]


class Learner:
    """Adds what answers tell to what is known."""

    def __init__(self, shelves: Shelves, lifetimes: RunLifetimes, clock: Clock, *, overlap_s: float) -> None:
        """`overlap_s`: how long rows may become visible out of order (`core.series.answers`)."""
        self._shelves = shelves
        self._lifetimes = lifetimes
        self._clock = clock
        self._overlap_s = overlap_s
        self.misfits = 0
        """How often what was known of a name did not fit what came."""
        self.rows_saved = 0
        """How many rows of growing windows did not have to be asked for again."""

    def installed_since(self, tenant: Tenant, question: MetricsQuery, sent_at_s: float) -> Extents | None:
        """Return the window that a question's answer was installed as, if all of it was asked for at `sent_at_s` or later."""
        windows = self._shelves.peek(tenant, question.in_full)
        return next((one for one in windows if one.question.densest == question and one.oldest_asked_s >= sent_at_s), None)

    def known_windows(self, tenant: Tenant, question: MetricsQuery) -> list[Extents]:
        """Return the windows in memory that hold a question's series: those of its own selection, and those of all names."""
        return self._shelves.windows(tenant, _scopes_of(question))

    async def install(self, tenant: Tenant, extents: Extents, *, persist: bool, fresh_s: float) -> bool:
        """Keep what an answer about a whole window tells; return whether memory holds it.

        Windows that are wholly younger than `fresh_s` seconds are put together. An answer about one name is added to the
        windows of all names, too.
        """
        question, now_s = extents.question, self._clock.now_s()
        await self._note_sighting(tenant, extents)
        windows = self._shelves.windows(tenant, _scopes_of(question))
        for window in [one for one in windows if one.question.densest == question.densest]:
            if is_long(extents) or is_long(window):
                continue  # one answer can't hold a long series: it is no later look at it
            if (before := await self._shelves.present(tenant, window)) is not None:
                extents = await in_slices(keeping_settled(before, extents, overlap_s=self._overlap_s))
        extents = await in_slices(compacting(extents))
        self._let_long_series_out(tenant, extents, persist=persist)
        if question.name is not None and not is_long(extents) and self._replace_for_all_names(tenant, extents, persist=persist):
            return True
        return self._shelves.put(
            tenant,
            extents,
            persist=persist,
            joins=lambda window: now_s - min(window.tail_asked_s, window.full_asked_s) < fresh_s,
        )

    def _let_long_series_out(self, tenant: Tenant, extents: Extents, *, persist: bool) -> None:
        """Give a window of its own to each series of a window of all names that has grown too long for one answer.

        What is known of it would be lost with that window, in whose place the answer comes.
        """
        for window in self._shelves.peek(tenant, extents.question.in_full):
            some = (name for name, extent in extents.by_name.items() if extent.known is Known.SOME)
            out = [name for name in some if name in window.complete]
            if extents.question.name is not None or window.question != extents.question or not out:
                continue
            for name in out:
                alone = narrowed(window, replace(window.question, name=name))
                self._shelves.put(tenant, alone, persist=persist, joins=lambda _: False)
            rest = {name: without_rows(window.by_name[name], Known.SOME) for name in out}
            self._shelves.replace(tenant, window, replace(window, by_name={**window.by_name, **rest}), persist=persist)

    def _replace_for_all_names(self, tenant: Tenant, extents: Extents, *, persist: bool) -> bool:
        """Add an answer about one name to the windows of all names; return whether one of them holds all of it."""
        question = extents.question
        for window in self._shelves.peek(tenant, replace(question.in_full, name=None)):
            if question.holds(replace(window.question, name=question.name)):
                self._shelves.replace(tenant, window, replaced(window, extents), persist=persist)
                if window.question.holds(question):
                    return True
        return False

    async def grow(self, tenant: Tenant, delta: Extents, names: Collection[str], *, persist: bool) -> bool:
        """Add what an answer tells to every window that it tells about, also to those of these single names.

        Return False, and add nothing, where the rule was found broken.
        """
        if not self._shelves.is_open:
            return False
        for old in list(self.open_windows(tenant, delta.question, names)):
            await self._grow(tenant, old, delta, persist=persist)
        return True

    async def recheck(self, tenant: Tenant, came: Extents, *, again_s: float, persist: bool) -> bool:
        """Put the rows of a stretch that was asked for again in place of those known; return whether any of them had changed.

        `came`: the stretch, proven whole, of one series. `again_s` as in `core.series.rechecking`.
        """

        async def recheck(old: Extents) -> tuple[Extents, bool]:
            looked = await in_slices(rechecking(old, came, overlap_s=self._overlap_s, again_s=again_s))
            return await in_slices(compacting(looked.extents)), looked.changed

        changed = False
        question = came.question
        for window in self._shelves.peek(tenant, question.in_full):
            if window.question.last is None and window.question.first <= question.first:
                renewed = await self._renew(tenant, window, question.first, question.last, recheck, persist=persist)
                changed = changed or (renewed is not None and renewed.differs)
        return changed

    def open_windows(self, tenant: Tenant, question: MetricsQuery, names: Collection[str]) -> Iterator[Extents]:
        """Yield the windows in memory without a last step that an answer to a question tells about.

        `names`: names with windows of their own, which a question about all names tells about, too.
        """
        selections = _scopes_of(question)
        if question.name is None:
            selections += [replace(question.in_full, name=name) for name in names]
        return (window for window in self._shelves.windows(tenant, selections) if window.question.last is None)

    async def _note_sighting(self, tenant: Tenant, extents: Extents) -> None:
        """Compare what an answer tells with what was known of the same series, and note the sighting."""
        question, before = extents.question, list[Extents]()
        only = extents.by_name.get(question.name or "")
        for one in self._shelves.windows(tenant, _scopes_of(question)):
            if is_long(one) and only is not None and only.known is Known.SOME:
                continue  # a sample doesn't tell
            if (window := await self._shelves.present(tenant, one, question.first, question.last)) is None:
                continue
            narrow = replace(window.question, name=question.name)
            if window.question.densest == question.densest:
                before.append(window)
            elif question == narrow.densest:
                before.append(narrowed(window, narrow))
        differ = [await self._differ(window, extents) for window in before]
        if any(differ):
            self._lifetimes.note_change(question, tenant, extents.tail_asked_s)
        confirms = bool(before) and not any(differ)
        known_s = min(window.tail_asked_s for window in before) if confirms else extents.full_asked_s
        self._lifetimes.note_sighting(question, tenant, known_s, confirms=confirms)

    async def _differ(self, before: Extents, after: Extents) -> bool:
        """Tell whether a window is newer than the one before it, and has other rows."""
        return after.tail_asked_s > before.tail_asked_s and await in_slices(differing(before, after))

    async def _grow(self, tenant: Tenant, window: Extents, delta: Extents, *, persist: bool) -> None:
        """Add what an answer tells to a window."""

        async def grow(old: Extents) -> tuple[Extents, bool]:
            new = await in_slices(self._grown(old, delta))
            return new, await self._differ(old, new)

        renewed = await self._renew(tenant, window, delta.question.first, None, grow, persist=persist)
        if renewed is not None:
            self.rows_saved += max(0, renewed.extents.rows - delta.rows)

    async def _renew(
        self, tenant: Tenant, window: Extents, first: int, last: int | None, renew: _Renewing, *, persist: bool
    ) -> _Renewed | None:
        """Put in a window's place what `renew` makes of it, or of whatever has taken its place meanwhile.

        None where it has gone. `first` and `last` are the steps whose rows that takes, inclusive. Whether any rows differ is
        found out before anybody can see the new ones: once they are there, the run must not count as ended.
        """
        old: Extents | None = window
        while old is not None and (old := await self._shelves.present(tenant, old, first, last)) is not None:
            renewed = _Renewed(*await renew(old))
            if self._shelves.replace(tenant, old, renewed.extents, persist=persist):
                if renewed.differs:
                    self._lifetimes.note_change(renewed.extents.question, tenant, renewed.extents.tail_asked_s)
                return renewed
            now = self._shelves.peek(tenant, window.question.in_full)
            old = next((one for one in now if one.question == window.question), None)
        return None

    def _grown(self, old: Extents, delta: Extents) -> Work[Extents]:
        name = old.question.name or ""
        if name in old.by_name and tells_nothing(old.by_name[name], delta.by_name.get(name), delta.question):
            return old
        if delta.question.holds(old.question) and delta.question != delta.question.densest:
            delta = narrowed(delta, replace(old.question, limit=delta.question.limit))
        elif delta.question.holds(old.question):
            if delta.tail_asked_s < old.tail_asked_s:
                return old
            return (yield from keeping_settled(old, narrowed(delta, old.question), overlap_s=self._overlap_s))
        elif delta.question.name is not None and delta.question.first <= old.question.first:
            return (yield from compacting(replaced(old, delta)))
        new = yield from extending(old, delta, overlap_s=self._overlap_s)
        lost = [name for name, extent in new.by_name.items() if _is_lost(extent.known, old, name)]
        if lost:
            self.misfits += 1
            _log.info("series.misfit", run=old.question.run, names=len(lost))
        return (yield from compacting(new))


def _scopes_of(question: MetricsQuery) -> list[MetricsQuery]:
    """Return the selections that hold a question's series: its own, and that of all names."""
    wide = question.in_full
    return [wide] if question.name is None else [wide, replace(wide, name=None)]


def _is_lost(known: Known, old: Extents, name: str) -> bool:
    return known is Known.NOT_YET and (name not in old.by_name or old.by_name[name].known is not Known.NOT_YET)
