"""CPU a hit where many panels are polled seldom: 5,000 questions, each asked every 5 s, by one of 500 connections.

The load does not wait for answers: each question has its moment, and what an answer takes counts from then. So the server is
idle most of the time, and a hit costs what it costs to wake up for one and to find one among many.
"""

import asyncio
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

from tests.bench.bodies import SMALL, question
from tests.bench.contestants import HIT, PROXY, Proxy
from tests.bench.cpu.ours import ours
from tests.bench.cpu.usage import run_ns, used_ns
from tests.bench.exchange import PATIENCE_S, Asking, Connection, UnexpectedError, connected, get
from tests.bench.report import Section, spread
from tests.bench.world import World, hits

_FRESH_S = 3600
_EACH_S = 5.0
_QUESTIONS_A_CONNECTION = 10
_AT_ONCE = 8
_COLUMNS = (
    "server",
    "server CPU, µs a hit: median (min..max)",
    "of the baseline: of the medians (min..max of the rounds)",
    "hits/s",
    "left out, in all",
    "ms: p50, p99",
)


class _Panels(Connection):
    """A connection whose questions have their moments. One whose moment comes before the answer to the last is left out."""

    def __init__(self, requests: Sequence[bytes]) -> None:
        super().__init__()
        self.took_s: list[float] = []
        self.left_out = 0
        self.wrong: Exception | None = None
        self._requests = requests
        self._turn = 0
        self._due_s: float | None = None

    def ask(self, due_s: float) -> None:
        """Ask the next question, which was due at this moment of the event loop's clock."""
        request = self._requests[self._turn % len(self._requests)]
        self._turn += 1
        if self._due_s is not None:
            self.left_out += 1
            return
        self._due_s = due_s
        self.send(request)

    def answered(self) -> None:
        if self._due_s is None or HIT not in self.head:
            self.failed(UnexpectedError(f"not a hit: {self.head!r}"))
            return
        self.took_s.append(asyncio.get_running_loop().time() - self._due_s)
        self._due_s = None

    @property
    def is_waiting(self) -> bool:
        """Whether an answer is still to come."""
        return self._due_s is not None and self.wrong is None

    def failed(self, exc: Exception) -> None:
        self.wrong = self.wrong or exc


@dataclass(frozen=True, slots=True, kw_only=True)
class _Window:
    """What was polled in one window, and what the server ran for it."""

    took_s: Sequence[float]
    left_out: int
    used_ns: int
    elapsed_s: float

    @property
    def cpu_us(self) -> float:
        """The server's CPU microseconds for each hit."""
        return self.used_ns / len(self.took_s) / 1000

    def took_ms(self, percent: int) -> float:
        """A percentile of the milliseconds from when a question was due to the end of its answer."""
        return 1000 * statistics.quantiles(self.took_s, n=100, method="inclusive")[percent - 1]


async def measure(world: World) -> Section:
    """Measure the proxy, and in turns with it the baseline where one is named."""
    async with ours(world, fresh_s=_FRESH_S) as proxies:
        for proxy in proxies:
            await _prime(proxy, world.plan.polled)
        windows: dict[str, list[_Window]] = {proxy.name: [] for proxy in proxies}
        # The first round is to warm up.
        for number in range(world.plan.cpu_rounds + 1):
            for proxy in proxies:
                found = await _window(proxy, world.plan.polled, world.plan.polled_s)
                if number:
                    windows[proxy.name].append(found)
    connections = world.plan.polled // _QUESTIONS_A_CONNECTION
    return Section(
        title=f"Polls: {world.plan.polled:,} questions, each every {_EACH_S:g} s, on {connections} connections",
        columns=_COLUMNS,
        rows=[_row(name, windows) for name in windows],
        notes=[] if len(windows) > 1 else ["no earlier state is measured beside it: --baseline names one"],
    )


def _requests(proxy: Proxy, questions: int) -> list[bytes]:
    told = {"Accept": "application/json", "Authorization": f"Bearer {proxy.token}"}
    return [get(question(SMALL, number), **told) for number in range(questions)]


async def _prime(proxy: Proxy, questions: int) -> None:
    """Ask each question twice: the second time it is a hit."""

    async def ask(connection: Asking, requests: Sequence[bytes]) -> None:
        for request in requests:
            reply = await connection.ask(request)
            reply = await connection.ask(request)
            if HIT not in reply.head:
                raise UnexpectedError(f"not a hit: {reply.head!r}")

    requests = _requests(proxy, questions)
    async with connected(proxy.server.port, *(Asking() for _ in range(_AT_ONCE))) as connections:
        await asyncio.gather(*(ask(each, requests[number::_AT_ONCE]) for number, each in enumerate(connections)))


async def _window(proxy: Proxy, questions: int, seconds: float) -> _Window:
    """Poll for some seconds. Raises UnexpectedError for what is not a hit."""
    requests = _requests(proxy, questions)
    panels = [
        _Panels(requests[first : first + _QUESTIONS_A_CONNECTION]) for first in range(0, questions, _QUESTIONS_A_CONNECTION)
    ]
    pid = proxy.server.pid
    async with connected(proxy.server.port, *panels):
        known = await hits(proxy.server, proxy.token)
        before, began_s = run_ns(pid), time.perf_counter()
        await _poll(panels, seconds, apart_s=_EACH_S / questions)
        ended_s, after = time.perf_counter(), run_ns(pid)
        if wrong := next((each.wrong for each in panels if each.wrong is not None), None):
            raise wrong
        took_s = [one_s for each in panels for one_s in each.took_s]
        counted = await hits(proxy.server, proxy.token) - known
    if counted != len(took_s):
        raise UnexpectedError(f"{proxy.name} counted {counted} hits, the load {len(took_s)} answers")
    left_out = sum(each.left_out for each in panels)
    return _Window(took_s=took_s, left_out=left_out, used_ns=used_ns(before, after), elapsed_s=ended_s - began_s)


async def _poll(panels: Sequence[_Panels], seconds: float, *, apart_s: float) -> None:
    """Ask the next question every so many seconds, on one connection after the other, and wait for the last answers."""
    clock = asyncio.get_running_loop().time
    began_s = clock()
    for turn in range(round(seconds / apart_s)):
        due_s = began_s + turn * apart_s
        if (early_s := due_s - clock()) > 0:
            await asyncio.sleep(early_s)
        panels[turn % len(panels)].ask(due_s)
    async with asyncio.timeout(PATIENCE_S):
        while any(each.is_waiting for each in panels):  # noqa: ASYNC110 -- no event tells it
            await asyncio.sleep(apart_s)


def _row(name: str, windows: dict[str, list[_Window]]) -> list[str]:
    mine = windows[name]
    baseline = next((some for other, some in windows.items() if other != PROXY), None)
    return [
        name,
        spread([each.cpu_us for each in mine], 1),
        "" if baseline is None or name != PROXY else _ratios(mine, baseline),
        f"{statistics.median(len(each.took_s) / each.elapsed_s for each in mine):,.0f}",
        f"{sum(each.left_out for each in mine):,}",
        ", ".join(f"{statistics.median(each.took_ms(percent) for each in mine):.2f}" for percent in (50, 99)),
    ]


def _ratios(mine: Sequence[_Window], baseline: Sequence[_Window]) -> str:
    each = [my.cpu_us / their.cpu_us for my, their in zip(mine, baseline, strict=True)]
    middle = statistics.median(my.cpu_us for my in mine) / statistics.median(their.cpu_us for their in baseline)
    return f"{middle:.2f} ({min(each):.2f}..{max(each):.2f})"
