"""The upstream budget, seen from the old process once the new one has it."""

import itertools

from proxy.clock import Clock
from proxy.core.budget import CallEnd, Ticket
from proxy.restart.link import Link
from proxy.restart.messages import Finish, FromNew, Go, Join, Leave, Promote, Refused, RemoteTicket
from proxy.upstream.turnstile import Handed, Turnstile


class RemoteBudget:
    """See `upstream.turnstile.Elsewhere`. Each ticket has a number until its call has ended."""

    def __init__(self, link: Link[FromNew], turnstile: Turnstile, clock: Clock) -> None:
        self._link = link
        self._turnstile = turnstile
        self._clock = clock
        self._numbers = itertools.count(1)
        self._by_ticket: dict[Ticket, int] = {}
        self._tickets: dict[int, Ticket] = {}

    def tell(self, handed: Handed) -> tuple[tuple[RemoteTicket, ...], tuple[RemoteTicket, ...]]:
        """Return the tickets that are handed over as they are told: those under way, and those that wait."""
        return tuple(map(self._told, handed.under_way)), tuple(map(self._told, handed.waiting))

    def join(self, ticket: Ticket) -> None:
        """See Elsewhere."""
        self._link.send(Join(ticket=self._told(ticket)))

    def promote(self, ticket: Ticket) -> None:
        """See Elsewhere."""
        self._link.send(Promote(ticket=self._told(ticket)))

    def leave(self, ticket: Ticket) -> None:
        """See Elsewhere."""
        number = self._forget(ticket)
        if number is not None:
            self._link.send(Leave(ticket=number))

    def finish(self, ticket: Ticket, ended: CallEnd, *, took_s: float, named_s: float | None) -> None:
        """See Elsewhere."""
        number = self._forget(ticket)
        if number is not None:
            self._link.send(Finish(ticket=number, ended=ended, took_s=took_s, named_s=named_s))

    def go(self, message: Go) -> None:
        """Let a ticket's call go. If nobody wants it any more, the budget is told so."""
        ticket = self._tickets.get(message.ticket)
        if ticket is None or not self._turnstile.let_in(ticket):
            self._link.send(Finish(ticket=message.ticket, ended=CallEnd.ABANDONED, took_s=0.0, named_s=None))
            if ticket is not None:
                self._forget(ticket)

    def refuse(self, message: Refused) -> None:
        """Tell who waits that the call can't go in time."""
        ticket = self._tickets.get(message.ticket)
        if ticket is not None:
            self._forget(ticket)
            self._turnstile.turn_away(ticket, message.wait_s)

    def _told(self, ticket: Ticket) -> RemoteTicket:
        number = self._by_ticket.get(ticket)
        if number is None:
            number = next(self._numbers)
            self._by_ticket[ticket] = number
            self._tickets[number] = ticket
        return RemoteTicket.of(number, ticket, self._clock.monotonic_s())

    def _forget(self, ticket: Ticket) -> int | None:
        number = self._by_ticket.pop(ticket, None)
        if number is not None:
            del self._tickets[number]
        return number
