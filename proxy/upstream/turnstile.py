"""The asynchronous face of the budget: a call to the upstream waits here until the budget admits it.

When a new process takes over from an old one, both go on asking the upstream for a while, by one budget. It is in one process
at a time: in the old one until it hands it over (`hand_over`), then in the new one, which the old one asks from then on
(`Elsewhere`). The new one lets nothing through before it has it (`begin`).
"""

import asyncio
from dataclasses import dataclass
from typing import Protocol

import structlog

from proxy.clock import Clock
from proxy.core.budget import Budget, BudgetLimits, BudgetState, CallEnd, Priority, State, Ticket
from proxy.errors import UpstreamBusy

# How many calls wait before a refresh or prefetch is refused. Calls of priority PERSON are bounded by their deadlines instead.
MOST_WAITING = 5_000
# At most this part of the time until the deadline is kept for the call itself. The rest may be spent in the line.
_CALL_SHARE = 0.1
_log = structlog.get_logger()


class Elsewhere(Protocol):
    """The budget where another process has it. It is told of tickets, and answers by `Turnstile.let_in` and `turn_away`."""

    def join(self, ticket: Ticket) -> None:
        """A ticket waits."""

    def promote(self, ticket: Ticket) -> None:
        """A waiting ticket has another priority, client and deadline."""

    def leave(self, ticket: Ticket) -> None:
        """A waiting ticket waits no longer."""

    def finish(self, ticket: Ticket, ended: CallEnd, *, took_s: float, named_s: float | None) -> None:
        """The call of an admitted ticket ended. See Turnstile.leave."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Handed:
    """What a process hands over: the budget, and the tickets whose calls are under way, and those that wait."""

    state: BudgetState
    under_way: tuple[Ticket, ...]
    waiting: tuple[Ticket, ...]


class Turnstile:
    """Lets tickets through as the budget admits them. Nothing else in the proxy decides when a call is sent upstream."""

    def __init__(self, limits: BudgetLimits, clock: Clock, *, held: bool = False) -> None:
        """`held`: let nothing through until `begin`."""
        self._clock = clock
        self._held = held
        self._elsewhere: Elsewhere | None = None
        self._under_way: set[Ticket] = set()
        self.budget = Budget(limits, clock.monotonic_s())
        self._waiting: dict[Ticket, asyncio.Future[None]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def renew(self, limits: BudgetLimits) -> None:
        """Go on with other settings of the budget."""
        self.budget.renew(limits, self._clock.monotonic_s())
        if self._waiting:
            self.let_through()

    @property
    def state(self) -> State:
        """The state of the breaker: closed, cooling or probing."""
        return self.budget.breaker.state(self._clock.monotonic_s())

    @property
    def resting(self) -> bool:
        """Whether a call would have to wait for a cool-down's end or for a probe."""
        return not self.budget.breaker.passable(self._clock.monotonic_s())

    @property
    def remaining_s(self) -> float:
        """Seconds until the cool-down ends; 0 where there is none."""
        return self.budget.breaker.remaining_s(self._clock.monotonic_s())

    @property
    def cooldowns(self) -> int:
        """How many cool-downs have begun."""
        return self.budget.breaker.cooldowns

    @property
    def tokens(self) -> float:
        """How many calls may go at once."""
        return self.budget.tokens(self._clock.monotonic_s())

    @property
    def rate_per_s(self) -> float:
        """How many calls a second may go."""
        return self.budget.rate_per_s(self._clock.monotonic_s())

    @property
    def burst(self) -> float:
        """How many calls may follow each other without a pause."""
        return self.budget.burst(self._clock.monotonic_s())

    @property
    def in_flight(self) -> int:
        """How many calls are under way."""
        return self.budget.in_flight

    @property
    def calls(self) -> int:
        """How many calls have gone since the start."""
        return self.budget.calls

    @property
    def retries(self) -> int:
        """How many of the calls were a second try."""
        return self.budget.retries

    def waiting(self, priority: Priority) -> int:
        """Return how many calls of a priority wait for their turn."""
        return self.budget.line.waiting(priority)

    def wait_s(self, priority: Priority, client: str = "") -> float:
        """Return how long a call that came now would probably wait, in seconds."""
        return self.budget.wait_s(priority, client, self._clock.monotonic_s())

    def is_waiting(self, ticket: Ticket) -> bool:
        """Tell whether a ticket waits in the line."""
        return ticket in self.budget.line

    def take_retry(self) -> bool:
        """Take one of the retries that the budget has to give; return whether there was one."""
        return self.budget.take_retry()

    def latest_s(self, ticket: Ticket) -> float:
        """Return the latest time (monotonic) for a ticket to go, so that a call of the usual length ends by its deadline."""
        remaining_s = max(0.0, ticket.deadline_s - self._clock.monotonic_s())
        return ticket.deadline_s - min(self.budget.usual_call_s, remaining_s * _CALL_SHARE)

    async def enter(self, ticket: Ticket) -> None:
        """Wait until the ticket's call may go. Call `leave` after it.

        Raises UpstreamBusy at once, saying when to ask again, if the call would probably not go in time for the ticket's
        deadline; TimeoutError if it did not go in time.
        """
        if not self._held and self._elsewhere is None and self.budget.admit_at_once(ticket, self._clock.monotonic_s()):
            self._under_way.add(ticket)
            return
        self._refuse_if_hopeless(ticket)
        future = asyncio.get_running_loop().create_future()
        self._waiting[ticket] = future
        self.budget.join(ticket, self._clock.monotonic_s())
        if self._elsewhere is not None:
            self._elsewhere.join(ticket)
        self.let_through()
        try:
            # Where the call may go, no timer is set. (No ticket is turned away so soon.)
            if not future.done():
                async with asyncio.timeout(self._patience_s(ticket)):
                    await future
        except (asyncio.CancelledError, TimeoutError):
            if future.done() and not future.cancelled() and future.exception() is None:
                self.leave(ticket, CallEnd.ABANDONED)
            raise
        finally:
            del self._waiting[ticket]
            self._leave_line(ticket)

    def leave(self, ticket: Ticket, ended: CallEnd, *, took_s: float = 0.0, named_s: float | None = None) -> None:
        """Note how the ticket's call ended.

        If a cool-down begins, waiting tickets that cannot go in time any more are refused with UpstreamBusy. `took_s`: how long
        the call took. `named_s`: the seconds that the upstream's Retry-After names, if it does.
        """
        self._under_way.discard(ticket)
        if self._elsewhere is not None:
            self._elsewhere.finish(ticket, ended, took_s=took_s, named_s=named_s)
        began = self.budget.finish(ticket, ended, self._clock.monotonic_s(), took_s=took_s, retry_after_s=named_s)
        if began:
            _log.warning("cooldown.begun", length_s=round(self.remaining_s, 3), reason=ended.value, named_s=named_s)
            for late in self.budget.late(self._clock.monotonic_s()):
                self._leave_line(late)
                self.turn_away(late, self.wait_s(late.priority, late.client))
        elif ticket.probe and ended is CallEnd.ANSWERED:
            _log.info("cooldown.ended")
        self.let_through()

    def promote(self, ticket: Ticket, *, client: str, deadline_s: float) -> None:
        """Give a waiting ticket the priority PERSON: a client with nothing else to be served waits for its call now.

        Raises UpstreamBusy if the call would probably not go in time for `deadline_s`: the ticket goes on waiting as it was.
        """
        if ticket.priority is Priority.PERSON or ticket not in self.budget.line:
            return
        self._refuse_if_hopeless(Ticket(priority=Priority.PERSON, client=client, deadline_s=deadline_s))
        self.budget.leave(ticket)
        ticket.priority, ticket.client, ticket.deadline_s = Priority.PERSON, client, deadline_s
        self.budget.join(ticket, self._clock.monotonic_s())
        if self._elsewhere is not None:
            self._elsewhere.promote(ticket)
        self.let_through()

    def hand_over(self, elsewhere: Elsewhere) -> Handed:
        """Stop deciding: another process's budget does from now on.

        This one goes on estimating waits, by what it knew and by the calls of this process.
        """
        self._elsewhere = elsewhere
        self.let_through()
        return Handed(
            state=self.budget.state(self._clock.monotonic_s()),
            under_way=tuple(self._under_way),
            waiting=tuple(self.budget.line),
        )

    def take_back(self) -> None:
        """Decide again, since the other process is gone. It may have used every token."""
        if self._elsewhere is None:
            return
        self._elsewhere = None
        self.budget.empty(self._clock.monotonic_s())
        self.let_through()

    def begin(self, handed: Handed | None) -> None:
        """Begin to let tickets through, with the budget of another process (None: it is gone, and may have used every token).

        Tickets of that process that wait are to `enter`; those under way are to `leave`, like any other.
        """
        now_s = self._clock.monotonic_s()
        if handed is None:
            self.budget.empty(now_s)
        else:
            self.budget.take_over(handed.state, now_s)
            for ticket in handed.under_way:
                self._take_in(ticket)
        self._held = False
        self.let_through()

    def let_in(self, ticket: Ticket) -> bool:
        """Let a ticket through that the budget elsewhere admitted. Return whether it still waits; else `finish` it there."""
        future = self._waiting.get(ticket)
        if future is None or future.done():
            return False
        self._take_in(ticket)
        future.set_result(None)
        return True

    def turn_away(self, ticket: Ticket, wait_s: float) -> None:
        """Refuse a waiting ticket with UpstreamBusy: it would wait for so many seconds."""
        future = self._waiting.get(ticket)
        self.budget.leave(ticket)
        if future is not None and not future.done():
            future.set_exception(too_busy(wait_s))

    def _take_in(self, ticket: Ticket) -> None:
        self.budget.take_in(ticket)
        self._under_way.add(ticket)

    def _leave_line(self, ticket: Ticket) -> None:
        if self._elsewhere is not None and ticket in self.budget.line:
            self._elsewhere.leave(ticket)
        self.budget.leave(ticket)

    def _patience_s(self, ticket: Ticket) -> float | None:
        return self.latest_s(ticket) - self._clock.monotonic_s() if ticket.priority is Priority.PERSON else None

    def _refuse_if_hopeless(self, ticket: Ticket) -> None:
        if self._held or self._elsewhere is not None:
            return  # nobody here knows; who has the budget refuses it
        wait_s = self.wait_s(ticket.priority, ticket.client)
        crowded = ticket.priority is not Priority.PERSON and len(self._waiting) >= MOST_WAITING
        if crowded or (wait_s > 0 and self._clock.monotonic_s() + wait_s > self.latest_s(ticket)):
            raise too_busy(wait_s)

    def let_through(self) -> None:
        """Let all calls go that the budget admits now. Set a timer for when the next may go."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._held or self._elsewhere is not None:
            return
        now_s = self._clock.monotonic_s()
        for ticket in self.budget.admit(now_s):
            future = self._waiting[ticket]
            if future.done():
                # Its waiter was cancelled a moment ago and has not run yet.
                self.budget.finish(ticket, CallEnd.ABANDONED, now_s)
            else:
                self._under_way.add(ticket)
                future.set_result(None)
        if (wake_s := self.budget.next_s(now_s)) is not None:
            # 1 ms later than needed: a timer that fires too early would only have to be set again.
            self._timer = asyncio.get_running_loop().call_later(max(0.0, wake_s - now_s) + 0.001, self.let_through)


def too_busy(wait_s: float) -> UpstreamBusy:
    """Return the error for a call that would have to wait too long. It says when to ask again."""
    return UpstreamBusy(
        f"the upstream cannot be asked in time: this query would wait for about {wait_s:.0f} s; ask again after Retry-After",
        retry_after_s=wait_s,
    )
