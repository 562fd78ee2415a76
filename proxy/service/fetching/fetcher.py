"""Asking the upstream for one question: at most one call under way for each, its answer checked, stored and remembered."""

from dataclasses import dataclass, replace

import structlog

from proxy.clock import Clock
from proxy.core.budget import Priority, Ticket
from proxy.core.freshness.entry import Entry, digest_of, is_scant, tombstone
from proxy.core.freshness.purge import Purge, Purges
from proxy.core.freshness.verdict import Verdict, judge
from proxy.core.question.keeping import Keeping
from proxy.core.question.query import Query
from proxy.core.question.routes import Route
from proxy.errors import AnswerTooLarge, KeyRefused, UpstreamBusy, UpstreamError, UpstreamFailed
from proxy.flight import Flight, Flights
from proxy.service.fetching.encoder import Encoder
from proxy.service.fetching.memo import Memo
from proxy.service.fetching.need import Fetched, Need
from proxy.service.fetching.question import Question
from proxy.service.fetching.tenancy import Tenancy, Tenant
from proxy.service.status.lifetimes import RunLifetimes
from proxy.store.tiers import TieredStore
from proxy.upstream.client import Upstream
from proxy.upstream.reply import Reply

# Counting the elements of what was read from disk takes up to 0.7 ms.
_COUNTED_BYTES = 2**19
_log = structlog.get_logger()


@dataclass(slots=True, kw_only=True, eq=False)
class _Call:
    """One call under way, and what those who wait for it want of it."""

    fetcher: "Fetcher"
    query: Query
    tenant: Tenant
    first: Need
    ticket: Ticket
    persist: bool
    keep: bool
    waiting: int = 0

    async def __call__(self) -> Fetched:
        return await self.fetcher.carry_out(self)

    @property
    def question(self) -> Question:
        return Question(self.tenant.fingerprint, self.query.target)

    @property
    def keeping(self) -> Keeping:
        if self.query.keeping is Keeping.DISK and not self.persist:
            return Keeping.MEMORY
        return self.query.keeping


_Flight = Flight[_Call, Fetched]


def _serves(flight: _Flight, need: Need) -> bool:
    """Tell whether a flight brings what a caller needs: one that began too early, or gives up sooner, may not."""
    return flight.started_s >= need.not_before_s and (flight.call.first.bounds is None or need.bounds is not None)


class Fetcher:
    """The only way from the service to the upstream."""

    def __init__(
        self,
        *,
        upstream: Upstream,
        store: TieredStore,
        tenancy: Tenancy,
        memo: Memo,
        encoder: Encoder,
        lifetimes: RunLifetimes,
        clock: Clock,
        purges: Purges,
        max_object_bytes: int,
    ) -> None:
        self._upstream = upstream
        self._store = store
        self._tenancy = tenancy
        self._memo = memo
        self._encoder = encoder
        self._lifetimes = lifetimes
        self._clock = clock
        self._purges = purges
        self._max_object_bytes = max_object_bytes
        self._flights: Flights[Question, _Call, Fetched] = Flights()

    @property
    def landings(self) -> int:
        """How many flights have landed so far."""
        return self._flights.landings

    @property
    def in_flight(self) -> int:
        """How many questions are being asked upstream now, or wait to be."""
        return len(self._flights)

    async def fetch(self, tenant: Tenant, query: Query, need: Need) -> tuple[Fetched, bool]:
        """Return what the upstream answers, and whether the caller joined a flight that was under way.

        A flight that doesn't serve the caller's need is waited for, not joined; whoever waited shares the next one, so
        that demanding clients cannot start more than one call at a time. Raises UpstreamError.
        """
        question = Question(tenant.fingerprint, query.target)
        while True:
            flight = self._flights.get(question)
            if flight is not None and not _serves(flight, need):
                await flight.ended()
                continue
            joined = flight is not None
            if flight is None:
                flight = self._start(tenant, query, need)
            else:
                self._join(flight.call, need)
            fetched = await self._wait(question, flight)
            # A flight can hand out an entry that landed just before it: new enough for its first caller, not for each.
            if fetched.asked or fetched.entry.sent_at_s >= need.not_before_s:
                return fetched, joined
            # Until it is gone it would be joined again and again.
            await flight.ended()

    def refresh(self, tenant: Tenant, query: Query, need: Need) -> None:
        """See to it that a flight is under way, without waiting for it."""
        if self._flights.get(Question(tenant.fingerprint, query.target)) is None:
            self._start(tenant, query, need)

    def urge(self, tenant: Tenant, query: Query, need: Need) -> None:
        """Let a call that is under way go first, since somebody waits for what it brings. Raises UpstreamBusy."""
        if (flight := self._flights.get(Question(tenant.fingerprint, query.target))) is not None:
            self._join(flight.call, replace(need, persist=False, keep=False))

    def is_in_line(self, tenant: Tenant, query: Query) -> bool:
        """Tell whether a question is to be asked, and its turn hasn't come yet."""
        flight = self._flights.get(Question(tenant.fingerprint, query.target))
        return flight is not None and flight.call.ticket in self._upstream.turnstile.budget.line

    def purge(self, purge: Purge) -> None:
        """Let nobody join a call any more that a purge takes: whoever asks now is answered by a later one."""
        for question, flight in self._flights.under_way():
            # What hasn't been sent yet brings what there is after the purge.
            unsent = flight.call.ticket in self._upstream.turnstile.budget.line
            if not unsent and purge.takes(question.target):
                self._flights.detach(question, flight)

    async def aclose(self) -> None:
        """End what is under way."""
        await self._flights.aclose()

    def _start(self, tenant: Tenant, query: Query, need: Need) -> _Flight:
        priority = Priority.PERSON if need.urgent else Priority.REFRESH
        ticket = self._upstream.ticket(priority, client=need.client, refreshed_s=need.refreshed_s)
        ticket.deadline_s = min(ticket.deadline_s, need.deadline_s) if need.urgent else ticket.deadline_s
        call = _Call(fetcher=self, query=query, tenant=tenant, first=need, ticket=ticket, persist=need.persist, keep=need.keep)
        return self._flights.start(call.question, call, now_s=self._clock.now_s())

    def _join(self, call: _Call, need: Need) -> None:
        call.persist = call.persist or need.persist
        call.keep = call.keep or need.keep
        if need.urgent:
            deadline_s = min(self._upstream.deadline_s(), need.deadline_s)
            self._upstream.turnstile.promote(call.ticket, client=need.client, deadline_s=deadline_s)

    async def _wait(self, question: Question, flight: _Flight) -> Fetched:
        """Wait for a flight. When the last person who waited has gone, a call that hasn't been sent yet is given up."""
        call = flight.call
        call.waiting += 1
        try:
            return await flight.result()
        finally:
            call.waiting -= 1
            unsent = call.ticket in self._upstream.turnstile.budget.line
            if not call.waiting and unsent and call.ticket.priority is Priority.PERSON:
                self._flights.abandon(question, flight)

    async def carry_out(self, call: _Call) -> Fetched:
        """Do what a flight is for. Whatever goes wrong comes out as an UpstreamError, and is remembered."""
        try:
            if (landed := await self._landed_meanwhile(call)) is not None:
                return landed
            reply = await self._upstream.get(
                call.query.target,
                call.ticket,
                call.query.route.check,
                bounds=call.first.bounds,
                taking=call.first.taking,
            )
            return self._keep(call, reply)
        except UpstreamError as exc:
            self._remember(call, exc)
            raise
        except Exception as exc:
            _log.exception("fetch.crashed", key=call.query.target)
            error = UpstreamFailed("a fault in the proxy while reading the upstream's answer; its log tells more")
            self._remember(call, error)
            raise error from exc

    async def _landed_meanwhile(self, call: _Call) -> Fetched | None:
        """Look again where flights have landed since the caller looked: this very question may have been answered."""
        if self.landings == call.first.landings:
            return None
        entry = await self._store.get(call.tenant.namespace, call.query.target, call.query.keeping)
        # What a delta was added to is not what the upstream said to this question.
        if entry is None or entry.sent_at_s < call.first.not_before_s or entry.whole_at_s is not None:
            return None
        if call.first.serves is not None and not call.first.serves(entry):
            return None
        if judge(entry, self._clock.now_s(), self._lifetimes.of(call.query, call.tenant)) is not Verdict.FRESH:
            return None
        return Fetched(tenant=call.tenant, entry=entry, stored=True, asked=False)

    def _keep(self, call: _Call, reply: Reply) -> Fetched:
        # Filed under the key that it was fetched with, which may have changed since the call began.
        tenant = self._tenancy.of(reply.fingerprint)
        target = call.query.target
        before = self._store.memory.peek(tenant.namespace, target)
        entry = Entry(
            body=reply.body,
            sent_at_s=reply.sent_at_s,
            digest=digest_of(reply.body),
            status=reply.status,
            elements=reply.elements,
            scant=is_scant(reply.elements, _elements(call.query.route, before)),
        )
        question = Question(reply.fingerprint, target)
        if self._purges.is_gone(target, reply.sent_at_s):
            return Fetched(tenant=tenant, entry=entry, stored=False, elapsed_s=reply.elapsed_s, extents=reply.extents)
        if reply.status != 200:
            self._memo.remember(question, entry)
            self._note_vain(call, None)
        else:
            self._memo.forget(question)
        if reply.status != 200 or len(entry.body) > self._max_object_bytes:
            # What was stored is not what the upstream says any more.
            self._store.put(tenant.namespace, target, tombstone(reply.sent_at_s), call.query.keeping)
            return Fetched(tenant=tenant, entry=entry, stored=False, elapsed_s=reply.elapsed_s, extents=reply.extents)
        # What was taken apart is compared row by row.
        if call.keep and reply.extents is None:
            self._lifetimes.note_answer(call.query, tenant, before, entry)
        stored = call.keep and self._encoder.keep(tenant, target, entry, call.keeping)
        return Fetched(tenant=tenant, entry=entry, stored=stored, elapsed_s=reply.elapsed_s, extents=reply.extents)

    def _remember(self, call: _Call, error: UpstreamError) -> None:
        _log.warning(
            "fetch.failed",
            key=call.query.target,
            code=error.code,
            reason=error.detail,
            upstream_status=error.upstream_status,
        )
        # Those two are remembered where they belong, for the upstream as a whole and with times of their own.
        if isinstance(error, UpstreamBusy | KeyRefused):
            return
        self._note_vain(call, error)
        # What was given up for its size may still be had by who accepts more.
        if not (isinstance(error, AnswerTooLarge) and call.first.bounds is not None):
            self._memo.remember(call.question, error)

    @staticmethod
    def _note_vain(call: _Call, error: UpstreamError | None) -> None:
        if call.first.in_vain is not None:
            call.first.in_vain(error)


def _elements(route: Route, entry: Entry | None) -> int | None:
    """Return how many elements the list of a stored answer has; None where it is none, or isn't worth counting."""
    if entry is None or entry.elements is not None or len(entry.body) > _COUNTED_BYTES:
        return None if entry is None else entry.elements
    try:
        return route.check(entry.body)
    except ValueError:
        return None
