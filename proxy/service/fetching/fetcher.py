"""Fetching the upstream's answer to a query: at most one call for each query is under way at a time (single flight)."""

from collections import Counter
from dataclasses import dataclass, replace

import structlog

from proxy.clock import Clock
from proxy.core.budget.line import Priority, Ticket
from proxy.core.freshness.purge import Purge
from proxy.core.question.keeping import Keeping
from proxy.core.question.query import Query
from proxy.core.question.routes import METRICS
from proxy.errors import UpstreamError, UpstreamFailed
from proxy.flight import Flight, Flights
from proxy.service.fetching.addresses import Addresses
from proxy.service.fetching.call_key import CallKey
from proxy.service.fetching.call_results import CallResults
from proxy.service.fetching.need import Fetched, Need, Reason
from proxy.service.tenancy import Tenant
from proxy.upstream.client import Upstream

_log = structlog.get_logger()


@dataclass(slots=True, kw_only=True, eq=False)
class _Call:
    """One call under way.

    `first` is the need of the caller who began it. `persist` and `keep_answer` are as in Need, for all callers: true where it
    is for one of them. `waiting` is how many callers wait.
    """

    query: Query
    tenant: Tenant
    first: Need
    ticket: Ticket
    persist: bool
    keep_answer: bool
    waiting: int = 0

    @property
    def keeping(self) -> Keeping | None:
        """Where the answer is stored, None for nowhere."""
        if not self.keep_answer:
            return None
        if self.query.keeping is Keeping.DISK and not self.persist:
            return Keeping.MEMORY
        return self.query.keeping


_Flight = Flight[_Call, Fetched]


def _serves(flight: _Flight, need: Need) -> bool:
    """Tell whether a flight brings what a caller needs: it may have begun too early, or be bounded where the caller isn't."""
    return flight.started_s >= need.not_before_s and (flight.call.first.bounds is None or need.bounds is not None)


class Fetcher:
    """Fetches answers for whoever serves a client. (Proofs, witnesses and the tenancy ask the upstream themselves.)"""

    def __init__(self, upstream: Upstream, addresses: Addresses, results: CallResults, clock: Clock) -> None:
        self._upstream = upstream
        self._addresses = addresses
        self._results = results
        self._clock = clock
        self._flights: Flights[CallKey, _Call, Fetched] = Flights(self._carry_out)
        self.series_calls: Counter[Reason] = Counter()
        """How many calls about series were begun for which reason."""

    @property
    def landings(self) -> int:
        """How many flights have ended so far."""
        return self._flights.landings

    @property
    def in_flight(self) -> int:
        """How many calls are under way, or wait for their turn."""
        return len(self._flights)

    async def fetch(self, tenant: Tenant, query: Query, need: Need) -> tuple[Fetched, bool]:
        """Return what the upstream answers, and whether the caller joined a flight that was under way (collapsed).

        A flight that doesn't serve the caller's need is waited for, not joined. Those who waited share the next flight, so that
        demanding clients cannot start more than one call at a time. Raises UpstreamError.
        """
        key = CallKey(tenant.fingerprint, query.target)
        while True:
            flight = self._flights.get(key)
            if flight is not None and not _serves(flight, need):
                self._hurry(flight.call, need)
                await flight.ended()
                continue
            joined = flight is not None
            if flight is None:
                flight = self._start(tenant, query, need)
            else:
                self._join(flight.call, need)
            fetched = await self._wait(key, flight)
            # A flight may return what an earlier one stored. That suits its first caller, but not a later one who needs more.
            if fetched.called or fetched.entry.sent_at_s >= need.not_before_s:
                return fetched, joined
            # Such a caller begins another flight, once this one is gone.
            await flight.ended()

    def refresh(self, tenant: Tenant, query: Query, need: Need) -> None:
        """Begin a flight, if none is under way, without waiting for it."""
        if self._flights.get(CallKey(tenant.fingerprint, query.target)) is None:
            self._start(tenant, query, need)

    def promote(self, tenant: Tenant, query: Query, need: Need) -> None:
        """Let a refresh or prefetch that is under way go as early as a client's call, since somebody waits for it now.

        Raises UpstreamBusy.
        """
        if (flight := self._flights.get(CallKey(tenant.fingerprint, query.target))) is not None:
            self._join(flight.call, replace(need, persist=False, keep_answer=False))

    def is_in_line(self, tenant: Tenant, query: Query) -> bool:
        """Tell whether a call for a query is under way whose turn hasn't come yet."""
        flight = self._flights.get(CallKey(tenant.fingerprint, query.target))
        return flight is not None and self._upstream.is_unsent(flight.call.ticket)

    def purge(self, purge: Purge) -> None:
        """Let nobody join the calls that a purge takes: queries that come now begin later ones."""
        for key, flight in self._flights.under_way():
            # A call that hasn't been sent yet asks after the purge, so that its answer is good.
            if not self._upstream.is_unsent(flight.call.ticket) and purge.takes(key.target):
                self._flights.detach(key, flight)

    async def aclose(self) -> None:
        """End what is under way."""
        await self._flights.aclose()

    def _start(self, tenant: Tenant, query: Query, need: Need) -> _Flight:
        priority = Priority.PERSON if need.urgent else Priority.PREFETCH if need.prefetch else Priority.REFRESH
        ticket = self._upstream.ticket(priority, client=need.client, refreshed_s=need.refreshed_s)
        ticket.deadline_s = min(ticket.deadline_s, need.deadline_s) if need.urgent else ticket.deadline_s
        call = _Call(query=query, tenant=tenant, first=need, ticket=ticket, persist=need.persist, keep_answer=need.keep_answer)
        return self._flights.start(CallKey(tenant.fingerprint, query.target), call, now_s=self._clock.now_s())

    def _join(self, call: _Call, need: Need) -> None:
        call.persist = call.persist or need.persist
        call.keep_answer = call.keep_answer or need.keep_answer
        self._hurry(call, need)

    def _hurry(self, call: _Call, need: Need) -> None:
        """Let a call go as early as a caller needs it who waits for it, or for it to be over."""
        if need.urgent:
            self._upstream.promote(call.ticket, client=need.client, deadline_s=need.deadline_s)

    async def _wait(self, key: CallKey, flight: _Flight) -> Fetched:
        """Wait for a flight. When the last who waited has gone, a call that isn't sent yet is given up, unless it refreshes."""
        call = flight.call
        call.waiting += 1
        try:
            return await flight.result()
        finally:
            call.waiting -= 1
            unsent = self._upstream.is_unsent(call.ticket)
            if not call.waiting and unsent and call.ticket.priority is not Priority.REFRESH:
                self._flights.abandon(key, flight)

    async def _carry_out(self, call: _Call) -> Fetched:
        """Make the call of a flight. Whatever goes wrong is raised as an UpstreamError, and remembered."""
        try:
            # A flight that has ended since the caller looked may have answered this very query.
            if self.landings != call.first.landings:
                entry = await self._results.stored_meanwhile(call.tenant, call.query, call.first)
                if entry is not None:
                    return Fetched(tenant=call.tenant, entry=entry, stored=True, called=False)
            if call.query.route is METRICS:
                self.series_calls[call.first.reason] += 1
            reply = await self._upstream.get(
                self._addresses.target(call.query),
                call.ticket,
                call.query.route.check,
                bounds=call.first.bounds,
                parser=call.first.parser,
                refuses_by_500=call.query.route.refuses_by_500,
            )
            return self._results.keep(call.query, call.first, reply, call.keeping)
        except UpstreamError as exc:
            self._results.remember(call.tenant, call.query, call.first, exc)
            raise
        except Exception as exc:
            _log.exception("fetch.crashed", key=call.query.target)
            error = UpstreamFailed("a fault in the proxy while reading the upstream's answer; its log tells more")
            self._results.remember(call.tenant, call.query, call.first, error)
            raise error from exc
