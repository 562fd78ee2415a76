"""The tickets that wait for a call to the upstream, and the order in which they go."""

import heapq
import math
from collections import Counter, OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from itertools import count


class Priority(IntEnum):
    """What a call is for. A smaller number goes first."""

    PERSON = 0
    """A client waits for the answer, with nothing else to be served."""
    REFRESH = 1
    """A stored entry is to be refreshed, which clients are served meanwhile."""
    PREFETCH = 2
    """Nobody has asked for it yet."""


@dataclass(slots=True, kw_only=True, eq=False)
class Ticket:
    """One call that is to go. Times are monotonic unless they say otherwise.

    `client`: whom a person's call is for.
    `refreshed_s`: when the entry that a refresh is to replace was fetched (wall time).
    `deadline_s`: from when on the call is of no use, infinite where nobody waits for it.
    `joined_s`: when it joined the line.
    `sent_s`, set on admission: when it went. `probe`: whether it finds out if a cool-down is over. `in_burst`: whether more
    calls went in that moment than the rate's share.
    """

    priority: Priority
    client: str = ""
    refreshed_s: float = 0.0
    deadline_s: float = math.inf
    joined_s: float = 0.0
    sent_s: float = 0.0
    probe: bool = False
    in_burst: bool = False


class Line:
    """The tickets that wait, in order.

    Of persons' tickets, the clients' go in turn, each client's in the order they came, so that a client with 200 questions
    doesn't hold up one with a single question. Refreshes go least recently refreshed first, prefetches in the order they came.
    """

    def __init__(self) -> None:
        self._clients: OrderedDict[str, OrderedDict[Ticket, None]] = OrderedDict()
        self._refreshes: list[tuple[float, int, Ticket]] = []
        self._prefetches: OrderedDict[Ticket, None] = OrderedDict()
        self._waiting: dict[Ticket, Priority] = {}
        self._counts: Counter[Priority] = Counter()
        self._numbers = count()

    def __len__(self) -> int:
        """Return how many tickets wait."""
        return len(self._waiting)

    def __contains__(self, ticket: Ticket) -> bool:
        """Whether a ticket waits."""
        return ticket in self._waiting

    def __iter__(self) -> Iterator[Ticket]:
        """Iterate over the tickets that wait, in no particular order."""
        return iter(list(self._waiting))

    def waiting(self, priority: Priority) -> int:
        """Return how many tickets of a priority wait."""
        return self._counts[priority]

    def add(self, ticket: Ticket) -> None:
        """Add a ticket at its place. Raises RuntimeError where it waits already."""
        if ticket in self._waiting:
            raise RuntimeError("the ticket waits already")
        self._waiting[ticket] = ticket.priority
        self._counts[ticket.priority] += 1
        match ticket.priority:
            case Priority.PERSON:
                self._clients.setdefault(ticket.client, OrderedDict())[ticket] = None
            case Priority.REFRESH:
                heapq.heappush(self._refreshes, (ticket.refreshed_s, next(self._numbers), ticket))
            case _:
                self._prefetches[ticket] = None

    def remove(self, ticket: Ticket) -> None:
        """Remove a ticket; nothing happens where it doesn't wait."""
        priority = self._waiting.pop(ticket, None)
        if priority is None:
            return
        self._counts[priority] -= 1
        match priority:
            case Priority.PERSON:
                queue = self._clients[ticket.client]
                del queue[ticket]
                if not queue:
                    del self._clients[ticket.client]
            case Priority.REFRESH:
                self._sweep()
            case _:
                del self._prefetches[ticket]

    def first(self, priority: Priority) -> Ticket | None:
        """Return the ticket of a priority that is next, without removing it; None where none waits."""
        match priority:
            case Priority.PERSON:
                queue = next(iter(self._clients.values()), None)
                return None if queue is None else next(iter(queue))
            case Priority.REFRESH:
                return self._refreshes[0][2] if self._refreshes else None
            case _:
                return next(iter(self._prefetches), None)

    def served(self, ticket: Ticket) -> None:
        """Remove the ticket that is next; it is the next client's turn then."""
        self.remove(ticket)
        if ticket.client in self._clients and ticket.priority is Priority.PERSON:
            self._clients.move_to_end(ticket.client)

    def ahead(self, priority: Priority, client: str) -> int:
        """Return how many tickets would go before one that joined now, by the order of the line alone."""
        if priority is not Priority.PERSON:
            return sum(self._counts[other] for other in Priority if other <= priority)
        own = len(self._clients.get(client, ())) + 1
        return own - 1 + sum(min(len(queue), own) for name, queue in self._clients.items() if name != client)

    def _sweep(self) -> None:
        # The first ticket in the heap always waits; others in it may have left, or come back with another priority.
        while self._refreshes and self._waiting.get(self._refreshes[0][2]) is not Priority.REFRESH:
            heapq.heappop(self._refreshes)
