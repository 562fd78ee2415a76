"""What very many points cost in memory once they are kept as series, and what answers about them cost then."""

import asyncio
import statistics
from itertools import repeat

from tests.bench.contestants import HIT
from tests.bench.exchange import Asking, UnexpectedError, ask, connected, get
from tests.bench.load import Expected, poll
from tests.bench.long_run import FIRST_STEP, ROWS, Panel, answer, target
from tests.bench.processes import Server, serving
from tests.bench.report import Bound, Section, spread
from tests.bench.world import World

_MOST_BYTES = 200_000_000
_POINTS = 1_000_000
_LEAST_RATIO = 0.9
_RUN, _CONNECTIONS, _QUIET_S = 1, 4, 2.0
_WARM = Panel(name=7, limit=2_000, last=FIRST_STEP + 1_999)
_COLUMNS = (
    "points",
    "idle, MB",
    "afterwards, MB",
    "beyond idle, MB",
    "warm hits/s beside nothing else: median (min..max)",
    "beside them",
    "ratio: median (min..max)",
)


async def measure(world: World) -> Section:
    """Have one series after the other asked for in full, and then time hits."""
    number = world.plan.metrics
    settings = {"PLUTO_PROXY_SERIES__ENABLED": "true", "PLUTO_PROXY_SERIES__SHADOW_S": "0"}
    async with (
        serving(world.folder, "tests.bench.sampling_origin", cpu=world.placement.load) as origin,
        world.another_proxy(origin, **settings) as proxy,
        world.another_proxy(origin, **settings) as other,
    ):
        await ask(proxy.port, get("/livez"))
        idle = proxy.memory_bytes()
        await _ask_all(proxy, number)
        # The checks of the rule ask for a series once more, and what came is written.
        await asyncio.sleep(_QUIET_S)
        after = proxy.memory_bytes()
        alone, beside = await _hits(world, other, proxy)
    ratios = [one / another for one, another in zip(beside, alone, strict=True)]
    points, ratio = number * ROWS, statistics.median(ratios)
    bounds = [
        Bound(
            promise=f"hits beside {points:,} points: at least {_LEAST_RATIO:g} of those beside nothing",
            measured=f"{ratio:.2f}",
            held=ratio >= _LEAST_RATIO,
        )
    ]
    sizes = ["not measured"] * 3
    if idle is not None and after is not None:
        grown = after[0] - idle[0]
        most = _MOST_BYTES * max(points, _POINTS) // _POINTS
        sizes = [f"{value / 1e6:.0f}" for value in (idle[0], after[0], grown)]
        bounds.insert(
            0,
            Bound(
                promise=f"{points:,} points are at most {most / 1e6:.0f} MB beyond idle",
                measured=f"{grown / 1e6:.0f} MB",
                held=grown <= most,
            ),
        )
    return Section(
        title="Points kept as series",
        columns=_COLUMNS,
        rows=[[f"{points:,}", *sizes, spread(alone), spread(beside), spread(ratios, 2)]],
        bounds=bounds,
        notes=[f"a row is {len(answer(_WARM)) // 2_000} bytes; a panel of 500 points of each series was asked for"],
    )


async def _ask_all(proxy: Server, number: int) -> None:
    """Ask for a panel of each series; the proxy keeps all of it."""
    numbers = iter(range(number))

    async def asking(connection: Asking) -> None:
        for name in numbers:
            panel = Panel(name=name, limit=500)
            reply = await connection.ask(get(target(panel, _RUN), Accept="application/json"))
            if reply.status != 200 or reply.body != answer(panel):
                raise UnexpectedError(f"not the answer to {panel}: {reply.head!r}")

    async with connected(proxy.port, *(Asking() for _ in range(_CONNECTIONS))) as connections:
        await asyncio.gather(*map(asking, connections))


async def _hits(world: World, *proxies: Server) -> list[list[float]]:
    """Return for each proxy, in turns, how many hits it answers a second."""
    body = answer(_WARM)
    request = get(target(_WARM, _RUN), Accept="application/json")
    for proxy in proxies:
        for _ in range(2):
            reply = await ask(proxy.port, request)
        if HIT not in reply.head or reply.body != body:
            raise UnexpectedError(f"not a hit: {reply.head!r}")
    expected = Expected(status=200, body_bytes=len(body), marker=HIT)
    per_s: list[list[float]] = [[] for _ in proxies]
    for number in range(world.plan.rounds + 1):
        for rates, proxy in zip(per_s, proxies, strict=True):
            seconds = world.plan.seconds if number else world.plan.warm_up_s
            polled = await poll(proxy.port, repeat(request), expected, connections=world.plan.connections, seconds=seconds)
            if number:
                rates.append(polled.per_s)
    return per_s
