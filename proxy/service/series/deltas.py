"""Deltas: what is known of a live run's series is brought up to date by asking only for what is new.

There is one flight for each run, which brings everything up to date that is being watched of it; whoever needs its series newer
joins. `service.series.delta_planner` says which calls that takes, `service.knowledge.learner` adds what they bring. A name that
is new, or of which what is known no longer fits, is asked for in full within the same flight.
"""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

from proxy.clock import Clock
from proxy.core.series.extents import Extents
from proxy.core.series.known_series import KnownSeries
from proxy.core.series.metrics_query import MetricsQuery
from proxy.errors import AnswerTooLarge, KeyRefused, UpstreamBusy
from proxy.flight import Flight, Flights
from proxy.service.fetching.fetcher import Fetcher
from proxy.service.fetching.need import Fetched, Need, Reason
from proxy.service.knowledge.learner import Learner
from proxy.service.proof.evidence import Evidence
from proxy.service.proof.proving import Prover
from proxy.service.proof.splitter import Splitter
from proxy.service.series.delta_planner import DeltaPlanner
from proxy.service.series.own_bounds import own_bounds
from proxy.service.series.rotation import Rotation
from proxy.service.series.wanted import WantedSeries
from proxy.service.series.widening_policy import WideningPolicy
from proxy.service.tenancy import Tenant
from proxy.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Updated:
    """An update that is done.

    `started_s`: when its flight began (wall time). `elapsed_s`: for how many seconds the caller waited. `collapsed`: whether
    the caller joined a flight that was under way.
    """

    started_s: float
    elapsed_s: float
    collapsed: bool


@dataclass(slots=True, kw_only=True, eq=False)
class _Update:
    """One flight.

    - `run`: the question for all of its run. `started_s`: when the flight began (wall time).
    - `asking`: the questions that are being asked.
    - `before`: the windows that were known when it began.
    - `told`: the answers that have come, proven whole.
    """

    tenant: Tenant
    run: MetricsQuery
    need: Need
    started_s: float
    asking: list[MetricsQuery] = field(default_factory=list)
    before: list[Extents] = field(default_factory=list)
    told: list[Extents] = field(default_factory=list)


class Deltas:
    """Brings what is known of live runs up to date."""

    def __init__(
        self,
        *,
        fetcher: Fetcher,
        splitter: Splitter,
        evidence: Evidence,
        prover: Prover,
        learner: Learner,
        planner: DeltaPlanner,
        policy: WideningPolicy,
        rotation: Rotation,
        clock: Clock,
        settings: Settings,
    ) -> None:
        self._fetcher = fetcher
        self._splitter = splitter
        self._evidence = evidence
        self._prover = prover
        self._learner = learner
        self._planner = planner
        self._policy = policy
        self._rotation = rotation
        self._clock = clock
        self._settings = settings
        self._flights: Flights[tuple[str, str, str], _Update, bool] = Flights(self._carry_out)
        self.calls = 0
        """How many calls were made."""
        self.calls_saved = 0
        """How many fewer these are than one for each name that was brought up to date."""

    async def update(self, wanted: WantedSeries, known: KnownSeries) -> Updated | None:
        """Bring up to date what a question can be answered from; return None where a delta can't do that.

        `known`: what is known of the question now. Raises UpstreamError.
        """
        tenant, metrics, need = wanted.tenant, wanted.metrics, wanted.need
        key = (tenant.fingerprint, metrics.run, metrics.project)
        began_s = self._clock.monotonic_s()
        while self._planner.updatable(tenant, known) is not None:
            flight = self._flights.get(key)
            if flight is not None and flight.started_s < need.not_before_s:
                await flight.ended()
                known = self._planner.known_now(wanted, known)
                continue
            joined = flight is not None
            if flight is None:
                call = _Update(tenant=tenant, run=metrics.whole_run, need=need, started_s=self._clock.now_s())
                flight = self._flights.start(key, call, now_s=call.started_s)
            else:
                self._join(flight, need)
            if not await flight.result():
                return None
            known = self._planner.known_now(wanted, known) if joined else known
            if joined and not known.has_come_since(flight.started_s):
                # The flight was planned before this question was being watched. Until it is gone it would be joined again.
                await flight.ended()
                continue
            return Updated(started_s=flight.started_s, elapsed_s=self._clock.monotonic_s() - began_s, collapsed=joined)
        return None

    @property
    def in_flight(self) -> int:
        """How many runs are being refreshed now."""
        return len(self._flights)

    async def aclose(self) -> None:
        """End what is under way."""
        await self._flights.aclose()

    async def _carry_out(self, call: _Update) -> bool:
        """Make the calls of a flight; return whether all of them brought an answer that was of use."""
        windows = self._planner.windows(call.tenant, call.run)
        call.before = [one.extents for one in windows]
        questions = self._planner.calls(windows)
        self.calls_saved += max(0, sum(len(one.names) + len(one.empty) for one in windows) - len(questions))
        done = False
        try:
            done = await self._ask_all(call, questions, Reason.DELTA)
            done = done and await self._ask_all(call, self._planner.to_ask_in_full(call.tenant, windows), Reason.IN_FULL)
        except (UpstreamBusy, KeyRefused):
            done = True  # these two say nothing about the questions
            raise
        finally:
            if not done:
                # Next time all of it is asked for. That may be in vain, but then the policy remembers it.
                self._planner.suspect(call.run)
        self._rotation.look(call.tenant, call.before, call.need)
        return done

    async def _ask_all(self, call: _Update, questions: Sequence[MetricsQuery], reason: Reason) -> bool:
        call.asking = list(questions)
        return all(await asyncio.gather(*(self._ask(call, question, reason) for question in questions)))

    async def _ask(self, call: _Update, question: MetricsQuery, reason: Reason) -> bool:
        need = replace(
            call.need,
            keep_answer=False,
            bounds=own_bounds(self._settings),
            not_before_s=self._clock.now_s(),
            parser=self._splitter.parser(question),
            reason=reason,
        )
        self.calls += 1
        try:
            fetched, _ = await self._fetcher.fetch(call.tenant, question.query, need)
        except AnswerTooLarge:
            self._policy.note_unobtainable(question.in_full)
            if question.name is None:
                self._policy.note_too_much_together(question)
            return False
        came = fetched.entry
        if came.status != 200:
            if question == question.in_full:
                self._policy.note_unobtainable(question)
            return False
        delta = await self._splitter.take_apart(fetched, question)
        if delta is not None:
            delta = await self._proven(call, fetched, delta)
        if delta is None:
            return False
        return await self._learner.grow(fetched.tenant, delta, self._names(call, question), persist=call.need.persist)

    async def _proven(self, call: _Update, fetched: Fetched, delta: Extents) -> Extents | None:
        """Return an answer if it is proven whole: by what was known before the flight, by what came in it, or by probes."""
        names = self._names(call, delta.question)
        known = [*self._learner.open_windows(fetched.tenant, delta.question, names), *call.before, *call.told]
        whole = self._evidence.prove_by_known(fetched, delta, known, since_s=call.started_s)
        if whole is None:
            whole = await self._prover.prove_by_probes(fetched, delta, call.need)
        if whole is not None:
            call.told.append(whole)
        return whole

    def _names(self, call: _Update, question: MetricsQuery) -> Collection[str]:
        """Return the names that a question about all names tells of; some may be watched only since the call was planned."""
        return self._planner.names(call.run) if question.name is None else ()

    def _join(self, flight: "Flight[_Update, bool]", need: Need) -> None:
        """Promote the calls of a flight if a client waits for them now. Let its answers be written to disk if a caller does."""
        if need.persist:
            flight.call.need = replace(flight.call.need, persist=True)
        if need.urgent and not flight.call.need.urgent:
            flight.call.need = replace(flight.call.need, urgent=True, client=need.client, deadline_s=need.deadline_s)
            for question in flight.call.asking:
                self._fetcher.promote(flight.call.tenant, question.query, need)
            self._prover.promote(flight.call.tenant, flight.call.run, need)
