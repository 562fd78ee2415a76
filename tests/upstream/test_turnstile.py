"""The turnstile by itself: what cancelling, crowding and deadlines do to those who wait."""

import asyncio

import pytest

from proxy.core.budget.budget import BudgetLimits, CallEnd
from proxy.core.budget.line import Priority, Ticket
from proxy.errors import UpstreamBusy
from proxy.upstream import turnstile as module
from proxy.upstream.turnstile import Turnstile
from tests.support.world import ManualClock

PERSON, REFRESH, PREFETCH = Priority


def one_at_a_time(clock: ManualClock) -> Turnstile:
    return Turnstile(BudgetLimits(rate_per_s=1000, burst=1000, max_concurrency=1, cooldown_max_s=300), clock)


async def entering(turnstile: Turnstile, *tickets: Ticket) -> list["asyncio.Task[None]"]:
    tasks = [asyncio.create_task(turnstile.enter(ticket)) for ticket in tickets]
    await asyncio.sleep(0)
    return tasks


async def test_who_is_cancelled_between_admission_and_noticing_it_keeps_no_slot() -> None:
    """The slot goes to the next in line at once, whether the cancelling comes before or after the turn does."""
    turnstile = one_at_a_time(ManualClock())
    held, first, second, third = (Ticket(priority=PERSON) for _ in range(4))
    await entering(turnstile, held)
    tasks = await entering(turnstile, first, second, third)
    turnstile.leave(held, CallEnd.ANSWERED)
    tasks[0].cancel()
    tasks[1].cancel()
    await asyncio.wait(tasks, timeout=10)
    assert [task.cancelled() for task in tasks] == [True, True, False]
    assert turnstile.budget.in_flight == 1
    turnstile.leave(third, CallEnd.ANSWERED)
    assert turnstile.budget.in_flight == len(turnstile.budget.line) == 0


async def test_a_crowd_of_refreshes_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """So many may wait; a further one is refused, and a person isn't."""
    monkeypatch.setattr(module, "MOST_WAITING", 3)
    turnstile = one_at_a_time(ManualClock())
    tickets = [Ticket(priority=REFRESH) for _ in range(4)]
    tasks = await entering(turnstile, *tickets)
    with pytest.raises(UpstreamBusy):
        await asyncio.wait_for(turnstile.enter(Ticket(priority=PREFETCH)), 10)
    tasks += await entering(turnstile, Ticket(priority=PERSON))
    assert len(turnstile.budget.line) == 4
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert len(turnstile.budget.line) == 0


async def test_the_deadline_leaves_time_for_the_call() -> None:
    """What a call usually takes, a tenth of what is left at most; who needn't wait goes however little is left."""
    clock = ManualClock()
    turnstile = one_at_a_time(clock)
    now_s = clock.monotonic_s()
    assert turnstile.latest_s(Ticket(priority=PERSON, deadline_s=now_s + 25)) == now_s + 24.5
    assert turnstile.latest_s(Ticket(priority=PERSON, deadline_s=now_s + 1)) == now_s + 0.9
    assert turnstile.latest_s(Ticket(priority=PERSON, deadline_s=now_s - 1)) == now_s - 1
    await turnstile.enter(Ticket(priority=PERSON, deadline_s=now_s + 0.001))
    with pytest.raises(UpstreamBusy):
        await turnstile.enter(Ticket(priority=PERSON, deadline_s=now_s + 0.001))


async def test_a_cooldown_turns_away_whom_it_outlasts() -> None:
    """At once, with the time that it takes; the others go on waiting."""
    clock = ManualClock()
    turnstile = one_at_a_time(clock)
    held = Ticket(priority=PERSON)
    await entering(turnstile, held)
    soon, later = (Ticket(priority=PERSON, deadline_s=clock.monotonic_s() + seconds) for seconds in (5, 50))
    tasks = await entering(turnstile, soon, later)
    turnstile.leave(held, CallEnd.BUSY, named_s=10)
    with pytest.raises(UpstreamBusy) as caught:
        await asyncio.wait_for(tasks[0], 10)
    assert 10 <= caught.value.retry_after_s < 11
    assert not tasks[1].done()
    clock.advance(10)
    turnstile.let_through()
    await tasks[1]
    assert later.probe
