"""The viewers: each shows all metrics of one growing run and asks for them anew every few seconds, as browsers do."""

import asyncio
import random
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from proxy.standin import GrowthConfig
from proxy.standin.growth import usual_series
from tests.bench.bodies import METRICS_PATH
from tests.bench.exchange import get
from tests.bench.replay.judge import Answer
from tests.bench.replay.script import Question
from tests.bench.replay.viewers import BrokenError, Said, Wire

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

# What browsers have for one host.
_CONNECTIONS = 6
# The viewers of a run look at it in different ways; where they are more they look alike again.
_LIMITS = (None, 500, 1000, 2000)
# Every so many panels of all viewers but the first show a part of the series.
_PART_EACH = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One answer as a viewer saw it. `asked_s` is wall seconds; `status` is 0 where the connection broke.

    `forwarded`: the proxy asked the upstream before it answered. `detail` is what it told besides.
    """

    asked_s: float
    wait_s: float
    status: int
    age_s: int
    forwarded: bool
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """A question with the bytes that ask it."""

    question: Question
    request: bytes


def walls(growth: GrowthConfig, viewers: int) -> Iterator[list[Panel]]:
    """Yield what each viewer of each run shows: all of the run's metrics, each viewer in a way of its own.

    The first viewer of a run takes answers as they are, the others compressed.
    """
    names = [series.name for series in usual_series(growth)]
    for run in range(growth.first_live_id, growth.first_live_id + growth.live_runs):
        for viewer in range(viewers):
            limit = _LIMITS[viewer % len(_LIMITS)]
            headers = {"Accept_Encoding": "gzip, deflate, br, zstd"} if viewer else {}
            wall: list[Panel] = []
            for number, name in enumerate(names):
                first = int(growth.history_s / 2) if viewer and number % _PART_EACH == 0 else None
                question = Question(run=run, name=name, limit=limit, first=first)
                wall.append(Panel(question=question, request=get(_target(growth.project, question), **headers)))
            yield wall


def _target(project: str, question: Question) -> str:
    asked = {
        "runId": question.run,
        "projectName": project,
        "logName": question.name,
        "limit": question.limit,
        "stepMin": question.first,
    }
    pairs = [f"{key}={quote(str(value), safe='')}" for key, value in asked.items() if value is not None]
    return f"{METRICS_PATH}?{'&'.join(pairs)}"


class Audience:
    """All viewers together: everything that they saw, and a sample of the answers to be judged."""

    def __init__(self, port: int, shown: Sequence[Sequence[Panel]], *, period_s: float, sampled: float) -> None:
        """`sampled`: the share of the answers that is kept."""
        self._port = port
        self._shown = shown
        self._period_s = period_s
        self._sampled = sampled
        self._dice = random.Random(50)  # noqa: S311 -- no secret depends on it
        self.seen: list[Seen] = []
        self.sample: list[Answer] = []

    async def watch(self, seconds: float) -> None:
        """Watch for so long. What is under way then is given up and not counted."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._viewer(number, wall)) for number, wall in enumerate(self._shown)]
            await asyncio.sleep(seconds)
            for task in tasks:
                task.cancel()

    async def _viewer(self, number: int, wall: Sequence[Panel]) -> None:
        """Show a wall of panels: all of them ask at once, and again a period later, unless that takes longer."""
        # On Linux each viewer has an address of its own; elsewhere loopback has only the one.
        address = (f"127.0.{number // 250}.{number % 250 + 2}", 0) if sys.platform == "linux" else None
        due_s = time.monotonic() + self._dice.uniform(0, self._period_s)
        idle: list[Wire] = []
        try:
            while True:
                await asyncio.sleep(due_s - time.monotonic())
                waiting = list(wall)
                async with asyncio.TaskGroup() as group:
                    for _ in range(_CONNECTIONS):
                        group.create_task(self._connection(address, waiting, idle))
                while due_s <= time.monotonic():
                    due_s += self._period_s
        finally:
            for wire in idle:
                await wire.aclose()

    async def _connection(self, address: tuple[str, int] | None, waiting: list[Panel], idle: list[Wire]) -> None:
        """Ask for what waits, one after the other, on one connection."""
        while waiting:
            panel = waiting.pop(0)
            asked_s, began_s = time.time(), time.perf_counter()
            try:
                said = await self._said(address, panel.request, idle)
            except (BrokenError, TimeoutError, OSError):
                said = Said(status=0, body=b"")
            self._note(panel, said, asked_s=asked_s, wait_s=time.perf_counter() - began_s)

    async def _said(self, address: tuple[str, int] | None, request: bytes, idle: list[Wire]) -> Said:
        wire = idle.pop() if idle else Wire()
        if not wire.open:
            loop = asyncio.get_running_loop()
            _, wire = await loop.create_connection(Wire, "127.0.0.1", self._port, local_addr=address)
        try:
            said = await wire.ask(request)
        except BaseException:
            await wire.aclose()
            raise
        idle.append(wire)
        return said

    def _note(self, panel: Panel, said: Said, *, asked_s: float, wait_s: float) -> None:
        self.seen.append(seen_of(said.status, said.head, asked_s=asked_s, wait_s=wait_s))
        if self._dice.random() < self._sampled:
            packed = header(said.head, b"Content-Encoding") == "zstd"
            self.sample.append(
                Answer(
                    question=panel.question,
                    status=said.status,
                    body=zstd.decompress(said.body) if packed else said.body,
                    asked_s=asked_s,
                    answered_s=time.time(),
                    elapsed_s=wait_s,
                )
            )


def seen_of(status: int, head: bytes, *, asked_s: float, wait_s: float) -> Seen:
    """Return what a viewer saw of an answer with this head."""
    told = header(head, b"Cache-Status")
    return Seen(
        asked_s=asked_s,
        wait_s=wait_s,
        status=status,
        age_s=int(header(head, b"Age") or 0),
        forwarded="; fwd=" in told,
        # There are few different ones, and many answers.
        detail=sys.intern(told.partition('detail="')[2].rstrip('"')),
    )


def header(head: bytes, name: bytes) -> str:
    """Return a header's value, empty where there is none."""
    return (head + b"\r\n").partition(b"\r\n" + name + b": ")[2].partition(b"\r\n")[0].decode()
