"""Who watches: panels, which poll the same questions, and somebody who looks closer, each time at another window."""

import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import overload

from tests.bench.growing.calls import target_of
from tests.bench.looking import delayed_s
from tests.bench.replay.judge import Answer
from tests.bench.replay.script import Ask, Question
from tests.bench.replay.viewers import Viewer
from tests.soak.live.viewers import Seen, seen_of

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


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
