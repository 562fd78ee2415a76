"""Single flight: one call for all who ask at the same time, whoever of them leaves."""

import asyncio
import traceback

import pytest

from proxy.errors import UpstreamBusy
from proxy.flight import Flights


class Call:
    """A call that lasts until the test ends it."""

    def __init__(self) -> None:
        self.begun = 0
        self.gate = asyncio.Event()
        self.error: Exception | None = None

    async def made(self) -> int:
        self.begun += 1
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return 42


async def test_everyone_gets_the_same_result() -> None:
    """A flight is found under its key until it has landed."""
    flights: Flights[str, Call, int] = Flights(Call.made)
    call = Call()
    flight = flights.start("a", call, now_s=1.0)
    assert flights.get("a") is flight
    assert flight.started_s == 1.0
    waiting = [asyncio.create_task(flight.result()) for _ in range(3)]
    await asyncio.sleep(0)
    call.gate.set()
    assert await asyncio.gather(*waiting) == [42] * 3
    assert call.begun == 1
    assert flights.get("a") is None
    assert (len(flights), flights.landings) == (0, 1)


async def test_a_waiter_who_leaves_harms_nobody() -> None:
    """Cancelling one waiter, or all of them, leaves the call alone."""
    flights: Flights[str, Call, int] = Flights(Call.made)
    call = Call()
    flight = flights.start("a", call, now_s=0)
    waiting = [asyncio.create_task(flight.result()) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.wait([waiting[0]])
    call.gate.set()
    assert await asyncio.gather(*waiting[1:]) == [42, 42]


async def test_an_error_reaches_every_waiter_and_is_never_reported_as_forgotten() -> None:
    """With waiters each raises it; without any it is retrieved all the same."""
    flights: Flights[str, Call, int] = Flights(Call.made)
    call = Call()
    call.error = ValueError("no")
    flight = flights.start("a", call, now_s=0)
    waiting = [asyncio.create_task(flight.result()) for _ in range(2)]
    ended = asyncio.create_task(flight.ended())
    call.gate.set()
    for error in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(error, ValueError)
    await ended
    flights.start("b", call, now_s=0)
    await asyncio.sleep(0.001)
    assert flights.landings == 2


async def test_the_next_flight_can_begin_as_soon_as_the_last_has_ended() -> None:
    """Whoever waited for the end finds the key free."""
    flights: Flights[str, Call, int] = Flights(Call.made)
    call = Call()
    flight = flights.start("a", call, now_s=0)
    with pytest.raises(RuntimeError):
        flights.start("a", call, now_s=0)

    async def again() -> int:
        await flight.ended()
        return await flights.start("a", call, now_s=1).result()

    waiting = asyncio.create_task(again())
    await asyncio.sleep(0)
    call.gate.set()
    assert await waiting == 42
    assert call.begun == 2


async def test_closing_ends_what_is_under_way() -> None:
    """Calls are cancelled and waited for, waiters are released, and no further call can begin."""
    flights: Flights[str, Call, int] = Flights(Call.made)
    call = Call()
    waiting = asyncio.create_task(flights.start("a", call, now_s=0).result())
    await asyncio.sleep(0)
    await flights.aclose()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    with pytest.raises(RuntimeError):
        flights.start("b", call, now_s=0)
    await flights.aclose()


async def test_each_waiter_has_an_error_of_their_own() -> None:
    """It says the same, and has gone through their own frames alone; the flight's has gone through none that hold anything."""
    flights: Flights[str, Call, int] = Flights(Call.made)
    call = Call()
    call.error = UpstreamBusy("later", retry_after_s=3)
    flight = flights.start("a", call, now_s=0)
    waiting = [asyncio.create_task(flight.result()) for _ in range(3)]
    await asyncio.sleep(0)
    call.gate.set()
    errors = [error for error in await asyncio.gather(*waiting, return_exceptions=True) if isinstance(error, UpstreamBusy)]
    kept = flight.task.exception()
    assert len({id(error) for error in [*errors, kept]}) == 4
    assert {(str(error), error.retry_after_s) for error in errors} == {("later", 3)}
    lengths = [len(traceback.extract_tb(error.__traceback__)) for error in errors]
    assert lengths == [lengths[0]] * 3
    assert kept is not None
    assert {frame.name for frame in traceback.extract_tb(kept.__traceback__)} <= {"_run"}
