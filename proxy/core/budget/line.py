"""Who waits to ask the upstream, and in which order they go."""

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
    """Somebody waits who has nothing in hand."""
    REFRESH = 1
    """A stale copy is being looked at."""
    PREFETCH = 2
    """Nobody asked yet."""


@dataclass(slots=True, kw_only=True, eq=False)
class Ticket:
    """One call that wants to go.

    `client` is whom a person's call is for. `refreshed_s` is when the copy that a refresh is to replace was fetched (wall
    time).
    `deadline_s` is when the call is of no use any more, infinite where nobody waits for it.
    Set on admission: `sent_s`, when it went; `probe`, whether it finds out if a cool-down is over; `in_burst`, whether more
    went in that moment than the rate's share.
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
    """The order of those who wait.

    Persons go first come first served for each client, the clients in turn, so that one with 200 questions doesn't hold up
    another with one. Refreshes go least recently refreshed first, prefetches in the order they came.
    """

    def __init__(self) -> None:
        self._clients: OrderedDict[str, OrderedDict[Ticket, None]] = OrderedDict()
        self._refreshes: list[tuple[float, int, Ticket]] = []
        self._prefetches: OrderedDict[Ticket, None] = OrderedDict()
        self._waiting: dict[Ticket, Priority] = {}
        self._counts: Counter[Priority] = Counter()
        self._numbers = count()

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._waiting)

    def __contains__(self, ticket: Ticket) -> bool:
        """Whether a ticket waits."""
        return ticket in self._waiting

    def __iter__(self) -> Iterator[Ticket]:
        """Go through all that wait, in no particular order."""
        return iter(list(self._waiting))

    def waiting(self, priority: Priority) -> int:
        """Return how many of a priority wait."""
        return self._counts[priority]

    def add(self, ticket: Ticket) -> None:
        """Let a ticket wait at the end of its own queue."""
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
        """Let a ticket wait no more; nothing happens where it doesn't."""
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
        """Return who is next among those of a priority; they go on waiting."""
        match priority:
            case Priority.PERSON:
                queue = next(iter(self._clients.values()), None)
                return None if queue is None else next(iter(queue))
            case Priority.REFRESH:
                return self._refreshes[0][2] if self._refreshes else None
            case _:
                return next(iter(self._prefetches), None)

    def served(self, ticket: Ticket) -> None:
        """Take the ticket that is next out of the line; its client's turn has passed."""
        self.remove(ticket)
        if ticket.client in self._clients and ticket.priority is Priority.PERSON:
            self._clients.move_to_end(ticket.client)

    def ahead(self, priority: Priority, client: str) -> int:
        """Return how many would go before one who came now, by this order."""
        if priority is not Priority.PERSON:
            return sum(self._counts[other] for other in Priority if other <= priority)
        own = len(self._clients.get(client, ())) + 1
        return own - 1 + sum(min(len(queue), own) for name, queue in self._clients.items() if name != client)

    def _sweep(self) -> None:
        # Whoever is first in the heap waits; those further back may have left, or have come back with another priority.
        while self._refreshes and self._waiting.get(self._refreshes[0][2]) is not Priority.REFRESH:
            heapq.heappop(self._refreshes)
