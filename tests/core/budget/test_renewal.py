"""A budget that goes on with other settings keeps to them, and keeps what it has learned."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.budget import Budget, BudgetLimits, CallEnd, Priority, Ticket

LIMITS = st.builds(
    BudgetLimits,
    rate_per_s=st.sampled_from([0.5, 2.0, 10.0]),
    burst=st.sampled_from([1, 4, 20]),
    max_concurrency=st.sampled_from([1, 3, 50]),
    cooldown_max_s=st.sampled_from([1.0, 20.0, 300.0]),
)


def persons(budget: Budget, count: int, now_s: float) -> None:
    for number in range(count):
        budget.join(Ticket(priority=Priority.PERSON, client=str(number)), now_s)


def failed(budget: Budget, ended: CallEnd, now_s: float, *, retry_after_s: float | None = None) -> None:
    persons(budget, 1, now_s)
    (ticket,) = budget.admit(now_s)
    budget.finish(ticket, ended, now_s, retry_after_s=retry_after_s)


@given(before=LIMITS, after=LIMITS, waited_s=st.sampled_from([0.0, 0.3, 100.0]), spent=st.integers(0, 5))
def test_what_was_not_cut_is_as_configured(before: BudgetLimits, after: BudgetLimits, waited_s: float, spent: int) -> None:
    """From the switch on no more goes than the new burst, rate and concurrency allow.

    After a rest there is no difference to a budget that began so.
    """
    budget = Budget(before, 0.0)
    persons(budget, spent, 0.0)
    for ticket in budget.admit(0.0):
        budget.finish(ticket, CallEnd.ANSWERED, 0.0, took_s=0.1)
    for ticket in list(budget.line):
        budget.leave(ticket)
    budget.renew(after, waited_s)
    assert (budget.rate_per_s(waited_s), budget.burst(waited_s)) == (after.rate_per_s, after.burst)
    assert budget.tokens(waited_s) <= after.burst
    rested_s = waited_s + after.burst / after.rate_per_s + 1
    fresh = Budget(after, rested_s)
    for one in (budget, fresh):
        persons(one, 60, rested_s)
    assert len(budget.admit(rested_s)) == len(fresh.admit(rested_s)) == min(after.burst, after.max_concurrency)


@given(before=LIMITS, after=LIMITS)
def test_what_was_cut_stays_cut(before: BudgetLimits, after: BudgetLimits) -> None:
    """A switch is no reason to believe that the upstream takes more than it did; nor does more go than is configured."""
    budget = Budget(before, 0.0)
    failed(budget, CallEnd.BUSY, 0.0)
    rate_per_s, burst = budget.rate_per_s(0.0), budget.burst(0.0)
    budget.renew(after, 0.0)
    assert budget.rate_per_s(0.0) == (min(rate_per_s, after.rate_per_s) if rate_per_s < before.rate_per_s else after.rate_per_s)
    assert budget.burst(0.0) == (min(burst, after.burst) if burst < before.burst else after.burst)
    much_later_s = 1e6
    assert (budget.rate_per_s(much_later_s), budget.burst(much_later_s)) == (after.rate_per_s, after.burst)


@given(before=LIMITS, after=LIMITS)
def test_a_cooldown_that_has_begun(before: BudgetLimits, after: BudgetLimits) -> None:
    """It is never longer than the new settings let it be, nor longer than it would have been."""
    budget = Budget(before, 0.0)
    failed(budget, CallEnd.BUSY, 0.0, retry_after_s=50.0)
    left_s = budget.breaker.remaining_s(0.0)
    budget.renew(after, 0.0)
    assert budget.breaker.remaining_s(0.0) == min(left_s, after.cooldown_max_s)


@given(before=LIMITS, after=LIMITS)
def test_a_cooldown_of_another_process(before: BudgetLimits, after: BudgetLimits) -> None:
    """Who takes a budget over waits no longer than its own settings let it, nor longer than the other one would have."""
    budget, heir = Budget(before, 0.0), Budget(after, 7.0)
    failed(budget, CallEnd.BUSY, 0.0, retry_after_s=50.0)
    heir.take_over(budget.state(0.5), 7.0)
    assert heir.breaker.remaining_s(7.0) == min(budget.breaker.remaining_s(0.5), after.cooldown_max_s)


def test_the_same_settings_change_nothing() -> None:
    """A budget that is used goes on as if nothing had been."""
    limits = BudgetLimits(rate_per_s=2, burst=4, max_concurrency=3, cooldown_max_s=300)
    one, other = Budget(limits, 0.0), Budget(limits, 0.0)
    for number in range(40):
        now_s = number / 5
        one.renew(limits, now_s)
        for budget in (one, other):
            persons(budget, 2, now_s)
        admitted = [budget.admit(now_s) for budget in (one, other)]
        assert len(admitted[0]) == len(admitted[1])
        for budget, tickets in zip((one, other), admitted, strict=True):
            for ticket in tickets:
                budget.finish(ticket, CallEnd.BUSY if number == 7 else CallEnd.ANSWERED, now_s, took_s=0.1)
        assert one.wait_s(Priority.PERSON, "x", now_s) == other.wait_s(Priority.PERSON, "x", now_s)
