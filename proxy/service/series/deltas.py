"""What is known of a live run's series brought up to date by asking for what is new, for all that is being watched at once.

One flight for each run: whoever needs its series newer joins it. `service.series.watched` says which calls that takes,
`core.series.growth` joins what they bring. A name that came up new, or of which what is known no longer fits, is asked for in
full within the same flight.
"""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import structlog

from proxy.clock import Clock
from proxy.core.pieces import Work
from proxy.core.series.extents import Extents, Known
from proxy.core.series.growth import extending, knowing_again, narrowed, replaced
from proxy.core.series.metrics_query import MetricsQuery
from proxy.errors import AnswerTooLarge, KeyRefused, UpstreamBusy
from proxy.flight import Flight, Flights
from proxy.service.fetching.fetcher import Fetcher
from proxy.service.fetching.need import Fetched, Need
from proxy.service.fetching.tenancy import Tenant
from proxy.service.proof.proving import Prover
from proxy.service.series.series import Series
from proxy.service.series.watched import Watched
from proxy.slices import in_slices
from proxy.upstream.exchange import Bounds

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A flight that has landed: when it began (wall time), how long it took, and whether the caller had joined it."""

    started_s: float
    elapsed_s: float
    collapsed: bool


@dataclass(slots=True, kw_only=True, eq=False)
class _Refresh:
    """One flight. `run` is the whole of its run; `started_s` when it began (wall time); `asking` are
    the calls under way, `told` what they brought.

    `before`: what was known when it began.
    """

    deltas: "Deltas"
    tenant: Tenant
    run: MetricsQuery
    need: Need
    started_s: float
    asking: list[MetricsQuery] = field(default_factory=list)
    before: list[Extents] = field(default_factory=list)
    told: list[Extents] = field(default_factory=list)

    async def __call__(self) -> bool:
        return await self.deltas.carry_out(self)


class Deltas:
    """Refreshes what is known of live runs."""

    def __init__(
        self,
        fetcher: Fetcher,
        series: Series,
        prover: Prover,
        watched: Watched,
        clock: Clock,
        *,
        overlap_s: float,
        bounds: Bounds,
    ) -> None:
        self._fetcher = fetcher
        self._series = series
        self._prover = prover
        self._watched = watched
        self._clock = clock
        self._overlap_s = overlap_s
        self._bounds = bounds
        self._flights: Flights[tuple[str, str, str], _Refresh, bool] = Flights()
        self.calls = 0
        self.misfits = 0
        self.rows_saved = 0

    async def refreshed(self, tenant: Tenant, asked: MetricsQuery, need: Need) -> Done | None:
        """Bring up to date what a question can be answered from; None where that cannot be done by a delta.

        Raises UpstreamError.
        """
        key = (tenant.fingerprint, asked.run, asked.project)
        began_s = self._clock.monotonic_s()
        while self._watched.serving(tenant, asked):
            flight = self._flights.get(key)
            if flight is not None and flight.started_s < need.not_before_s:
                await flight.ended()
                continue
            joined = flight is not None
            if flight is None:
                call = _Refresh(deltas=self, tenant=tenant, run=asked.whole, need=need, started_s=self._clock.now_s())
                flight = self._flights.start(key, call, now_s=self._clock.now_s())
            else:
                self._join(flight, need)
            if not await flight.result():
                return None
            if joined and not self._watched.has_come(tenant, asked, flight.started_s):
                # It was planned before this question was being watched. Until it is gone it would be joined again and again.
                await flight.ended()
                continue
            return Done(started_s=flight.started_s, elapsed_s=self._clock.monotonic_s() - began_s, collapsed=joined)
        return None

    @property
    def in_flight(self) -> int:
        """How many runs are being refreshed now."""
        return len(self._flights)

    async def aclose(self) -> None:
        """End what is under way."""
        await self._flights.aclose()

    async def carry_out(self, call: _Refresh) -> bool:
        """Do what a flight is for; return whether all calls brought an answer."""
        wanted = self._watched.wanted(call.tenant, call.run)
        call.before = [one.extents for one in wanted]
        questions = self._watched.plan(wanted)
        done = False
        try:
            done = await self._ask_all(call, questions)
            done = done and await self._ask_all(call, self._watched.unfit(call.tenant, wanted))
        except (UpstreamBusy, KeyRefused):
            done = True  # these say nothing about the questions
            raise
        finally:
            if not done:
                # Next time all of it is asked for: in vain, perhaps, but then that is remembered.
                self._series.runs.suspect(call.run.run, call.run.project)
        return done

    async def _ask_all(self, call: _Refresh, questions: Sequence[MetricsQuery]) -> bool:
        call.asking = list(questions)
        return all(await asyncio.gather(*(self._ask(call, question) for question in questions)))

    async def _ask(self, call: _Refresh, question: MetricsQuery) -> bool:
        need = replace(
            call.need,
            keep=False,
            bounds=self._bounds,
            not_before_s=self._clock.now_s(),
            taking=self._series.taking(question),
        )
        self.calls += 1
        try:
            fetched, _ = await self._fetcher.fetch(call.tenant, question.query, need)
        except AnswerTooLarge:
            self._series.runs.note_hopeless(question.wide)
            if question.name is None:
                self._series.runs.note_not_together(question)
            return False
        came = fetched.entry
        if came.status != 200:
            if question == question.wide:
                self._series.runs.note_hopeless(question)
            return False
        delta = await self._series.taken_apart(fetched, question)
        if delta is not None:
            delta = await self._proven(call, fetched, delta)
        if delta is None or not self._series.checks.trusted:
            return False
        await self._apply(fetched.tenant, delta, persist=call.need.persist)
        return True

    async def _proven(self, call: _Refresh, fetched: Fetched, delta: Extents) -> Extents | None:
        """Return an answer if it is proven whole: by what was known before the flight, by what came in it, or by a probe."""
        known = [*self._open_windows(fetched.tenant, delta.question), *call.before, *call.told]
        whole = self._prover.judge(fetched, delta, known, since_s=call.started_s)
        if whole is None:
            whole = await self._prover.prove(fetched, delta, call.need)
        if whole is not None:
            call.told.append(whole)
        return whole

    async def _apply(self, tenant: Tenant, delta: Extents, *, persist: bool) -> None:
        """Add what an answer tells to every window that it tells about."""
        for old in list(self._open_windows(tenant, delta.question)):
            await self._grow(tenant, old, delta, persist=persist)

    def _open_windows(self, tenant: Tenant, question: MetricsQuery) -> Iterator[Extents]:
        """Yield the windows in memory, open at their end, that an answer to a question tells about."""
        scopes = {question.wide, replace(question.wide, name=None)}
        if question.name is None:
            scopes |= {replace(question.wide, name=name) for name, _ in self._series.runs.watched(question)}
        for scope in scopes:
            yield from (window for window in self._series.shelves.peek(tenant, scope) if window.question.last is None)

    async def _grow(self, tenant: Tenant, window: Extents, delta: Extents, *, persist: bool) -> None:
        """Add what an answer tells to a window, whatever takes its place meanwhile."""
        shelves = self._series.shelves
        old: Extents | None = window
        while old is not None:
            new = await in_slices(self._with(old, delta))
            # Known before anybody sees the rows: until then the run may count as ended.
            differs = await self._series.differ(old, new)
            if shelves.replace(tenant, old, new, persist=persist):
                self.rows_saved += max(0, new.rows - delta.rows)
                if differs:
                    self._series.note_change(tenant, new)
                return
            now = shelves.peek(tenant, window.question.wide)
            old = next((one for one in now if one.question == window.question), None)

    def _with(self, old: Extents, delta: Extents) -> Work[Extents]:
        if delta.question.holds(old.question):
            if delta.tail_at_s < old.tail_at_s:
                return old
            return (yield from knowing_again(old, narrowed(delta, old.question), overlap_s=self._overlap_s))
        if delta.question.name is not None and delta.question.first <= old.question.first:
            return replaced(old, delta)
        new = yield from extending(old, delta, overlap_s=self._overlap_s)
        lost = [name for name, extent in new.by_name.items() if _is_lost(extent.known, old, name)]
        if lost:
            self.misfits += 1
            _log.info("series.misfit", run=old.question.run, names=len(lost))
        return new

    def _join(self, flight: "Flight[_Refresh, bool]", need: Need) -> None:
        """Let those go first for which somebody waits now, and keep what comes as long as anybody lets it be kept."""
        if need.persist:
            flight.call.need = replace(flight.call.need, persist=True)
        if need.urgent and not flight.call.need.urgent:
            flight.call.need = replace(flight.call.need, urgent=True, client=need.client, deadline_s=need.deadline_s)
            for question in flight.call.asking:
                self._fetcher.urge(flight.call.tenant, question.query, need)
            self._prover.urge(flight.call.tenant, flight.call.run, need)


def _is_lost(known: Known, old: Extents, name: str) -> bool:
    return known is Known.NOT_YET and (name not in old.by_name or old.by_name[name].known is not Known.NOT_YET)
