from collections.abc import AsyncIterator

import aiohttp
import pytest

from proxy.standin import Row, Standin

from .support import Caller, Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def standin(clock: Clock) -> Standin:
    """Ten rows of `loss` in run 1, and a clock that stands still."""
    standin = Standin(clock=clock, monotonic=clock, sleep=clock.sleep)
    standin.rows.insert(Row(run_id=1, log_name="loss", step=step, value=step / 2) for step in range(10))
    return standin


@pytest.fixture
async def caller(standin: Standin) -> AsyncIterator[Caller]:
    async with standin.serve() as url, aiohttp.ClientSession() as session:
        yield Caller(standin, url, session)
