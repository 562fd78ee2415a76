"""Fetching what the upstream answers to a question: at most one call is under way for each at a time."""

from dataclasses import dataclass, replace

import structlog

from proxy.clock import Clock
from proxy.core.budget import Priority, Ticket
from proxy.core.freshness.purge import Purge
from proxy.core.question.keeping import Keeping
from proxy.core.question.query import Query
from proxy.errors import UpstreamError, UpstreamFailed
from proxy.flight import Flight, Flights
from proxy.service.fetching.call_key import CallKey
from proxy.service.fetching.landing import Landing
from proxy.service.fetching.need import Fetched, Need
from proxy.service.tenancy import Tenant
from proxy.upstream.client import Upstream

_log = structlog.get_logger()


@dataclass(slots=True, kw_only=True, eq=False)
class _Call:
    """One call under way, and what those who wait for it want of it: `first` is what the one who began it needs.

    `persist` and `keep` are as in Need, of all of them; `waiting` is how many there are.
    """

    query: Query
    tenant: Tenant
    first: Need
    ticket: Ticket
    persist: bool
    keep: bool
    waiting: int = 0

    @property
    def keeping(self) -> Keeping | None:
        """Where the answer is kept; None where it isn't."""
        if not self.keep:
            return None
        if self.query.keeping is Keeping.DISK and not self.persist:
            return Keeping.MEMORY
        return self.query.keeping


_Flight = Flight[_Call, Fetched]


def _serves(flight: _Flight, need: Need) -> bool:
    """Tell whether a flight brings what a caller needs: one that began too early, or gives up sooner, may not."""
    return flight.started_s >= need.not_before_s and (flight.call.first.bounds is None or need.bounds is not None)


class Fetcher:
    """The only way from the service to the upstream."""

    def __init__(self, upstream: Upstream, landing: Landing, clock: Clock) -> None:
        self._upstream = upstream
        self._landing = landing
        self._clock = clock
        self._flights: Flights[CallKey, _Call, Fetched] = Flights(self._carry_out)

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
        question = CallKey(tenant.fingerprint, query.target)
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
        """Begin a flight, if none is under way, without waiting for it."""
        if self._flights.get(CallKey(tenant.fingerprint, query.target)) is None:
            self._start(tenant, query, need)

    def urge(self, tenant: Tenant, query: Query, need: Need) -> None:
        """Let a call that is under way go first, since somebody waits for what it brings. Raises UpstreamBusy."""
        if (flight := self._flights.get(CallKey(tenant.fingerprint, query.target))) is not None:
            self._join(flight.call, replace(need, persist=False, keep=False))

    def is_in_line(self, tenant: Tenant, query: Query) -> bool:
        """Tell whether a question is to be asked, and its turn hasn't come yet."""
        flight = self._flights.get(CallKey(tenant.fingerprint, query.target))
        return flight is not None and self._upstream.is_unsent(flight.call.ticket)

    def purge(self, purge: Purge) -> None:
        """Let nobody join a call any more that a purge takes: whoever asks now is answered by a later one."""
        for question, flight in self._flights.under_way():
            # What hasn't been sent yet brings what there is after the purge.
            if not self._upstream.is_unsent(flight.call.ticket) and purge.takes(question.target):
                self._flights.detach(question, flight)

    async def aclose(self) -> None:
        """End what is under way."""
        await self._flights.aclose()

    def _start(self, tenant: Tenant, query: Query, need: Need) -> _Flight:
        priority = Priority.PERSON if need.urgent else Priority.REFRESH
        ticket = self._upstream.ticket(priority, client=need.client, refreshed_s=need.refreshed_s)
        ticket.deadline_s = min(ticket.deadline_s, need.deadline_s) if need.urgent else ticket.deadline_s
        call = _Call(query=query, tenant=tenant, first=need, ticket=ticket, persist=need.persist, keep=need.keep)
        return self._flights.start(CallKey(tenant.fingerprint, query.target), call, now_s=self._clock.now_s())

    def _join(self, call: _Call, need: Need) -> None:
        call.persist = call.persist or need.persist
        call.keep = call.keep or need.keep
        if need.urgent:
            self._upstream.promote(call.ticket, client=need.client, deadline_s=need.deadline_s)

    async def _wait(self, question: CallKey, flight: _Flight) -> Fetched:
        """Wait for a flight. When the last person who waited has gone, a call that hasn't been sent yet is given up."""
        call = flight.call
        call.waiting += 1
        try:
            return await flight.result()
        finally:
            call.waiting -= 1
            unsent = self._upstream.is_unsent(call.ticket)
            if not call.waiting and unsent and call.ticket.priority is Priority.PERSON:
                self._flights.abandon(question, flight)

    async def _carry_out(self, call: _Call) -> Fetched:
        """Do what a flight is for. Whatever goes wrong comes out as an UpstreamError, and is remembered."""
        try:
            # Flights that have landed since the caller looked may have answered this very question.
            if self.landings != call.first.landings:
                landed = await self._landing.landed(call.tenant, call.query, call.first)
                if landed is not None:
                    return Fetched(tenant=call.tenant, entry=landed, stored=True, asked=False)
            reply = await self._upstream.get(
                call.query.target,
                call.ticket,
                call.query.route.check,
                bounds=call.first.bounds,
                parser=call.first.parser,
            )
            return self._landing.keep(call.query, call.first, reply, call.keeping)
        except UpstreamError as exc:
            self._landing.remember(call.tenant, call.query, call.first, exc)
            raise
        except Exception as exc:
            _log.exception("fetch.crashed", key=call.query.target)
            error = UpstreamFailed("a fault in the proxy while reading the upstream's answer; its log tells more")
            self._landing.remember(call.tenant, call.query, call.first, error)
            raise error from exc
