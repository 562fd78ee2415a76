"""The clients: dashboards, each asking its own questions at once every few seconds and somebody else's now and then."""

import asyncio
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import aiohttp
from yarl import URL

from tests.support.world import METRICS

NAMES = ("loss", "accuracy", "lr", "grad_norm", "tokens_per_s", "perplexity", "entropy", "margin")
FIRST_RUN = 1001
# Longer than the proxy's own deadline: whatever it has to say, it gets to say.
_PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One answer as a client saw it. Times are monotonic; `status` is 0 where there was no answer at all.

    `had_copy`: before this was asked, somebody had been answered the same question, so that the proxy had a copy.
    """

    began_s: float
    wait_s: float
    status: int
    age_s: int
    cache_status: str
    had_copy: bool


def questions(count: int) -> list[str]:
    """Return so many distinct questions: the metrics of as many growing runs as that takes."""
    places = (divmod(number, len(NAMES)) for number in range(count))
    return [f"{METRICS}?runId={FIRST_RUN + run}&projectName=demo&logName=train/{NAMES[name]}&limit=100" for run, name in places]


class Crowd:
    """All clients together, and everything that they saw."""

    def __init__(self, base: str, asked: Sequence[str], *, clients: int, period_s: float) -> None:
        self._base = base
        self._questions = asked
        self._clients = clients
        self._period_s = period_s
        self._answered: set[str] = set()
        self._random = random.Random(20)  # noqa: S311 -- no secret depends on it
        self.seen: list[Seen] = []

    async def poll(self, seconds: float) -> None:
        """Poll for so long. What is under way then is given up and not counted."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._client(number)) for number in range(self._clients)]
            await asyncio.sleep(seconds)
            for task in tasks:
                task.cancel()

    async def _client(self, number: int) -> None:
        """A dashboard: every panel asks by itself, and not again before it has been answered."""
        own = self._questions[number :: self._clients]
        # On Linux each client has an address of its own; elsewhere loopback has only the one.
        address = (f"127.0.{number // 250}.{number % 250 + 2}", 0) if sys.platform == "linux" else None
        connector = aiohttp.TCPConnector(local_addr=address, limit=0)
        timeout = aiohttp.ClientTimeout(total=_PATIENCE_S)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            await asyncio.sleep(self._random.uniform(0, self._period_s))
            async with asyncio.TaskGroup() as panels:
                for question in own:
                    panels.create_task(self._panel(session, [question]))
                panels.create_task(self._panel(session, self._questions))

    async def _panel(self, session: aiohttp.ClientSession, choice: Sequence[str]) -> None:
        due_s = time.monotonic()
        while True:
            await self._ask(session, self._random.choice(choice))
            while due_s <= time.monotonic():
                due_s += self._period_s
            await asyncio.sleep(due_s - time.monotonic())

    async def _ask(self, session: aiohttp.ClientSession, question: str) -> None:
        had_copy = question in self._answered
        began_s = time.monotonic()
        status, age_s, cache_status = 0, 0, ""
        try:
            async with session.get(URL(self._base + question, encoded=True)) as response:
                await response.read()
                status, age_s = response.status, int(response.headers.get("Age", 0))
                cache_status = response.headers.get("Cache-Status", "")
        except (aiohttp.ClientError, TimeoutError) as exc:
            cache_status = repr(exc)
        if status == 200:
            self._answered.add(question)
        self.seen.append(
            Seen(
                began_s=began_s,
                wait_s=time.monotonic() - began_s,
                status=status,
                age_s=age_s,
                cache_status=cache_status,
                had_copy=had_copy,
            )
        )
