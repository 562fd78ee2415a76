"""Single flight: however many requests ask the same at the same time, there is one call.

A flight is a task of its own, for which its waiters wait. So the first waiter is no different from the others, and one that
goes away harms nobody. Every waiter gets the same result, or an own copy of the same ProxyError.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from proxy.core.kept_errors import drop_frames, unraised
from proxy.errors import ProxyError
from proxy.tasks import end_tasks

K = TypeVar("K")
C = TypeVar("C")
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Flight(Generic[C, T]):
    """A call under way, and what it was begun with. `started_s`: when it began (wall time); its result is no older."""

    call: C
    started_s: float
    task: asyncio.Task[T]

    async def result(self) -> T:
        """Wait for the call, and return its result or raise its error. Cancelling the waiter leaves the call alone."""
        await self.ended()
        error = None if self.task.cancelled() else self.task.exception()
        if isinstance(error, ProxyError):
            raise unraised(error)
        return self.task.result()

    async def ended(self) -> None:
        """Wait until the call has ended, whatever came of it."""
        # `asyncio.wait` would do, and take three times as long to set up.
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def tell(_: asyncio.Task[T]) -> None:
            if not over.done():
                over.set_result(None)

        self.task.add_done_callback(tell)
        try:
            await over
        finally:
            self.task.remove_done_callback(tell)


class Flights(Generic[K, C, T]):
    """The calls under way, at most one for each key."""

    def __init__(self, carry_out: Callable[[C], Awaitable[T]]) -> None:
        """`carry_out` carries a call out and returns its result."""
        self._carry_out = carry_out
        self._flights: dict[K, Flight[C, T]] = {}
        # Calls whose key is free again, though they haven't ended yet.
        self._abandoned: set[asyncio.Task[T]] = set()
        self._closing = False
        self.landings = 0
        """How many calls have ended. While it is unchanged, nothing was fetched."""

    def __len__(self) -> int:
        """Return the number of calls under way."""
        return len(self._flights)

    def get(self, key: K) -> Flight[C, T] | None:
        """Return the call under way for a key."""
        return self._flights.get(key)

    def start(self, key: K, call: C, *, now_s: float) -> Flight[C, T]:
        """Begin a call. Raises RuntimeError where one is under way for this key, or the flights are closed."""
        if key in self._flights or self._closing:
            raise RuntimeError("a flight is under way for this key, or the flights are closed")
        flight: Flight[C, T] = Flight(call=call, started_s=now_s, task=asyncio.ensure_future(self._run(call)))
        self._flights[key] = flight
        flight.task.add_done_callback(lambda _: self._land(key, flight))
        return flight

    def abandon(self, key: K, flight: Flight[C, T]) -> None:
        """Cancel a call that nobody wants any more. Its key is free at once, so that nobody joins a cancelled flight."""
        if self._flights.get(key) is flight:
            del self._flights[key]
            self._abandoned.add(flight.task)
        if flight.task in self._abandoned:
            flight.task.cancel()

    def detach(self, key: K, flight: Flight[C, T]) -> None:
        """Free the key of a call that goes on for its waiters: whoever asks from now on begins another call."""
        if self._flights.get(key) is flight:
            del self._flights[key]
            self._abandoned.add(flight.task)

    def under_way(self) -> list[tuple[K, Flight[C, T]]]:
        """Return the calls under way with their keys."""
        return list(self._flights.items())

    async def aclose(self) -> None:
        """Cancel the calls under way, and wait until they have ended."""
        self._closing = True
        await end_tasks([*self._abandoned, *(flight.task for flight in self._flights.values())])

    def _land(self, key: K, flight: Flight[C, T]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
        self._abandoned.discard(flight.task)
        self.landings += 1
        if not flight.task.cancelled():
            flight.task.exception()  # retrieved, or asyncio would report a failure that nobody waits for

    async def _run(self, call: C) -> T:
        try:
            return await self._carry_out(call)
        except ProxyError as exc:
            # The task keeps the error.
            drop_frames(exc)
            raise
