"""Series: what the first look at a very large run costs, and what is computed from a warm series against an exact-key hit.

The upstream samples by the rule and takes 40 ms for each question, as a close and healthy one does.
"""

import asyncio
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice, repeat

from tests.bench.contestants import HIT
from tests.bench.exchange import Asking, Reply, UnexpectedError, ask, connected, get
from tests.bench.load import Expected, poll
from tests.bench.long_run import FIRST_STEP, NAMES, ROWS, WAIT_MS, Panel, answer, target
from tests.bench.processes import Server, serving
from tests.bench.report import Bound, Section, spread
from tests.bench.sampling_origin import SENT_PATH
from tests.bench.world import MIB, World

_MOST_RATIO = 1.5
# series.max_fetch_rows and series.max_fetch_bytes, told to the proxy as well.
_MAX_ROWS, _MAX_BYTES = 50_000, 16 * MIB
# What the sockets and the upstream's own buffers take beside what the proxy has read when it gives up.
_IN_TRANSIT_BYTES = 8 * MIB
_LEAST_COMPUTED, _LEAST_AGAIN = 0.5, 0.9
_WARM_RUN, _POINTS = 1, 2_000
_MARKER = b'detail="series"'
_CHECKED = 20
# The proxy's own checks ask one question after the other: none for so long means that they are done.
_QUIET_S = 5 * WAIT_MS / 1000
_COLUMNS = (
    "this",
    "compared with",
    "that: median (min..max)",
    "this: median (min..max)",
    "ratio of the medians",
    "upstream sent for it, rows",
    "MiB",
)
PANELS = {
    "one metric, limit=500": Panel(name=7, limit=500),
    "a group of 20 metrics, limit=100": Panel(group=0, limit=100),
    f"all {NAMES:,} metrics, limit=1": Panel(limit=1),
}
_BOUNDED = "one metric, limit=500"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sent:
    """What the upstream has sent in answer to metric questions."""

    calls: int
    rows: int
    body_bytes: int


async def measure(world: World) -> Section:
    """Measure first answers, and then hits."""
    rows: list[list[str]] = []
    bounds: list[Bound] = []
    settings = {
        "PLUTO_PROXY_SERIES__ENABLED": "true",
        "PLUTO_PROXY_SERIES__SHADOW_S": "0",
        "PLUTO_PROXY_SERIES__MAX_FETCH_ROWS": str(_MAX_ROWS),
        "PLUTO_PROXY_SERIES__MAX_FETCH_BYTES": str(_MAX_BYTES),
    }
    async with serving(world.folder, "tests.bench.sampling_origin", cpu=world.placement.load) as origin:
        for what, panel in PANELS.items():
            async with world.another_proxy(origin, **settings) as proxy:
                cells, held = await _first_answers(world, origin, proxy, what, panel)
            rows.append(cells)
            bounds += held
        async with world.another_proxy(origin, **settings) as proxy:
            rows.append(await _second_metric(world, origin, proxy))
            cells_of_hits, held = await _hits(world, origin, proxy)
        rows += cells_of_hits
        bounds += held
    return Section(
        title=f"Series: runs of {NAMES:,} metrics of {ROWS:,} rows, an upstream that takes {WAIT_MS} ms",
        columns=_COLUMNS,
        rows=rows,
        bounds=bounds,
    )


async def _first_answers(world: World, origin: Server, proxy: Server, what: str, panel: Panel) -> tuple[list[str], list[Bound]]:
    """Ask for one panel of runs that nobody has asked for, directly and through the proxy in turns."""
    body, runs = answer(panel), count(1)
    sent, grown = await _price(origin, proxy, panel, next(runs), body)
    direct_ms: list[float] = []
    through_ms: list[float] = []
    async with connected(origin.port, Asking()) as (direct,), connected(proxy.port, Asking()) as (through,):
        for run in islice(runs, world.plan.panels):
            direct_ms.append(_ms(await _right(direct, panel, run, body)))
            through_ms.append(_ms(await _right(through, panel, run, body)))
    ratio = statistics.median(through_ms) / statistics.median(direct_ms)
    cells = [f"first answer: {what}", "asked directly", *_in_ms(direct_ms, through_ms), f"{ratio:.2f}"]
    bounds = [
        Bound(
            promise=f"{what}: the upstream is made to send at most {_MAX_ROWS:,} rows, {_MAX_BYTES // MIB} MiB, and the answer",
            measured=f"{sent.rows:,} rows, {sent.body_bytes / MIB:.1f} MiB",
            held=sent.rows <= _MAX_ROWS + body.count(b'"step"') and sent.body_bytes <= _MAX_BYTES + len(body),
        )
    ]
    if what == _BOUNDED:
        bounds.append(
            Bound(
                promise=f"{what}: the first answer takes at most {_MOST_RATIO:g} x the question asked directly",
                measured=f"{ratio:.2f}",
                held=ratio <= _MOST_RATIO,
            )
        )
        bounds.append(
            Bound(
                promise=f"{what}: the proxy grows by at most {_MAX_BYTES // MIB} MiB",
                measured="not measured" if grown is None else f"{grown / MIB:.0f} MiB",
                held=grown is None or grown <= _MAX_BYTES,
            )
        )
    return [*cells, f"{sent.rows:,}", f"{sent.body_bytes / MIB:.1f}"], bounds


async def _price(origin: Server, proxy: Server, panel: Panel, run: int, body: bytes) -> tuple[_Sent, int | None]:
    """Return what the upstream sends for the proxy's very first panel, its checks included, and by how much the proxy grows."""
    await ask(proxy.port, get("/livez"))
    memory, before = proxy.memory_bytes(), await _sent(origin)
    async with connected(proxy.port, Asking()) as (through,):
        await _right(through, panel, run, body)
    after, grown = await _quiet(origin), proxy.memory_bytes()
    sent = _Sent(
        calls=after.calls - before.calls, rows=after.rows - before.rows, body_bytes=after.body_bytes - before.body_bytes
    )
    return sent, None if memory is None or grown is None else grown[1] - memory[0]


async def _second_metric(world: World, origin: Server, proxy: Server) -> list[str]:
    """Measure the answer at which the size of a run is asked for as well: there is no promise about it."""
    first, second = Panel(name=7, limit=500), Panel(name=8, limit=500)
    direct_ms: list[float] = []
    through_ms: list[float] = []
    async with connected(origin.port, Asking()) as (direct,), connected(proxy.port, Asking()) as (through,):
        for run in range(1_000, 1_000 + world.plan.panels):
            direct_ms.append(_ms(await _right(direct, second, run, answer(second))))
            await _right(through, first, run, answer(first))
            through_ms.append(_ms(await _right(through, second, run, answer(second))))
    ratio = statistics.median(through_ms) / statistics.median(direct_ms)
    return ["first answer: another metric of the run", "asked directly", *_in_ms(direct_ms, through_ms), f"{ratio:.2f}", "", ""]


def windows() -> Iterator[Panel]:
    """Yield questions for 2,000 rows one after the other, each a new one."""
    for limit in range(_POINTS, 10_001):
        for first in range(FIRST_STEP + 1, FIRST_STEP + ROWS - _POINTS):
            yield Panel(name=7, limit=limit, first=first, last=first + _POINTS - 1)


def sampled_windows() -> Iterator[Panel]:
    """Yield questions for twice as many rows, of which every other one and the last are sent, each a new one."""
    for limit in range(_POINTS, 2 * _POINTS):
        for first in range(FIRST_STEP + 1, FIRST_STEP + ROWS - 2 * _POINTS):
            yield Panel(name=7, limit=limit, first=first, last=first + 2 * _POINTS - 1)


async def _hits(world: World, origin: Server, proxy: Server) -> tuple[list[list[str]], list[Bound]]:
    """Measure answers computed anew, those asked again and an exact-key hit, in turns."""
    exact = Panel(name=7, limit=_POINTS, last=FIRST_STEP + _POINTS - 1)
    again = Panel(name=7, limit=_POINTS + 1, last=FIRST_STEP + _POINTS - 1)
    contestants = {
        "a window of 2,000 points not asked before": (islice(windows(), _CHECKED, None), _MARKER, _LEAST_COMPUTED),
        "2,001 of 4,000 points not asked before": (islice(sampled_windows(), _CHECKED, None), _MARKER, _LEAST_COMPUTED),
        "a computed answer, asked again": (
            repeat(Panel(name=7, limit=2_001, last=FIRST_STEP + _POINTS - 1)),
            HIT,
            _LEAST_AGAIN,
        ),
    }
    await _warm(origin, proxy, exact, again)
    exact_per_s: list[float] = []
    per_s: dict[str, list[float]] = {what: [] for what in contestants}
    for number in range(world.plan.rounds + 1):
        seconds = world.plan.seconds if number else world.plan.warm_up_s
        mine = await _per_s(world, proxy, repeat(exact), HIT, seconds)
        theirs = {
            what: await _per_s(world, proxy, panels, marker, seconds) for what, (panels, marker, _) in contestants.items()
        }
        if number:
            exact_per_s.append(mine)
            for what, rate in theirs.items():
                per_s[what].append(rate)
    rows: list[list[str]] = []
    bounds: list[Bound] = []
    for what, (_, _, least) in contestants.items():
        ratio = statistics.median(rate / mine for rate, mine in zip(per_s[what], exact_per_s, strict=True))
        measured = [f"{spread(rates)} requests/s" for rates in (exact_per_s, per_s[what])]
        rows.append([f"hit: {what}", "an exact-key hit", *measured, f"{ratio:.2f}", "0", ""])
        bounds.append(
            Bound(promise=f"{what}: at least {least} of an exact-key hit", measured=f"{ratio:.2f}", held=ratio >= least)
        )
    return rows, bounds


async def _warm(origin: Server, proxy: Server, *repeated: Panel) -> None:
    """Have the series asked for, and look at the first answers of each kind byte by byte."""
    async with connected(proxy.port, Asking()) as (through,):
        await _right(through, Panel(name=7, limit=10_000), _WARM_RUN, answer(Panel(name=7, limit=10_000)))
        await _quiet(origin)
        for panel in (*islice(windows(), _CHECKED), *islice(sampled_windows(), _CHECKED), *repeated):
            reply = await _right(through, panel, _WARM_RUN, answer(panel))
            if _MARKER not in reply.head:
                raise UnexpectedError(f"not computed: {reply.head!r}")


async def _per_s(world: World, proxy: Server, panels: Iterator[Panel], marker: bytes, seconds: float) -> float:
    first = next(panels)
    requests = (get(target(panel, _WARM_RUN), Accept="application/json") for panel in panels)
    expected = Expected(status=200, body_bytes=len(answer(first)), marker=marker)
    polled = await poll(proxy.port, requests, expected, connections=world.plan.connections, seconds=seconds)
    return polled.per_s


async def _right(connection: Asking, panel: Panel, run: int, body: bytes) -> Reply:
    reply = await connection.ask(get(target(panel, run), Accept="application/json"))
    if reply.status != 200 or reply.body != body:
        raise UnexpectedError(f"not the answer to {panel}: {reply.head!r} and {len(reply.body)} bytes")
    return reply


async def _quiet(origin: Server) -> _Sent:
    """Wait until the upstream is asked nothing more, and return what it has sent."""
    before = await _sent(origin)
    while True:
        await asyncio.sleep(_QUIET_S)
        if (after := await _sent(origin)) == before:
            return after
        before = after


async def _sent(origin: Server) -> _Sent:
    calls, rows, body_bytes = (await ask(origin.port, get(SENT_PATH))).body.split()
    return _Sent(calls=int(calls), rows=int(rows), body_bytes=int(body_bytes))


def _ms(reply: Reply) -> float:
    return reply.elapsed_s * 1000


def _in_ms(*measured: Sequence[float]) -> list[str]:
    return [f"{spread(values, 1)} ms" for values in measured]
