"""Two processes, one budget: tickets of the old one wait in the new one's line, and are counted there."""

import asyncio
import random
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from proxy.core.budget import BudgetLimits, CallEnd, Priority, State, Ticket
from proxy.errors import UpstreamBusy
from proxy.restart.lending import Lending
from proxy.restart.link import Link
from proxy.restart.messages import (
    FROM_NEW,
    FROM_OLD,
    BudgetGiven,
    Finish,
    FromNew,
    FromOld,
    GiveFile,
    Go,
    Join,
    Leave,
    Promote,
    Refused,
    Write,
)
from proxy.restart.remote import RemoteBudget
from proxy.upstream.turnstile import Turnstile
from tests.support.world import ManualClock

PERSON, REFRESH, PREFETCH = Priority
LIMITS = BudgetLimits(rate_per_s=10, burst=5, max_concurrency=3, cooldown_max_s=300)


@dataclass(slots=True)
class Pair:
    """The turnstiles of an old process and a new one."""

    clock: ManualClock
    old: Turnstile
    new: Turnstile
    old_link: Link[FromNew]
    new_link: Link[FromOld]
    remote: RemoteBudget
    lending: Lending
    sent_s: list[float] = field(default_factory=list)
    under_way: list[tuple[Turnstile, Ticket]] = field(default_factory=list)
    most: int = 0
    held: list[FromNew] | None = None
    """What the new one says, where the old one is not to hear it yet."""

    def hand_over(self) -> None:
        handed = self.old.hand_over(self.remote)
        under_way, waiting = self.remote.tell(handed)
        self.old_link.send(BudgetGiven(state=handed.state, under_way=under_way, waiting=waiting))

    async def call(self, turnstile: Turnstile, ticket: Ticket) -> None:
        """Enter, and count the call as under way until `finish`."""
        await turnstile.enter(ticket)
        self.sent_s.append(self.clock.monotonic_s())
        self.under_way.append((turnstile, ticket))
        self.most = max(self.most, len(self.under_way))

    def finish(self, ended: CallEnd, named_s: float | None = None) -> None:
        turnstile, ticket = self.under_way.pop(0)
        turnstile.leave(ticket, ended, took_s=0.1, named_s=named_s)

    async def quiet(self) -> None:
        """Wait until both have heard what the other one said."""
        for _ in range(2):
            await self.old_link.ask(Write())
            await self.new_link.ask(GiveFile())
        for _ in range(5):
            await asyncio.sleep(0)

    def from_new(self, message: FromNew) -> None:
        match message:
            case Go() if self.held is not None:
                self.held.append(message)
            case Go():
                self.remote.go(message)
            case Refused():
                self.remote.refuse(message)
            case _:
                self.old_link.answer(message, asyncio.sleep(0))

    def from_old(self, message: FromOld) -> None:
        match message:
            case BudgetGiven():
                self.lending.begin(message)
            case Join():
                self.lending.join(message.ticket)
            case Promote():
                self.lending.promote(message)
            case Leave():
                self.lending.leave(message.ticket)
            case Finish():
                self.lending.finish(message)
            case _:
                self.new_link.answer(message, asyncio.sleep(0))


@asynccontextmanager
async def pair(limits: BudgetLimits = LIMITS) -> AsyncIterator[Pair]:
    """Two turnstiles, with a real connection between them. In the end all are let go."""
    clock = ManualClock()
    old, new = Turnstile(limits, clock), Turnstile(limits, clock, held=True)
    ends = socket.socketpair()
    old_link, new_link = await Link.over(ends[0], FROM_NEW), await Link.over(ends[1], FROM_OLD)
    found = Pair(
        clock=clock,
        old=old,
        new=new,
        old_link=old_link,
        new_link=new_link,
        remote=RemoteBudget(old_link, old, clock),
        lending=Lending(new_link, new, clock),
    )
    running = [asyncio.create_task(old_link.run(found.from_new)), asyncio.create_task(new_link.run(found.from_old))]
    try:
        yield found
    finally:
        await found.lending.end()
        await old_link.aclose()
        await new_link.aclose()
        await asyncio.wait(running)


def begin(calls: list["asyncio.Task[None]"], both: Pair, turnstile: Turnstile, ticket: Ticket) -> None:
    calls.append(asyncio.create_task(both.call(turnstile, ticket)))


async def something(chance: random.Random, both: Pair, calls: list["asyncio.Task[None]"], turnstile: Turnstile) -> None:
    """Have a call begin, perhaps one be given up, some end, and time pass."""
    priority = chance.choice([PERSON, PERSON, REFRESH])
    client = chance.choice("abc")
    begin(calls, both, turnstile, Ticket(priority=priority, client=client, deadline_s=both.clock.monotonic_s() + 60))
    if chance.random() < 0.2:
        chance.choice(calls).cancel()
    await both.quiet()
    for _ in range(min(len(both.under_way), chance.randrange(3))):
        busy = chance.random() < 0.02
        both.finish(CallEnd.BUSY if busy else CallEnd.ANSWERED, named_s=1.0 if busy else None)
    # Whose turn it is now goes now.
    await both.quiet()
    both.clock.advance(chance.choice([0.0, 0.05, 0.2]))
    both.old.let_through()
    both.new.let_through()
    await both.quiet()


@pytest.mark.parametrize("seed", range(12))
async def test_together_they_keep_to_one_budget(seed: int) -> None:
    """Whatever ends how, in either process, before, while and after it is handed over: never more calls than one may send."""
    chance = random.Random(seed)  # noqa: S311 -- no secret depends on it
    calls: list[asyncio.Task[None]] = []
    async with pair() as both:
        for turn in range(120):
            if turn == 40:
                both.hand_over()
            await something(chance, both, calls, both.new if turn > 30 and chance.random() < 0.6 else both.old)
        while not all(call.done() for call in calls):
            both.clock.advance(1)
            while both.under_way:
                both.finish(CallEnd.ANSWERED)
            both.new.let_through()
            await both.quiet()
        while both.under_way:
            both.finish(CallEnd.ANSWERED)
        await both.quiet()
        for first, began_s in enumerate(both.sent_s):
            for last in range(first, len(both.sent_s)):
                assert last - first + 1 <= LIMITS.burst + LIMITS.rate_per_s * (both.sent_s[last] - began_s) + 1e-6
        assert len(both.sent_s) > 40
        assert both.most <= LIMITS.max_concurrency
        assert both.old.in_flight == both.new.in_flight == 0
        assert not any(both.old.waiting(priority) or both.new.waiting(priority) for priority in Priority)


async def test_a_cooldown_and_who_waits_are_handed_over() -> None:
    """The old one's 429 holds up the new one. Whom it outlasts in the old one is turned away, and the others go later."""
    async with pair() as both:
        calls: list[asyncio.Task[None]] = []
        tickets = [Ticket(priority=PERSON, deadline_s=both.clock.monotonic_s() + left_s) for left_s in (50, 50, 50, 5, 50)]
        for ticket in tickets:
            begin(calls, both, both.old, ticket)
        await both.quiet()
        assert len(both.under_way) == 3
        both.hand_over()
        await both.quiet()
        assert both.new.in_flight == 3
        both.finish(CallEnd.BUSY, named_s=10)
        await both.quiet()
        assert both.new.remaining_s == 10
        with pytest.raises(UpstreamBusy) as caught:
            await calls[3]
        assert caught.value.retry_after_s >= 10
        assert not calls[4].done()
        while both.under_way:
            both.finish(CallEnd.ANSWERED)
        both.clock.advance(10)
        await both.quiet()
        both.new.let_through()
        await calls[4]
        both.finish(CallEnd.ANSWERED)
        await both.quiet()
        assert both.new.state is State.CLOSED


async def test_who_cannot_go_in_time_is_refused() -> None:
    """By the process that has the budget, at once where it is known, and where it turns out."""
    async with pair(BudgetLimits(rate_per_s=1, burst=1, max_concurrency=1, cooldown_max_s=300)) as both:
        both.hand_over()
        await both.new.enter(Ticket(priority=PERSON))
        with pytest.raises(UpstreamBusy):
            await both.old.enter(Ticket(priority=PERSON, deadline_s=both.clock.monotonic_s() + 0.2))
        assert len(both.old.budget.line) == 0


async def test_who_is_promoted_goes_first() -> None:
    """A refresh of the old one that a client waits for now goes before those of the new one."""
    async with pair(BudgetLimits(rate_per_s=1000, burst=1000, max_concurrency=1, cooldown_max_s=300)) as both:
        both.hand_over()
        calls: list[asyncio.Task[None]] = []
        held, refresh, promoted = Ticket(priority=PERSON), Ticket(priority=REFRESH), Ticket(priority=REFRESH, refreshed_s=9)
        for turnstile, ticket in ((both.new, held), (both.new, refresh), (both.old, promoted)):
            begin(calls, both, turnstile, ticket)
            await both.quiet()
        both.old.promote(promoted, client="a", deadline_s=both.clock.monotonic_s() + 60)
        await both.quiet()
        both.finish(CallEnd.ANSWERED)
        await both.quiet()
        assert both.under_way == [(both.old, promoted)]
        both.finish(CallEnd.ANSWERED)
        await both.quiet()
        assert both.under_way == [(both.new, refresh)]


@pytest.mark.parametrize("goes", ["old", "new"])
async def test_the_other_one_is_gone(goes: str) -> None:
    """Its calls don't count any more, nor do those of it that wait; the one that is left has the budget, without a token."""
    async with pair() as both:
        both.hand_over()
        await both.quiet()
        calls: list[asyncio.Task[None]] = []
        for turnstile in (both.old, both.new, both.old, both.new, both.old):
            begin(calls, both, turnstile, Ticket(priority=PERSON, deadline_s=both.clock.monotonic_s() + 60))
            await both.quiet()
        assert len(both.under_way) == 3
        if goes == "old":
            await both.lending.end()
            # Its own, and the one that waited.
            assert both.new.in_flight == 2
            await calls[3]
        else:
            both.old.take_back()
            both.old.take_back()
            assert both.old.tokens == 0
            assert both.old.in_flight == 2
            assert not calls[4].done()
            both.clock.advance(0.1)
            both.old.let_through()
            await calls[4]
        for call in calls:
            call.cancel()
        await asyncio.wait(calls)


async def test_who_went_while_its_turn_came_gives_it_back() -> None:
    """The word that it goes and the word that it waits no longer cross on their way: the slot is free again."""
    async with pair(BudgetLimits(rate_per_s=1000, burst=1000, max_concurrency=1, cooldown_max_s=300)) as both:
        both.hand_over()
        await both.quiet()
        both.held = []
        call = asyncio.create_task(both.old.enter(Ticket(priority=PERSON)))
        await both.quiet()
        assert both.new.in_flight == 1
        call.cancel()
        await asyncio.wait({call})
        await both.quiet()
        held, both.held = both.held, None
        for message in held:
            both.from_new(message)
        await both.quiet()
        assert both.old.in_flight == both.new.in_flight == 0
