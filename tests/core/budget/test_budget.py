"""The upstream budget as a model: whatever happens in whatever order, the promises hold."""

import math
from collections import deque
from copy import deepcopy

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from proxy.core.budget.breaker import FAILURES_IN_A_ROW, Breaker, State
from proxy.core.budget.bucket import Bucket
from proxy.core.budget.budget import PERSONS_IN_A_ROW, Budget, BudgetLimits, CallEnd
from proxy.core.budget.line import Line, Priority, Ticket
from proxy.core.budget.pace import Pace

PERSON, REFRESH, PREFETCH = Priority


def budget(*, rate_per_s: float = 10, burst: int = 20, max_concurrency: int = 8, cooldown_max_s: float = 300) -> Budget:
    limits = BudgetLimits(rate_per_s=rate_per_s, burst=burst, max_concurrency=max_concurrency, cooldown_max_s=cooldown_max_s)
    return Budget(limits, 0.0)


class Model(RuleBasedStateMachine):
    """A budget, what is known of its tickets, and a clock that only rules move."""

    @initialize(rate=st.sampled_from([1.0, 5.0, 50.0]), burst=st.sampled_from([1, 3, 20]), slots=st.sampled_from([1, 2, 8]))
    def begin(self, rate: float, burst: int, slots: int) -> None:
        self.rate, self.burst, self.slots = rate, burst, slots
        self.budget = budget(rate_per_s=rate, burst=burst, max_concurrency=slots)
        self.now_s = 0.0
        self.waiting: list[Ticket] = []
        self.under_way: list[Ticket] = []
        self.admitted_s: deque[float] = deque()
        self.joined = self.left = self.finished = 0
        self.retries = self.earlier_calls = self.earlier_retries = 0
        self.overtaken: dict[Ticket, int] = {}

    @rule(priority=st.sampled_from(Priority), client=st.sampled_from("abc"), count=st.integers(1, 30), age_s=st.floats(0, 100))
    def join(self, priority: Priority, client: str, count: int, age_s: float) -> None:
        for number in range(count):
            ticket = Ticket(priority=priority, client=client, refreshed_s=age_s + number)
            self.budget.join(ticket, self.now_s)
            self.waiting.append(ticket)
            self.joined += 1

    @rule(priority=st.sampled_from(Priority), client=st.sampled_from("abc"))
    def come(self, priority: Priority, client: str) -> None:
        """One that comes while nobody waits goes at once exactly where it would go by the line, and to the same effect."""
        twin, other = deepcopy(self.budget), Ticket(priority=priority, client=client)
        twin.join(other, self.now_s)
        goes = other in twin.admit(self.now_s)
        ticket = Ticket(priority=priority, client=client)
        assert self.budget.admit_at_once(ticket, self.now_s) == (goes and not self.waiting)
        if goes and not self.waiting:
            assert (ticket.joined_s, ticket.sent_s) == (other.joined_s, other.sent_s)
            assert (ticket.probe, ticket.in_burst) == (other.probe, other.in_burst)
            assert self.budget.state(self.now_s) == twin.state(self.now_s)
            self.under_way.append(ticket)
            self.admitted_s.append(self.now_s)
            self.joined += 1

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        ticket = data.draw(st.sampled_from(self.waiting))
        self.budget.leave(ticket)
        self.budget.leave(ticket)
        self.waiting.remove(ticket)
        self.left += 1

    @rule(seconds=st.sampled_from([0.0, 0.01, 0.1, 0.5, 1.0, 5.0, 30.0, 400.0]))
    def advance(self, seconds: float) -> None:
        self.now_s += seconds

    @rule()
    def wake(self) -> None:
        """Go to when the budget says that something may happen by itself; then something does."""
        self.admit()
        wake_s = self.budget.next_s(self.now_s)
        if wake_s is not None:
            assert wake_s >= self.now_s
            cooling = self.budget.breaker.state(self.now_s) is State.COOLING
            self.now_s = wake_s
            assert self.admit() or cooling

    @rule()
    def admit_some(self) -> None:
        self.admit()

    def admit(self) -> int:
        state = self.budget.breaker.state(self.now_s)
        persons_before = [ticket for ticket in self.waiting if ticket.priority is PERSON]
        tickets = self.budget.admit(self.now_s)
        assert state is not State.COOLING or not tickets
        assert state is not State.PROBING or len(tickets) <= 1
        for ticket in tickets:
            assert ticket in self.waiting
            self.waiting.remove(ticket)
            self.under_way.append(ticket)
            self.admitted_s.append(self.now_s)
            if ticket.priority is not PERSON and any(waits not in tickets for waits in persons_before):
                # A refresh goes before a person only when its share is due.
                assert ticket.priority is REFRESH
        return len(tickets)

    @precondition(lambda self: self.under_way)
    @rule(data=st.data(), ended=st.sampled_from(CallEnd), named_s=st.sampled_from([None, 1.0, 7.0, 1000.0]))
    def finish(self, data: st.DataObject, ended: CallEnd, named_s: float | None) -> None:
        ticket = data.draw(st.sampled_from(self.under_way))
        self.under_way.remove(ticket)
        self.budget.finish(ticket, ended, self.now_s, took_s=0.1, retry_after_s=named_s)
        self.finished += 1
        if ended is CallEnd.BUSY and named_s is not None:
            assert self.budget.breaker.remaining_s(self.now_s) >= min(named_s, 300) - 1e-9

    @rule()
    def retry(self) -> None:
        self.retries += self.budget.take_retry()

    @rule()
    def hand_over(self) -> None:
        """Another process goes on with the budget, and with all tickets."""
        before, self.budget = self.budget, budget(rate_per_s=self.rate, burst=self.burst, max_concurrency=self.slots)
        self.budget.take_over(before.state(self.now_s), self.now_s)
        for ticket in self.under_way:
            self.budget.take_in(ticket)
        self.go_on_from(before)

    @rule()
    def begin_without(self) -> None:
        """Another process goes on, but the one that had the budget is gone, and its calls with it."""
        before, self.budget = self.budget, budget(rate_per_s=self.rate, burst=self.burst, max_concurrency=self.slots)
        self.budget.empty(self.now_s)
        self.finished += len(self.under_way)
        self.under_way.clear()
        self.go_on_from(before)

    def go_on_from(self, before: Budget) -> None:
        self.earlier_calls += before.calls
        self.earlier_retries += before.retries
        for ticket in self.waiting:
            self.budget.join(ticket, self.now_s)

    @invariant()
    def never_above_the_rate(self) -> None:
        times = list(self.admitted_s)[-200:]
        for first in range(0, len(times), 7):
            span_s = times[-1] - times[first]
            assert len(times) - first <= self.burst + self.rate * span_s + 1e-6

    @invariant()
    def never_too_many_at_once(self) -> None:
        assert self.budget.in_flight == len(self.under_way) <= self.slots

    @invariant()
    def nothing_is_lost(self) -> None:
        assert len(self.budget.line) == len(self.waiting)
        assert self.joined == self.left + len(self.waiting) + len(self.under_way) + self.finished
        assert set(self.budget.line) == set(self.waiting)

    @invariant()
    def never_stuck(self) -> None:
        """With somebody waiting and nothing under way, time alone brings the next call."""
        probing = self.budget.breaker.state(self.now_s) is State.PROBING
        if any(not (probing and ticket.priority is PREFETCH) for ticket in self.waiting) and not self.under_way:
            assert self.budget.next_s(self.now_s) is not None

    @invariant()
    def retries_are_few(self) -> None:
        assert self.retries == self.earlier_retries + self.budget.retries
        assert self.retries <= (self.earlier_calls + self.budget.calls) / 10

    @invariant()
    def estimates_are_sane(self) -> None:
        for priority in Priority:
            assert 0 <= self.budget.wait_s(priority, "a", self.now_s) < math.inf

    def teardown(self) -> None:
        """In the end everybody has gone, and nothing is left in the line's tables."""
        for _ in range(10_000):
            for ticket in self.under_way:
                self.budget.finish(ticket, CallEnd.ANSWERED, self.now_s)
            self.under_way.clear()
            if not self.waiting:
                break
            if not self.admit():
                wake_s = self.budget.next_s(self.now_s)
                if wake_s is None:
                    self.join(PERSON, "a", 1, 0.0)  # prefetches alone don't probe
                else:
                    self.now_s = wake_s
        assert not self.waiting
        line = self.budget.line
        assert not line._clients  # noqa: SLF001 -- what is left behind shows nowhere else
        assert not line._prefetches  # noqa: SLF001 -- what is left behind shows nowhere else
        assert all(line.first(priority) is None for priority in Priority)
        assert not line._refreshes  # noqa: SLF001 -- what is left behind shows nowhere else


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=150, stateful_step_count=40)


def going(budget: Budget, count: int, *, now_s: float = 0.0) -> list[Ticket]:
    """Admit one after another, each ending at once, a second apart."""
    gone: list[Ticket] = []
    while len(gone) < count:
        now_s += 1
        for ticket in budget.admit(now_s)[:1]:
            gone.append(ticket)
            budget.finish(ticket, CallEnd.ANSWERED, now_s)
    return gone


def test_clients_take_turns() -> None:
    """One with a single question goes second, not after the 200 of another; each client's own go in order."""
    one_at_a_time = budget(rate_per_s=1, burst=1, max_concurrency=1)
    many = [Ticket(priority=PERSON, client="many") for _ in range(200)]
    single = Ticket(priority=PERSON, client="single")
    for ticket in [*many, single]:
        one_at_a_time.join(ticket, 0)
    assert one_at_a_time.line.ahead(PERSON, "another") == 2
    assert one_at_a_time.line.ahead(PERSON, "many") == 201
    assert going(one_at_a_time, 5) == [many[0], single, *many[1:4]]


def test_refreshes_go_least_recently_refreshed_first_and_never_starve() -> None:
    """Persons go first; after nine of them in a row the oldest refresh gets its turn; prefetches come last."""
    one_at_a_time = budget(rate_per_s=1, burst=1, max_concurrency=1)
    persons = [Ticket(priority=PERSON, client=str(number)) for number in range(20)]
    refreshes = [Ticket(priority=REFRESH, refreshed_s=age_s) for age_s in (30, 10, 20)]
    prefetch = Ticket(priority=PREFETCH)
    for ticket in [prefetch, *refreshes, *persons]:
        one_at_a_time.join(ticket, 0)
    gone = going(one_at_a_time, 24)
    order = [ticket for ticket in gone if ticket.priority is REFRESH]
    assert [ticket.refreshed_s for ticket in order] == [10, 20, 30]
    assert [gone.index(ticket) for ticket in order] == [PERSONS_IN_A_ROW, 2 * PERSONS_IN_A_ROW + 1, 22]
    assert gone[-1] is prefetch


def test_prefetches_go_in_order_and_after_everybody_else() -> None:
    """Neither the turn of the refreshes nor its passing lets a prefetch go before a person."""
    one_at_a_time = budget(rate_per_s=1, burst=1, max_concurrency=1)
    prefetches = [Ticket(priority=PREFETCH) for _ in range(3)]
    persons = [Ticket(priority=PERSON) for _ in range(2 * PERSONS_IN_A_ROW)]
    for ticket in [*prefetches, *persons]:
        one_at_a_time.join(ticket, 0)
    assert going(one_at_a_time, len(persons) + 3) == [*persons, *prefetches]


def test_an_outage_does_not_slow_down_what_comes_after_it() -> None:
    """A probe comes alone after a rest: that it is told 429 or 503 says nothing about the rate, and cuts it no further."""
    broken = budget(rate_per_s=10, burst=1)
    now_s = 0.0
    for _ in range(3):
        broken.join(Ticket(priority=PERSON), now_s)
        (ticket,) = broken.admit(now_s)
        broken.finish(ticket, CallEnd.BUSY, now_s)
        now_s += broken.breaker.remaining_s(now_s)
    assert now_s == 35
    assert broken.rate_per_s(now_s) > 8


def test_no_prefetch_probes() -> None:
    """The call that finds out is one that somebody wants, even if it comes later; then the prefetch goes."""
    cooling = budget()
    cooling.join(Ticket(priority=PERSON), 0)
    (ticket,) = cooling.admit(0)
    cooling.finish(ticket, CallEnd.BUSY, 0, retry_after_s=5)
    prefetch, refresh = Ticket(priority=PREFETCH), Ticket(priority=REFRESH)
    cooling.join(prefetch, 1)
    assert cooling.admit(6) == []
    assert cooling.next_s(6) is None
    cooling.join(refresh, 6)
    assert cooling.admit(6) == [refresh]
    cooling.finish(refresh, CallEnd.ANSWERED, 6)
    assert cooling.admit(6) == [prefetch]


def test_retries_are_a_tenth_and_at_most_ten_in_a_row() -> None:
    """One for ten calls, none before; however many calls there were, no more than ten follow each other."""
    going_on = budget(rate_per_s=1000, burst=1, max_concurrency=1)
    allowed = []
    for number in range(30):
        going_on.join(Ticket(priority=PERSON), number)
        going(going_on, 1, now_s=number)
        allowed += [number + 1] * sum(going_on.take_retry() for _ in range(3))
    assert allowed == [10, 20, 30]
    for number in range(300):
        going_on.join(Ticket(priority=PERSON), 100 + number)
        going(going_on, 1, now_s=100 + number)
    assert sum(going_on.take_retry() for _ in range(30)) == 10


def test_slow_calls_in_the_background_leave_slots_for_persons() -> None:
    """However many refreshes hang, a quarter of the slots is kept; prefetches take half at most."""
    busy = budget(burst=100, max_concurrency=8)
    for _ in range(50):
        busy.join(Ticket(priority=PREFETCH), 0)
    assert len(busy.admit(0)) == 4
    for _ in range(50):
        busy.join(Ticket(priority=REFRESH), 0)
    assert len(busy.admit(0)) == 2
    assert busy.next_s(0) is None
    busy.join(Ticket(priority=PERSON), 0)
    assert len(busy.admit(0)) == 1
    crowded = budget(burst=100, max_concurrency=8)
    for _ in range(7):
        crowded.join(Ticket(priority=PERSON), 0)
    crowded.join(Ticket(priority=REFRESH), 0)
    assert len(crowded.admit(0)) == 8


def test_a_cooldown_lets_one_probe_out_and_then_the_rate_not_a_burst() -> None:
    """After an hour's outage: one probe, and once it has answered the calls that waited go at the rate."""
    now_s = 0.0
    broken = budget(rate_per_s=10, burst=20)
    for _ in range(500):
        broken.join(Ticket(priority=PERSON), now_s)
    while now_s < 3600:
        for ticket in broken.admit(now_s):
            broken.finish(ticket, CallEnd.FAILED, now_s)
        wake_s = broken.next_s(now_s)
        assert wake_s is not None
        now_s = wake_s
    assert broken.calls < 20 + FAILURES_IN_A_ROW + 3600 / 30 + 10
    (probe,) = broken.admit(now_s)
    assert broken.admit(now_s + 1) == []
    broken.finish(probe, CallEnd.ANSWERED, now_s + 1, took_s=1)
    assert len(broken.admit(now_s + 1)) == 1
    assert len(broken.admit(now_s + 1.35)) == 3


def cool(breaker: Breaker, now_s: float, named_s: float | None = None) -> float:
    """Let a call be told 429, and return how long the cool-down is."""
    breaker.busy(now_s, named_s, probe=breaker.enter(now_s))
    return breaker.remaining_s(now_s)


@pytest.mark.parametrize(("named_s", "lengths_s"), [(None, [5, 10, 20, 40, 80, 160, 300, 300]), (7.0, [7, 7, 7])])
def test_cooldowns(named_s: float | None, lengths_s: list[float]) -> None:
    """A named time counts as it is, an unnamed one doubles, up to the most; a success begins anew."""
    cooling = budget()
    now_s = 0.0
    for length_s in lengths_s:
        cooling.join(Ticket(priority=PERSON), now_s)
        (ticket,) = cooling.admit(now_s)
        assert cooling.finish(ticket, CallEnd.BUSY, now_s, retry_after_s=named_s)
        assert cooling.breaker.remaining_s(now_s) == length_s
        now_s += length_s
        assert cooling.breaker.state(now_s) is State.PROBING


def test_a_named_time_begins_the_doubling_anew() -> None:
    """It is bounded like any other, and whatever comes unnamed after it begins at 5 s."""
    breaker = Breaker(most_s=300)
    assert [cool(breaker, now_s) for now_s in (0, 1000, 2000)] == [5, 10, 20]
    assert [cool(breaker, 3000, 1000), cool(breaker, 4000)] == [300, 5]


def test_failures_in_a_row() -> None:
    """Five begin a cool-down, fewer don't where an answer comes between; a failing probe doubles it up to 30 s, no more."""
    breaker = Breaker(most_s=300)
    for _ in range(FAILURES_IN_A_ROW - 1):
        assert not breaker.failed(0, probe=False)
    breaker.answered(0, probe=False)
    assert [breaker.failed(0, probe=False) for _ in range(FAILURES_IN_A_ROW)] == [False] * 4 + [True]
    assert not breaker.failed(1, probe=False)
    now_s, lengths_s = 0.0, []
    for _ in range(5):
        lengths_s.append(breaker.remaining_s(now_s))
        now_s += lengths_s[-1]
        assert breaker.failed(now_s, probe=breaker.enter(now_s))
    assert lengths_s == [5, 10, 20, 30, 30]
    now_s += 30
    assert breaker.answered(now_s, probe=breaker.enter(now_s))
    assert [breaker.failed(now_s, probe=False) for _ in range(FAILURES_IN_A_ROW)] == [False] * 4 + [True]
    assert breaker.remaining_s(now_s) == 5


def test_late_reports_of_calls_from_before_a_cooldown() -> None:
    """They end nothing; they prolong it only by a time that they name, and never shorten it."""
    breaker = Breaker(most_s=300)
    assert breaker.busy(0, 10, probe=False)
    assert not breaker.busy(1, None, probe=False)
    assert not any(breaker.failed(1, probe=False) for _ in range(2 * FAILURES_IN_A_ROW))
    assert not breaker.answered(1, probe=False)
    assert breaker.busy(1, 2, probe=False)
    assert breaker.remaining_s(1) == 9
    assert breaker.enter(10)
    assert not breaker.passable(11)
    assert not breaker.answered(11, probe=False)
    assert breaker.state(11) is State.PROBING
    assert breaker.busy(12, 20, probe=False)
    assert not breaker.answered(13, probe=True)
    assert breaker.remaining_s(13) == 19
    assert breaker.enter(32)
    breaker.abandoned(probe=True)
    assert breaker.enter(33)
    assert breaker.answered(34, probe=True)
    assert breaker.state(34) is State.CLOSED


def test_the_estimate() -> None:
    """Who comes now waits for the tokens of those ahead, for slots, or for the end of the cool-down."""
    slow = budget(rate_per_s=5, burst=1, max_concurrency=8)
    assert slow.wait_s(PERSON, "a", 0) == 0
    for number in range(50):
        slow.join(Ticket(priority=PERSON, client=str(number)), 0)
    slow.admit(0)
    assert slow.wait_s(PERSON, "a", 0) == pytest.approx(10)
    assert slow.wait_s(REFRESH, "", 0) == pytest.approx(10)
    for _ in range(3):
        slow.join(Ticket(priority=REFRESH), 0)
    # Of the 49 ahead each nine let a refresh go first, as long as there are any.
    assert slow.wait_s(PERSON, "a", 0) == pytest.approx(10.6)
    held = budget(rate_per_s=1000, burst=1000, max_concurrency=1)
    for _ in range(11):
        held.join(Ticket(priority=PERSON), 0)
    (first,) = held.admit(0)
    assert held.wait_s(PERSON, "", 0) == pytest.approx(5.25)
    held.finish(first, CallEnd.ANSWERED, 0, took_s=1.5)
    (first,) = held.admit(0)
    assert held.usual_call_s == pytest.approx(0.7)
    assert held.wait_s(PERSON, "", 0) == pytest.approx(6.65)
    held.finish(first, CallEnd.BUSY, 0, retry_after_s=60)
    assert held.wait_s(PERSON, "", 0) > 60


def test_who_is_late_is_told() -> None:
    """A cool-down that outlasts a deadline makes the ticket late; one that doesn't leaves it waiting."""
    cooling = budget()
    soon, later = Ticket(priority=PERSON, deadline_s=5), Ticket(priority=PERSON, deadline_s=50)
    cooling.join(Ticket(priority=PERSON), 0)
    (ticket,) = cooling.admit(0)
    cooling.join(soon, 0)
    cooling.join(later, 0)
    assert cooling.late(0) == []
    cooling.finish(ticket, CallEnd.BUSY, 0, retry_after_s=10)
    assert cooling.late(0) == [soon]


def test_the_bucket() -> None:
    """It begins full, never holds more than the burst, and a token that rounding has missed by a hair counts."""
    bucket = Bucket(rate_per_s=10, burst=3, now_s=0)
    assert bucket.tokens(100) == 3
    for _ in range(3):
        bucket.take(100)
    assert bucket.ready_in_s(100) == pytest.approx(0.1)
    assert bucket.ready_in_s(100, 5) == pytest.approx(0.5)
    assert bucket.ready_in_s(50) == pytest.approx(0.1)
    now_s = 100.0
    for _ in range(1000):
        now_s += bucket.ready_in_s(now_s)
        bucket.take(now_s)
    assert now_s == pytest.approx(200)
    bucket.set_pace(1, 2, now_s + 1)
    assert bucket.tokens(now_s + 1) == 2
    bucket.drain(now_s + 1)
    assert bucket.tokens(now_s + 1.5) == pytest.approx(1.5)


def test_misuse_is_noticed() -> None:
    """A ticket waits once, a token is there before it is taken, a closed gate isn't passed."""
    line = Line()
    ticket = Ticket(priority=PERSON)
    line.add(ticket)
    assert ticket in line
    with pytest.raises(RuntimeError):
        line.add(ticket)
    bucket = Bucket(rate_per_s=1, burst=1, now_s=0)
    bucket.take(0)
    with pytest.raises(RuntimeError):
        bucket.take(0.5)
    cooling = budget()
    cooling.breaker.busy(0, 5, probe=False)
    with pytest.raises(RuntimeError):
        cooling.breaker.enter(1)


@pytest.mark.parametrize("limit_per_s", [1.0, 5.0, 20.0])
def test_the_pace_settles_near_a_limit_that_nobody_told(limit_per_s: float) -> None:
    """Against a server that takes so many a second and says 429 beyond: few are refused, and little is left unused."""
    pace = Pace(most_per_s=50, burst=1, now_s=0)
    tokens, now_s = 10.0, 0.0
    sent = refused = 0
    while now_s < 600:
        step_s = 1 / pace.rate_per_s(now_s)
        now_s += step_s
        tokens = min(10.0, tokens + step_s * limit_per_s)
        counts = now_s > 60
        sent += counts
        if tokens >= 1:
            tokens -= 1
        else:
            refused += counts
            pace.cut(now_s, sent_s=now_s)
            now_s += 2
            tokens = min(10.0, tokens + 2 * limit_per_s)
    assert refused / sent < 0.02
    assert (sent - refused) / 540 > 0.7 * limit_per_s


def test_many_429s_at_once_are_one_cut() -> None:
    """Calls from before a cut say nothing new, however late; the configured rate is never exceeded, the least kept."""
    pace = Pace(most_per_s=8, burst=1, now_s=0)
    for number in range(10):
        pace.cut(0.5 + number, sent_s=0.4)
    assert pace.rate_per_s(0.5) < 5
    for number in range(100):
        pace.cut(20.0 + 2 * number, sent_s=19.9 + 2 * number)
    assert pace.rate_per_s(220) > 0.19
    assert pace.rate_per_s(1_000_000) == 8
    slow = Pace(most_per_s=0.1, burst=1, now_s=0)
    slow.cut(1, sent_s=0)
    assert slow.rate_per_s(1) == 0.1


def test_a_burst_that_was_too_much_costs_the_burst_and_not_the_rate() -> None:
    """Told the right rate and too large a burst, the proxy goes on at the rate; the burst comes back within minutes."""
    told = budget(rate_per_s=5, burst=20)
    for _ in range(8):
        told.join(Ticket(priority=PERSON), 0)
    sent = told.admit(0)
    for ticket in sent[:5]:
        told.finish(ticket, CallEnd.ANSWERED, 0.05, took_s=0.05)
    for ticket in sent[5:]:
        told.finish(ticket, CallEnd.BUSY, 0.05, retry_after_s=2)
    assert told.rate_per_s(0.05) == 5
    assert told.burst(0.05) == 10
    assert 10 < told.tokens(60) == told.burst(60) < 11
    assert 19 < told.burst(690) < 20
    assert told.burst(700) == 20


def test_even_calls_that_are_too_many_cost_the_rate() -> None:
    """Where calls came no faster than the rate, it is the rate that was too high."""
    told = budget(rate_per_s=5, burst=20)
    for number in range(30):
        told.join(Ticket(priority=PERSON), number / 5)
        (ticket,) = told.admit(number / 5)
        told.finish(ticket, CallEnd.BUSY if number == 29 else CallEnd.ANSWERED, number / 5, retry_after_s=2)
    assert told.rate_per_s(29 / 5) == 2.5
    assert told.burst(29 / 5) == 10


def test_what_was_learned_is_handed_over() -> None:
    """The next process has the cuts, the cool-down with its probe, and their ages by a clock of its own."""
    old, new = budget(rate_per_s=10, burst=8), budget(rate_per_s=10, burst=8)
    tickets = [Ticket(priority=PERSON) for _ in range(2)]
    for ticket in tickets:
        old.join(ticket, 0)
        old.admit(0)
    old.finish(tickets[0], CallEnd.BUSY, 0, retry_after_s=20)
    new.take_over(old.state(1), 1001)
    new.take_in(tickets[1])
    assert (new.rate_per_s(1001), new.burst(1001)) == pytest.approx((old.rate_per_s(1), old.burst(1)))
    assert new.tokens(1001) == old.tokens(1)
    assert new.breaker.remaining_s(1001) == 19
    assert new.in_flight == 1
    # The other call was sent before the cut: its 429 says nothing new about the rate.
    before = new.rate_per_s(1001)
    tickets[1].sent_s = 1000
    new.finish(tickets[1], CallEnd.BUSY, 1001)
    assert new.rate_per_s(1001) == before
    # Later the rate grows as it would have.
    assert new.rate_per_s(1101) == pytest.approx(old.rate_per_s(101))
    probe = Ticket(priority=PERSON)
    new.join(probe, 1101)
    assert new.admit(1101) == [probe]
    another = budget()
    another.take_over(new.state(1101), 0)
    another.join(Ticket(priority=PERSON), 0)
    assert another.admit(0) == []  # while the probe is under way


@pytest.mark.parametrize(("rate_per_s", "burst"), [(2, 3), (100, 50)])
def test_another_configuration_holds_after_it_was_handed_over(rate_per_s: float, burst: int) -> None:
    """Tokens are handed over as far as they fit; a rate that was never cut is the new one."""
    old, new = budget(rate_per_s=10, burst=20), budget(rate_per_s=rate_per_s, burst=burst)
    new.take_over(old.state(0), 0)
    assert new.rate_per_s(0) == rate_per_s
    assert new.tokens(0) == min(20, burst)
