"""What the old process and the new one tell each other. All times are spans in seconds: nothing depends on the same clock."""

import math

import msgspec

from proxy.core.budget import BudgetState, CallEnd, Priority, Ticket
from proxy.core.freshness.purge import Purge
from proxy.own_file import Identity
from proxy.store.sqlite.batch import Adoption
from proxy.store.sqlite.codec import Row

# Processes whose numbers differ don't understand each other.
PROTOCOL = 2


class Message(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """A message. `number`: of one that is acknowledged by `Done`, 0 otherwise."""

    number: int = 0


class Hello(Message, frozen=True, kw_only=True):
    """The first message of the old process, with its listening sockets.

    `addresses`: what each socket was opened for, as server.listen says it; empty where a supervisor opened it. `files`: which
    file a Unix socket's is, None for others, and where a supervisor opened it.
    """

    protocol: int
    pid: int
    addresses: tuple[str, ...] = ()
    files: tuple[Identity | None, ...] = ()


class GiveFile(Message, frozen=True, kw_only=True):
    """The new process wants the cache file. It is acknowledged once the file is written and closed."""


class Ready(Message, frozen=True, kw_only=True):
    """The new process can answer requests, and wants the budget."""


class Serving(Message, frozen=True, kw_only=True):
    """The new process accepts connections. It is acknowledged: from then on the old one never goes on."""

    pid: int


class Withdrawn(Message, frozen=True, kw_only=True):
    """The old process goes on: the new one took too long, and must not serve."""


class Done(Message, frozen=True, kw_only=True):
    """What the message of this number asked for is done."""


class RemoteTicket(msgspec.Struct, frozen=True, kw_only=True):
    """A ticket of the old process. See `core.budget.line.Ticket`.

    `left_s`: until its deadline, None without one. `sent_age_s`: since it was sent.
    """

    ticket: int
    priority: Priority
    client: str
    refreshed_s: float
    left_s: float | None
    sent_age_s: float
    probe: bool
    in_burst: bool

    @classmethod
    def of(cls, number: int, ticket: Ticket, now_s: float) -> "RemoteTicket":
        """Return a ticket as it is told."""
        return cls(
            ticket=number,
            priority=ticket.priority,
            client=ticket.client,
            refreshed_s=ticket.refreshed_s,
            left_s=None if math.isinf(ticket.deadline_s) else ticket.deadline_s - now_s,
            sent_age_s=now_s - ticket.sent_s,
            probe=ticket.probe,
            in_burst=ticket.in_burst,
        )

    def told(self, now_s: float) -> Ticket:
        """Return the ticket that stands for it in this process."""
        return Ticket(
            priority=self.priority,
            client=self.client,
            refreshed_s=self.refreshed_s,
            deadline_s=math.inf if self.left_s is None else now_s + self.left_s,
            sent_s=now_s - self.sent_age_s,
            probe=self.probe,
            in_burst=self.in_burst,
        )


class BudgetGiven(Message, frozen=True, kw_only=True):
    """The budget is the new process's now, with these tickets of the old one."""

    state: BudgetState
    under_way: tuple[RemoteTicket, ...]
    waiting: tuple[RemoteTicket, ...]


class Join(Message, frozen=True, kw_only=True):
    """A ticket of the old process waits."""

    ticket: RemoteTicket


class Promote(Message, frozen=True, kw_only=True):
    """A waiting ticket has this priority, client and deadline now."""

    ticket: RemoteTicket


class Leave(Message, frozen=True, kw_only=True):
    """A ticket of the old process waits no longer."""

    ticket: int


class Finish(Message, frozen=True, kw_only=True):
    """A call of the old process ended. See `upstream.turnstile.Turnstile.leave`."""

    ticket: int
    ended: CallEnd
    took_s: float
    named_s: float | None


class Go(Message, frozen=True, kw_only=True):
    """The call of a ticket of the old process may go."""

    ticket: int


class Refused(Message, frozen=True, kw_only=True):
    """The call of a ticket of the old process can't go in time; it would wait for so long."""

    ticket: int
    wait_s: float


class Write(Message, frozen=True, kw_only=True):
    """What the old process would have written to the cache file.

    `gone`: namespace, key and time of what the file must not serve any more.
    """

    rows: tuple[Row, ...] = ()
    gone: tuple[tuple[str, str, float], ...] = ()
    adoptions: tuple[Adoption, ...] = ()
    purges: tuple[Purge, ...] = ()


class Forget(Message, frozen=True, kw_only=True):
    """A purge that the other process carried out: both answer for the same clients."""

    purge: Purge


FromOld = Hello | Done | Withdrawn | BudgetGiven | Join | Promote | Leave | Finish | Write | Forget
FromNew = GiveFile | Ready | Serving | Done | Go | Refused | Forget
FROM_OLD: "msgspec.msgpack.Decoder[FromOld]" = msgspec.msgpack.Decoder(FromOld)
FROM_NEW: "msgspec.msgpack.Decoder[FromNew]" = msgspec.msgpack.Decoder(FromNew)
