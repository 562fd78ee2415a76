"""Metric questions answered from what other questions brought.

`core.series.extents` has the theory. What is known of a run's series lies on shelves by scope; an answer computed from it is an
entry in memory like any other, with the age of its oldest part.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import Protocol

import structlog

from proxy.clock import Clock
from proxy.core.freshness.entry import Entry, digest_of
from proxy.core.question.keeping import Keeping
from proxy.core.question.query import Query
from proxy.core.series.answers import splitting
from proxy.core.series.extents import Extents, Plan, computing, plan_of
from proxy.core.series.growth import differing, knowing_again, narrowed, replaced
from proxy.core.series.metrics_query import MetricsQuery, metrics_query
from proxy.service.fetching.encoder import Encoder
from proxy.service.fetching.need import Fetched
from proxy.service.fetching.tenancy import Tenant
from proxy.service.proof.checks import Checks
from proxy.service.series.runs import Runs
from proxy.service.series.shelves import Shelves
from proxy.slices import in_slices
from proxy.store.memory import MemoryStore
from proxy.upstream.client import Taking

_log = structlog.get_logger()


class Looked(Protocol):
    """Takes notice of a look at series; see `service.status.looks`."""

    def __call__(self, namespace: str, question: MetricsQuery, at_s: float, *, confirms: bool) -> None:
        """`at_s` is a wall time."""


def _nobody(namespace: str, question: MetricsQuery, at_s: float, *, confirms: bool) -> None:
    """Take no notice."""


class Series:
    """Computes answers."""

    def __init__(
        self,
        shelves: Shelves,
        runs: Runs,
        checks: Checks,
        *,
        memory: MemoryStore,
        encoder: Encoder,
        clock: Clock,
        enabled: bool,
        overlap_s: float,
    ) -> None:
        self.shelves = shelves
        self.runs = runs
        self.checks = checks
        self._memory = memory
        self._encoder = encoder
        self._clock = clock
        self._enabled = enabled
        self._overlap_s = overlap_s
        self._taking: dict[tuple[MetricsQuery, str, float], asyncio.Task[Extents | None]] = {}
        checks.distrusted = self.forget
        self.computed = 0
        self.tail_age_s = self.whole_age_s = 0.0
        """How long ago the newest rows of the last computed answer, and all of it, were asked for."""
        self.changed: Callable[[str, str, str, float], None] = lambda _namespace, _run, _project, _at_s: None
        """Called with namespace, run, project and the wall time when rows of a run were seen to have changed."""
        self.looked: Looked = _nobody
        """Called when the upstream was asked for series in full."""

    def understood(self, query: Query) -> MetricsQuery | None:
        """Take a question apart; None where it is only ever asked as it is."""
        if not self._enabled:
            return None
        if not self.checks.trusted:
            self.checks.look_again(metrics_query(query))
            return None
        return metrics_query(query)

    async def lookup(self, tenant: Tenant, query: Query, asked: MetricsQuery, *, newer_than_s: float) -> Entry | None:
        """Return the newest answer that can be computed, if all of it was asked for after `newer_than_s`."""
        self.runs.watch(asked)
        found = _newest(asked, self.holding(tenant, asked))
        if found is None or found[0].tail_at_s <= newer_than_s:
            missing = [scope for scope in asked.scopes if not self.shelves.is_loaded(tenant, scope)]
            loaded = await asyncio.gather(*(self.shelves.load(tenant, scope) for scope in missing))
            windows = [window for windows in loaded for window in windows if window.question.holds(asked)]
            found = _newest(asked, [*self.holding(tenant, asked), *windows] if windows else []) or found
        if found is None or found[0].tail_at_s <= newer_than_s:
            return None
        return await self.compute(tenant, query, *found)

    async def compute(self, tenant: Tenant, query: Query, plan: Plan, extents: Extents) -> Entry | None:
        """Return an answer computed as planned as an entry, kept like any other; None where the rule was broken meanwhile."""
        computed = await in_slices(computing(plan))
        if not self.checks.trusted:
            return None
        self.checks.note(extents)
        self.computed += 1
        self.tail_age_s = self._clock.now_s() - computed.tail_at_s
        self.whole_age_s = self._clock.now_s() - computed.whole_at_s
        self.checks.compare(plan.query, computed, extents, sampled=plan.is_sampled)
        entry = Entry(
            body=computed.body,
            sent_at_s=computed.tail_at_s,
            digest=digest_of(computed.body),
            whole_at_s=computed.whole_at_s if computed.whole_at_s < computed.tail_at_s else None,
            through=computed.through,
            # Nothing of its series, that is, not only of its window.
            scant=computed.through is None,
        )
        self._encoder.keep(tenant, query.target, entry, Keeping.MEMORY)
        return entry

    async def compare(self, tenant: Tenant, asked: MetricsQuery, said: Entry) -> None:
        """Compare an answer of the upstream with what would have been computed, where that is possible."""
        extents, plan = next(self.known(tenant, asked), (None, None))
        if extents is None or plan is None or not self.checks.is_curious:
            return
        computed = await in_slices(computing(plan))
        if computed.body != said.body:
            self.checks.suspect(asked, computed.body, extents.question)

    def holding(self, tenant: Tenant, asked: MetricsQuery) -> Iterator[Extents]:
        """Yield what is in memory of windows that hold a question, the newest first."""
        windows = (window for scope in asked.scopes for window in self.shelves.peek(tenant, scope))
        yield from sorted(
            (window for window in windows if window.question.holds(asked)), key=lambda window: window.tail_at_s, reverse=True
        )

    def known(self, tenant: Tenant, asked: MetricsQuery) -> Iterator[tuple[Extents, Plan]]:
        """Yield the windows in memory that a question can be answered from, the newest first, with how old that would be."""
        for extents in self.holding(tenant, asked):
            if (plan := plan_of(extents, asked)) is not None:
                yield extents, plan

    def is_known(self, tenant: Tenant, asked: MetricsQuery) -> bool:
        """Tell whether memory has what a question is answered from."""
        return next(self.known(tenant, asked), None) is not None

    def is_known_empty(self, tenant: Tenant, asked: MetricsQuery) -> bool:
        """Tell whether what a question asks for was found not to have any rows."""
        return any(plan.through is None for _, plan in self.known(tenant, asked))

    def installed(self, tenant: Tenant, question: MetricsQuery, sent_at_s: float) -> Extents | None:
        """Return what is kept of a question's answer that was asked for at some time or later."""
        windows = self.shelves.peek(tenant, question.wide)
        return next((one for one in windows if one.question.windowed == question and one.whole_at_s >= sent_at_s), None)

    async def install(self, tenant: Tenant, extents: Extents, *, persist: bool, fresh_s: float) -> bool:
        """Keep what an answer told; return whether memory does.

        Windows of which all is younger than `fresh_s` are put together. What a name's own question told is told of it in the
        windows of all names too.
        """
        question, now_s = extents.question, self._clock.now_s()
        await self._compare(tenant, extents)
        for window in self.shelves.peek(tenant, question.wide):
            if window.question.windowed == question.windowed:
                extents = await in_slices(knowing_again(window, extents, overlap_s=self._overlap_s))
        for window in self.shelves.peek(tenant, replace(question.wide, name=None)) if question.name is not None else ():
            if question.holds(replace(window.question, name=question.name)):
                self.shelves.replace(tenant, window, replaced(window, extents), persist=persist)
                if window.question.holds(question):
                    return True
        return self.shelves.put(
            tenant, extents, persist=persist, joins=lambda window: now_s - min(window.tail_at_s, window.whole_at_s) < fresh_s
        )

    async def _compare(self, tenant: Tenant, extents: Extents) -> None:
        """Compare what an answer tells with what was known of the same series, and take notice of the look."""
        question = extents.question
        before = [
            window for window in self.shelves.peek(tenant, question.wide) if window.question.windowed == question.windowed
        ]
        if question.name is not None:
            for window in self.shelves.peek(tenant, replace(question.wide, name=None)):
                narrow = replace(window.question, name=question.name)
                if question == narrow.windowed:
                    before.append(narrowed(window, narrow))
        differ = [await self.differ(window, extents) for window in before]
        if any(differ):
            self.note_change(tenant, extents)
        confirms = bool(before) and not any(differ)
        known_s = min(window.tail_at_s for window in before) if confirms else extents.whole_at_s
        self.looked(tenant.namespace, question, known_s, confirms=confirms)

    async def differ(self, before: Extents, after: Extents) -> bool:
        """Tell whether what is known now of a window is newer than what was known before, and has other rows."""
        return after.tail_at_s > before.tail_at_s and await in_slices(differing(before, after))

    def note_change(self, tenant: Tenant, after: Extents) -> None:
        """Take notice that rows have changed."""
        self.changed(tenant.namespace, after.question.run, after.question.project, after.tail_at_s)

    def taking(self, question: MetricsQuery) -> Taking:
        """Return how the answer to a question is taken apart while it is checked."""
        return partial(splitting, question=question, overlap_s=self._overlap_s, documented=True)

    async def taken_apart(self, fetched: Fetched, question: MetricsQuery) -> Extents | None:
        """Return an answer of the upstream taken apart, None where that isn't possible.

        Where whoever asked for it did not want that, it is done now, once for everybody who waits for it. What was asked for
        before the rule was found broken may have been made by another one.
        """
        if fetched.entry.sent_at_s <= self.shelves.since_s:
            return None
        if fetched.extents is not None:
            return fetched.extents
        taken = (question, fetched.entry.digest, fetched.entry.sent_at_s)
        if (task := self._taking.get(taken)) is None:
            task = asyncio.get_running_loop().create_task(self._split(fetched.entry, question))
            self._taking[taken] = task
            task.add_done_callback(lambda _: self._taking.pop(taken))
        return await asyncio.shield(task)

    async def _split(self, entry: Entry, question: MetricsQuery) -> Extents | None:
        try:
            return await in_slices(splitting(entry.body, question, sent_at_s=entry.sent_at_s, overlap_s=self._overlap_s))
        except ValueError as exc:
            _log.warning("series.not_understood", key=question.query.target, reason=str(exc))
            return None

    def forget(self) -> None:
        """Forget what was computed, and with it everything in memory, and all that it was computed from."""
        self.shelves.forget(now_s=self._clock.now_s())
        self._memory.clear()


def _newest(asked: MetricsQuery, windows: Iterable[Extents]) -> tuple[Plan, Extents] | None:
    """Return the answer with the newest tail, and then the newest rest, that can be computed from one of some windows."""
    best: tuple[Plan, Extents] | None = None
    for extents in windows:
        plan = plan_of(extents, asked)
        if plan is not None and (best is None or _ages(plan) > _ages(best[0])):
            best = plan, extents
    return best


def _ages(plan: Plan) -> tuple[float, float]:
    return plan.tail_at_s, plan.whole_at_s
