"""The upstream budget in the new process, and the old one's tickets in its line."""

import asyncio

from proxy.clock import Clock
from proxy.core.budget import CallEnd, Ticket
from proxy.errors import UpstreamBusy
from proxy.restart.link import Link
from proxy.restart.messages import BudgetGiven, Finish, FromOld, Go, Promote, Refused, RemoteTicket
from proxy.tasks import end_tasks
from proxy.upstream.turnstile import Handed, Turnstile


class Lending:
    """Has the old process's tickets wait like this one's own, and counts their calls."""

    def __init__(self, link: Link[FromOld], turnstile: Turnstile, clock: Clock) -> None:
        self._link = link
        self._turnstile = turnstile
        self._clock = clock
        self._waiting: dict[int, tuple[Ticket, asyncio.Task[None]]] = {}
        self._under_way: dict[int, Ticket] = {}
        self.begun = False
        """Whether this process has the budget."""

    def begin(self, given: BudgetGiven | None) -> None:
        """Begin with the budget of the old process; None: it is gone."""
        self.begun = True
        if given is None:
            self._turnstile.begin(None)
            return
        now_s = self._clock.monotonic_s()
        self._under_way = {one.ticket: one.told(now_s) for one in given.under_way}
        self._turnstile.begin(Handed(state=given.state, under_way=tuple(self._under_way.values()), waiting=()))
        for one in given.waiting:
            self.join(one)

    def join(self, told: RemoteTicket) -> None:
        """Put a ticket in the line."""
        ticket = told.told(self._clock.monotonic_s())
        task = asyncio.get_running_loop().create_task(self._enter(told.ticket, ticket), name="restart.lend")
        self._waiting[told.ticket] = ticket, task

    def promote(self, message: Promote) -> None:
        """Give a waiting ticket another priority, client and deadline."""
        ticket, _ = self._waiting.get(message.ticket.ticket, (None, None))
        if ticket is None:
            return
        told = message.ticket.told(self._clock.monotonic_s())
        try:
            self._turnstile.promote(ticket, client=told.client, deadline_s=told.deadline_s)
        except UpstreamBusy as exc:
            self._refuse(message.ticket.ticket, exc)

    def leave(self, number: int) -> None:
        """Take a ticket out of the line."""
        _, task = self._waiting.pop(number, (None, None))
        if task is not None:
            task.cancel()

    def finish(self, message: Finish) -> None:
        """Note how a ticket's call ended."""
        ticket = self._under_way.pop(message.ticket, None)
        if ticket is not None:
            self._turnstile.leave(ticket, message.ended, took_s=message.took_s, named_s=message.named_s)

    async def end(self) -> None:
        """Give up all tickets: the old process is gone."""
        tasks = self._tasks()
        self._waiting = {}
        await end_tasks(tasks)
        under_way, self._under_way = self._under_way, {}
        for ticket in under_way.values():
            self._turnstile.leave(ticket, CallEnd.ABANDONED)

    def _tasks(self) -> list["asyncio.Task[None]"]:
        return [task for _, task in self._waiting.values()]

    async def _enter(self, number: int, ticket: Ticket) -> None:
        try:
            await self._turnstile.enter(ticket)
        except UpstreamBusy as exc:
            self._refuse(number, exc)
            return
        except TimeoutError:
            self._waiting.pop(number, None)
            self._link.send(Refused(ticket=number, wait_s=self._turnstile.wait_s(ticket.priority, ticket.client)))
            return
        self._waiting.pop(number, None)
        self._under_way[number] = ticket
        self._link.send(Go(ticket=number))

    def _refuse(self, number: int, exc: UpstreamBusy) -> None:
        self._waiting.pop(number, None)
        self._link.send(Refused(ticket=number, wait_s=exc.retry_after_s or 0.0))
