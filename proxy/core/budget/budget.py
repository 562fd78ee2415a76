"""Rate, concurrency, cool-down and line joined: tickets join, are admitted, and report how their call ended."""

from collections import Counter
from dataclasses import dataclass
from enum import Enum

from proxy.core.budget.breaker import Breaker, BreakerState, State
from proxy.core.budget.bucket import Bucket
from proxy.core.budget.line import Line, Priority, Ticket
from proxy.core.budget.pace import Pace, PaceState

# After so many persons in a row a waiting refresh goes: many new questions must not keep everybody's entries from a refresh.
PERSONS_IN_A_ROW = 9
# There is at most one retry for so many calls, and so many retries in a row.
CALLS_FOR_A_RETRY = 10
RETRIES_AT_ONCE = 10
_SMOOTHING = 0.2
# To iterate over an enum takes some microseconds.
_ORDER = tuple(Priority)
_FIRST_GUESS_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetLimits:
    """The settings.

    `rate_per_s`: calls a second. `burst`: calls that may follow each other without a pause. `max_concurrency`: calls under way
    at the same time. `cooldown_max_s`: the longest cool-down, in seconds.
    """

    rate_per_s: float
    burst: int
    max_concurrency: int
    cooldown_max_s: float


class CallEnd(Enum):
    """How a call ended: with an answer, with a 429 or 503, with a failure, or given up since nobody wanted it any more."""

    ANSWERED = "answered"
    BUSY = "busy"
    FAILED = "failed"
    ABANDONED = "abandoned"


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetState:
    """A budget as another process takes it over: what was learned, and what is left. It holds no ticket."""

    tokens: float
    pace: PaceState
    breaker: BreakerState
    retry_credit: int
    usual_call_s: float


class Budget:
    """Decides which calls go to the upstream. A ticket stands for a call: it joins, is admitted and finishes, or it leaves."""

    def __init__(self, limits: BudgetLimits, now_s: float) -> None:
        self._limits = limits
        self._pace = Pace(most_per_s=limits.rate_per_s, burst=limits.burst, now_s=now_s)
        self._bucket = Bucket(rate_per_s=limits.rate_per_s, burst=limits.burst, now_s=now_s)
        self.breaker = Breaker(most_s=limits.cooldown_max_s)
        self.line = Line()
        self._under_way: Counter[Priority] = Counter()
        self._persons_in_a_row = 0
        self._retry_credit = 0
        self.usual_call_s = _FIRST_GUESS_S
        """How long a call that is answered usually takes, in seconds: a smoothed mean."""
        self.calls = 0
        self.retries = 0

    def renew(self, limits: BudgetLimits, now_s: float) -> None:
        """Go on with other settings. What 429s have taught holds still, as far as it is within them."""
        self._limits = limits
        self._pace.renew(most_per_s=limits.rate_per_s, burst=limits.burst, now_s=now_s)
        self.breaker.renew(most_s=limits.cooldown_max_s, now_s=now_s)
        self._keep_pace(now_s)

    @property
    def in_flight(self) -> int:
        """How many calls are under way."""
        return self._under_way.total()

    def rate_per_s(self, now_s: float) -> float:
        """Return the calls a second that may go now: as configured, or as 429s have taught."""
        return self._pace.rate_per_s(now_s)

    def burst(self, now_s: float) -> float:
        """Return how many calls may follow each other without a pause now: as configured, or as 429s have taught."""
        return self._pace.burst(now_s)

    def tokens(self, now_s: float) -> float:
        """Return how many calls the rate lets go at once now."""
        self._keep_pace(now_s)
        return self._bucket.tokens(now_s)

    def join(self, ticket: Ticket, now_s: float) -> None:
        """Put a ticket in the line."""
        ticket.joined_s = now_s
        self.line.add(ticket)

    def leave(self, ticket: Ticket) -> None:
        """Take a ticket out of the line."""
        self.line.remove(ticket)

    def admit(self, now_s: float) -> list[Ticket]:
        """Take the tickets whose calls go now out of the line, and return them."""
        self._keep_pace(now_s)
        admitted: list[Ticket] = []
        while (ticket := self._next(now_s)) is not None:
            self.line.served(ticket)
            self._send(ticket, now_s)
            admitted.append(ticket)
        return admitted

    def admit_at_once(self, ticket: Ticket, now_s: float) -> bool:
        """Admit a ticket that comes while nobody waits, if it may go now; return whether it does.

        That is what `join` and `admit` would come to, as they nearly always do, without the line.
        """
        self._keep_pace(now_s)
        if self.line or not self._is_ready(now_s) or not self._may_go(ticket.priority, now_s):
            return False
        ticket.joined_s = now_s
        self._send(ticket, now_s)
        return True

    def finish(
        self, ticket: Ticket, ended: CallEnd, now_s: float, *, took_s: float = 0.0, retry_after_s: float | None = None
    ) -> bool:
        """Note how an admitted ticket's call ended; return whether that began or prolonged a cool-down.

        `took_s`: how long the call took. `retry_after_s`: what a 429 or 503 named, None where it named nothing.
        """
        self._under_way[ticket.priority] -= 1
        match ended:
            case CallEnd.ANSWERED:
                self.usual_call_s += _SMOOTHING * (took_s - self.usual_call_s)
                if self.breaker.answered(now_s, probe=ticket.probe):
                    self._bucket.drain(now_s)
                return False
            case CallEnd.BUSY:
                if not ticket.probe:
                    # A probe goes alone and after a rest: its 429 is not about the rate.
                    self._pace.cut(now_s, sent_s=ticket.sent_s, in_burst=ticket.in_burst)
                return self.breaker.busy(now_s, retry_after_s, probe=ticket.probe)
            case CallEnd.FAILED:
                return self.breaker.failed(now_s, probe=ticket.probe)
            case _:
                self.breaker.abandoned(probe=ticket.probe)
                return False

    def take_in(self, ticket: Ticket) -> None:
        """Count a ticket as admitted that another process's budget admitted; it is no longer in the line."""
        self.line.remove(ticket)
        self._under_way[ticket.priority] += 1

    def state(self, now_s: float) -> BudgetState:
        """Return what another process needs to go on with this budget."""
        return BudgetState(
            tokens=self.tokens(now_s),
            pace=self._pace.state(now_s),
            breaker=self.breaker.knowledge(now_s),
            retry_credit=self._retry_credit,
            usual_call_s=self.usual_call_s,
        )

    def take_over(self, state: BudgetState, now_s: float) -> None:
        """Go on with another process's budget, within this one's limits. The tickets under way are taken in one by one."""
        self._pace.take_over(state.pace, now_s)
        self._keep_pace(now_s)
        self._bucket.begin_with(state.tokens, now_s)
        self.breaker.take_over(state.breaker, now_s)
        self._retry_credit = state.retry_credit
        self.usual_call_s = state.usual_call_s

    def empty(self, now_s: float) -> None:
        """Begin with no token: another process may have used all that there were."""
        self._bucket.begin_with(0, now_s)

    def next_s(self, now_s: float) -> float | None:
        """Return when `admit` may have something new by the passing of time alone; None where only an event changes it."""
        if not self.line or self._candidate(now_s) is None:
            return None
        if self.breaker.state(now_s) is State.COOLING:
            return now_s + self.breaker.remaining_s(now_s)
        if not self.breaker.passable(now_s):
            return None
        return now_s + self._bucket.ready_in_s(now_s)

    def wait_s(self, priority: Priority, client: str, now_s: float) -> float:
        """Return the seconds that a ticket joining now would probably wait until its call goes.

        The waits by rate and by concurrency are estimated apart, and the longer one counts. Calls under way are taken to be
        half done.
        """
        ahead = self._ahead(priority, client) if self.line else 0
        self._keep_pace(now_s)
        by_rate_s = self._bucket.ready_in_s(now_s, ahead + 1)
        crowd = ahead + 1 + self.in_flight - self._limits.max_concurrency
        by_slots_s = max(0.0, crowd - 0.5) * self.usual_call_s / self._limits.max_concurrency if crowd > 0 else 0.0
        return self.breaker.remaining_s(now_s) + max(by_rate_s, by_slots_s)

    def late(self, now_s: float) -> list[Ticket]:
        """Return the tickets in the line whose deadline comes before any call can go again."""
        earliest_s = now_s + self.breaker.remaining_s(now_s)
        return [ticket for ticket in self.line if ticket.deadline_s < earliest_s]

    def take_retry(self) -> bool:
        """Tell whether a call may be tried again, and count the retry if so."""
        if self._retry_credit < CALLS_FOR_A_RETRY:
            return False
        self._retry_credit -= CALLS_FOR_A_RETRY
        self.retries += 1
        return True

    def _ahead(self, priority: Priority, client: str) -> int:
        """Return how many of the tickets in the line would go before one that joined now."""
        ahead = self.line.ahead(priority, client)
        if priority is Priority.PERSON:
            # After so many persons refreshes go in between.
            ahead += min(self.line.waiting(Priority.REFRESH), (self._persons_in_a_row + ahead) // PERSONS_IN_A_ROW)
        return ahead

    def _keep_pace(self, now_s: float) -> None:
        self._bucket.set_pace(*self._pace.kept(now_s), now_s)

    def _send(self, ticket: Ticket, now_s: float) -> None:
        """Note that a ticket's call goes now."""
        self._bucket.take(now_s)
        ticket.sent_s = now_s
        ticket.probe = self.breaker.enter(now_s)
        ticket.in_burst = self._pace.note_call(now_s)
        self._under_way[ticket.priority] += 1
        self._persons_in_a_row = self._persons_in_a_row + 1 if ticket.priority is Priority.PERSON else 0
        self.calls += 1
        self._retry_credit = min(self._retry_credit + 1, RETRIES_AT_ONCE * CALLS_FOR_A_RETRY)

    def _is_ready(self, now_s: float) -> bool:
        """Tell whether breaker and rate let a call go now."""
        return self.breaker.passable(now_s) and self._bucket.ready_in_s(now_s) <= 0

    def _next(self, now_s: float) -> Ticket | None:
        return self._candidate(now_s) if self.line and self._is_ready(now_s) else None

    def _candidate(self, now_s: float) -> Ticket | None:
        """Return the ticket that would go next by order and slots, whatever rate and breaker say."""
        order = list(_ORDER)
        if self._persons_in_a_row >= PERSONS_IN_A_ROW:
            order.sort(key=lambda priority: priority is not Priority.REFRESH)
        for priority in order:
            if self._may_go(priority, now_s) and (ticket := self.line.first(priority)) is not None:
                return ticket
        return None

    def _may_go(self, priority: Priority, now_s: float) -> bool:
        """Tell whether there is a slot for a call of a priority, and it may be the probe where there is to be one."""
        if priority is Priority.PREFETCH and self.breaker.state(now_s) is State.PROBING:
            return False  # the probe should be a call that somebody wants
        return self.in_flight < self._limits.max_concurrency and self._has_slot(priority)

    def _has_slot(self, priority: Priority) -> bool:
        """Tell whether a call of a priority may take a slot.

        A quarter of the slots is kept for persons, so that slow calls in the background never block them. Prefetches take no
        more than half of the slots.
        """
        if priority is Priority.PERSON:
            return True
        most = self._limits.max_concurrency
        background = self._under_way[Priority.REFRESH] + self._under_way[Priority.PREFETCH]
        if priority is Priority.PREFETCH:
            return background < max(1, most // 2)
        return background < max(1, most - max(1, most // 4))
