"""Runs that grow beside the load: dashboards poll them, so that entries in memory are replaced all the time, as in any team."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from itertools import cycle

from tests.bench.bodies import SMALL, question
from tests.bench.exchange import Asking, UnexpectedError, connected, get
from tests.bench.processes import Server

PER_S = 50
# The proxy's default. A question is asked again after 6 s of polling: then its answer is fetched anew.
FRESH_S = 5
_QUESTIONS = PER_S * 6
_FIRST = 10_000_000


class Live:
    """Polls runs that grow, while it is told to."""

    def __init__(self, connection: Asking, requests: Iterable[bytes]) -> None:
        self.polls = 0
        """How many were answered so far."""
        self._connection = connection
        self._requests = cycle(requests)

    @asynccontextmanager
    async def going_on(self) -> AsyncIterator[None]:
        """Have 50 entries a second replaced while the body runs."""
        ended = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._poll(ended))
            try:
                yield
            finally:
                ended.set()

    async def ask(self) -> None:
        """Ask the next question. Raises UnexpectedError where that isn't answered."""
        reply = await self._connection.ask(next(self._requests))
        if reply.status != 200:
            raise UnexpectedError(f"a run that grows was not answered: {reply.head!r}")
        self.polls += 1

    async def _poll(self, ended: asyncio.Event) -> None:
        clock = asyncio.get_running_loop().time
        due_s = clock()
        while not ended.is_set():
            await self.ask()
            due_s += 1 / PER_S
            with suppress(TimeoutError):
                async with asyncio.timeout_at(due_s):
                    await ended.wait()


@asynccontextmanager
async def live(proxy: Server, token: str) -> AsyncIterator[Live]:
    """Give the polling of 300 questions; each of them has been answered once, and the answer is no longer fresh."""
    requests = [
        get(question(SMALL, _FIRST + number, grows=True), Accept="application/json", Authorization=f"Bearer {token}")
        for number in range(_QUESTIONS)
    ]
    async with connected(proxy.port, Asking()) as (connection,):
        polling = Live(connection, requests)
        for _ in requests:
            await polling.ask()
        await asyncio.sleep(FRESH_S)
        yield polling
