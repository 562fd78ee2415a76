"""The panels, which poll the same questions, and somebody who zooms: each time to a window that nobody has asked for."""

import asyncio
import random
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice
from typing import overload

from tests.bench.growing.calls import target_of
from tests.bench.growing.series import Series
from tests.bench.replay.judge import Answer
from tests.bench.replay.script import Ask, Question
from tests.bench.replay.viewers import Viewer
from tests.soak.live.viewers import Seen, seen_of
from tests.soak.looking import delayed_s

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

LIMITS = (None, 500, 1000, 2000)
# What the Python client asks for by default: as much as there is.
_CLIENT_LIMIT = 10_000
_LEAST_ROWS = 100


def panels(series: Series, count: int) -> list[Question]:
    """Return what so many panels show: all of it, a fixed part, or what is new since some step, with limits of all sizes."""
    dice = random.Random(17)  # noqa: S311 -- the same panels every time
    whole = Question(run=series.run, name=series.name)
    shown: list[Question] = []
    for kind in islice(cycle(("whole", "since", "window", "whole", "since", "tail", "client")), count):
        first, last = sorted(dice.sample(range(1, max(series.rows, 3)), 2))
        parts = {
            "since": replace(whole, first=series.step(first)),
            "window": replace(whole, first=series.step(first), last=series.step(last)),
            "tail": replace(whole, first=series.step(max(1, series.rows - 5 * _LEAST_ROWS))),
        }
        limit = _CLIENT_LIMIT if kind == "client" else dice.choice(LIMITS)
        shown.append(replace(parts.get(kind, whole), limit=limit))
    return shown


def zooms(series: Series) -> Iterator[Question]:
    """Yield windows of all lengths, some of them up to the newest row: hardly ever the same one twice."""
    dice = random.Random(18)  # noqa: S311 -- the same zooms every time
    most = max(series.rows - 2, 1)
    while True:
        length = min(most, round(_LEAST_ROWS * (max(most / _LEAST_ROWS, 1)) ** dice.random()))
        first = dice.randrange(1, max(2, series.rows - length))
        last = None if dice.random() < 0.25 else series.step(first + length)
        limit = dice.choice((500, 1000, 2000)) + dice.randrange(100)
        yield Question(run=series.run, name=series.name, first=series.step(first), last=last, limit=limit)


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A window asked for the first time, and again at once.

    `disturbed_s`: for how long the proxy or this process lacked a CPU during the first; None where nobody counts that.
    """

    new: Seen
    again: Seen
    disturbed_s: float | None


class Packed(Sequence[Answer]):
    """Answers, whose bodies are compressed while nobody looks at them."""

    def __init__(self) -> None:
        self._answers: list[Answer] = []

    def append(self, answer: Answer) -> None:
        """Add an answer at the end."""
        self._answers.append(replace(answer, body=zstd.compress(answer.body, level=1), head=b""))

    def __len__(self) -> int:
        return len(self._answers)

    @overload
    def __getitem__(self, place: int) -> Answer: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Answer]: ...
    def __getitem__(self, place: int | slice) -> Answer | Sequence[Answer]:
        if isinstance(place, slice):
            return [_unpacked(answer) for answer in self._answers[place]]
        return _unpacked(self._answers[place])


class Audience:
    """Everybody who asks, and everything that they saw."""

    def __init__(self, port: int, pid: int) -> None:
        """`pid`: the proxy's process."""
        self._port = port
        self._pids = (pid, "self")
        self.answers = Packed()
        self.polled: list[Seen] = []

    async def poll(self, shown: Sequence[Question], period_s: float) -> None:
        """Have each panel ask every so many seconds, one after the other, until this is cancelled."""
        async with asyncio.TaskGroup() as group:
            for number, question in enumerate(shown):
                group.create_task(self._panel(question, period_s * number / len(shown), period_s))

    async def zoom(self, viewer: Viewer, question: Question) -> Look:
        """Ask for a window, and again."""
        before = self._delays_s()
        new = await self._ask(viewer, question)
        after = self._delays_s()
        disturbed = None if None in (*before, *after) else sum(filter(None, after)) - sum(filter(None, before))
        return Look(new=new, again=await self._ask(viewer, question), disturbed_s=disturbed)

    async def _panel(self, question: Question, late_s: float, period_s: float) -> None:
        viewer, due_s = Viewer(self._port, {}), time.monotonic() + late_s
        try:
            while True:
                await asyncio.sleep(due_s - time.monotonic())
                self.polled.append(await self._ask(viewer, question))
                while due_s <= time.monotonic():
                    due_s += period_s
        finally:
            await viewer.aclose()

    async def _ask(self, viewer: Viewer, question: Question) -> Seen:
        answer = await viewer.ask(Ask(at_s=0, viewer=0, question=question, target=target_of(question)))
        self.answers.append(answer)
        return seen_of(answer.status, answer.head, asked_s=answer.asked_s, wait_s=answer.elapsed_s)

    def _delays_s(self) -> list[float | None]:
        return [delayed_s(pid) for pid in self._pids]


def _unpacked(answer: Answer) -> Answer:
    return replace(answer, body=zstd.decompress(answer.body))
