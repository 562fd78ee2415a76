"""Single flight: however many ask the same at the same time, the upstream is asked once.

A flight is a task of its own. Whoever asks waits for it through a shield, so that a caller who goes away harms nobody, and the
first caller is no different from the others. Every waiter gets the same result or the same exception.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K")
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Flight(Generic[T]):
    """One call under way. `started_s` is the wall time at which it began: what it brings is at least as new."""

    started_s: float
    task: asyncio.Task[T]

    async def result(self) -> T:
        """Wait for the call and return or raise what it did. Cancelling the waiter leaves the call alone."""
        return await asyncio.shield(self.task)

    async def ended(self) -> None:
        """Wait until the call is over, whatever came of it."""
        await asyncio.wait([self.task])


class Flights(Generic[K, T]):
    """The calls under way by key: at most one for each."""

    def __init__(self) -> None:
        self._flights: dict[K, Flight[T]] = {}
        self._closing = False
        self.landings = 0
        """How many calls have ended: whoever sees it unchanged knows that nothing was fetched in between."""

    def __len__(self) -> int:
        """Return the number of calls under way."""
        return len(self._flights)

    def get(self, key: K) -> Flight[T] | None:
        """Return the call under way for a key."""
        return self._flights.get(key)

    def start(self, key: K, call: Callable[[], Awaitable[T]], *, now_s: float) -> Flight[T]:
        """Begin a call. There must be none under way for this key."""
        if key in self._flights or self._closing:
            raise RuntimeError("a flight is under way for this key, or the flights are closed")
        task = asyncio.ensure_future(_run(call))
        flight = Flight(started_s=now_s, task=task)
        self._flights[key] = flight
        task.add_done_callback(lambda done: self._land(key, done))
        return flight

    def _land(self, key: K, task: "asyncio.Task[T]") -> None:
        del self._flights[key]
        self.landings += 1
        if not task.cancelled():
            task.exception()  # retrieved, so that a failure nobody waits for any more isn't reported as forgotten

    async def aclose(self) -> None:
        """Cancel what is under way and wait until it has ended."""
        self._closing = True
        tasks = [flight.task for flight in self._flights.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


async def _run(call: Callable[[], Awaitable[T]]) -> T:
    return await call()
