"""What a miss costs: an upstream asked directly and through each cache, one question at a time, each question a new one."""

import statistics
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from itertools import count

from tests.bench.bodies import LARGE, SMALL, answer_to, question
from tests.bench.contestants import NGINX, PROXY
from tests.bench.exchange import Asking, Reply, UnexpectedError, connected, get
from tests.bench.packaged import Lifetimes, opened, versions
from tests.bench.report import Bound, Section, spread
from tests.bench.world import World

_MOST_ADDED_MS = 2.0
_MOST_BEYOND_NGINX_MS = 0.7
_BLOCK = 10
_WARM_UP = 20
_DIRECT = "nothing"
_LIFETIMES = Lifetimes(fresh_s=3600, stale_s=60)
_COLUMNS = ("answer", "in front", "ms: median (min..max)", "added at the median, ms")


async def measure(world: World) -> Section:
    """Measure both sizes."""
    rows: list[list[str]] = []
    bounds: list[Bound] = []
    async with AsyncExitStack() as stack:
        ports = {_DIRECT: world.origin.port, PROXY: world.proxy.port}
        packages = await stack.enter_async_context(
            opened(world.plan.fronts, world.folder, world.origin, world.placement.server, _LIFETIMES)
        )
        ports |= {name: server.port for name, server in packages.items()}
        for points in (SMALL, LARGE):
            taken_ms = await _measure_size(world, points, ports)
            added_ms = {
                name: statistics.median(each_ms) - statistics.median(taken_ms[_DIRECT]) for name, each_ms in taken_ms.items()
            }
            for name, each_ms in taken_ms.items():
                added = "" if name == _DIRECT else f"{added_ms[name]:.2f}"
                rows.append([f"{points:,} points, identity", name, spread(each_ms, 2), added])
            bounds += _bounds(points, added_ms)
    notes = await versions(world.plan.fronts)
    return Section(title="Misses, one at a time", columns=_COLUMNS, rows=rows, bounds=bounds, notes=notes)


def _bounds(points: int, added_ms: Mapping[str, float]) -> Iterator[Bound]:
    most = {f"{_MOST_ADDED_MS:g} ms": _MOST_ADDED_MS}
    if NGINX in added_ms:
        most[f"what nginx adds and {_MOST_BEYOND_NGINX_MS:g} ms"] = added_ms[NGINX] + _MOST_BEYOND_NGINX_MS
    for told, most_ms in most.items():
        yield Bound(
            promise=f"{points:,} points: a miss adds at most {told} at the median",
            measured=f"{added_ms[PROXY]:.2f} ms",
            held=added_ms[PROXY] <= most_ms,
        )


async def _measure_size(world: World, points: int, ports: Mapping[str, int]) -> dict[str, list[float]]:
    """Return the milliseconds of each question, by who is in front, in alternating blocks."""
    numbers = count(1)
    taken_ms: dict[str, list[float]] = {name: [] for name in ports}
    async with AsyncExitStack() as stack:
        connections = {name: (await stack.enter_async_context(connected(port, Asking())))[0] for name, port in ports.items()}
        for connection in connections.values():
            await _block(connection, points, numbers, _WARM_UP)
        before = await world.upstream_calls()
        for _ in range(max(1, world.plan.rounds * world.plan.misses // _BLOCK)):
            for name, connection in connections.items():
                for reply in await _block(connection, points, numbers, _BLOCK):
                    if name == PROXY and "fwd=uri-miss" not in reply.header("Cache-Status"):
                        raise UnexpectedError(f"not a miss: {reply.head!r}")
                    taken_ms[name].append(_ms(reply))
        asked = await world.upstream_calls() - before
    if asked != (questions := sum(map(len, taken_ms.values()))):
        raise UnexpectedError(f"{asked} upstream calls for {questions} questions")
    return taken_ms


async def _block(connection: Asking, points: int, numbers: Iterator[int], size: int) -> list[Reply]:
    replies = []
    for number, _ in zip(numbers, range(size), strict=False):
        reply = await connection.ask(get(question(points, number), Accept="application/json"))
        if reply.status != 200 or reply.body != answer_to(points, number):
            raise UnexpectedError(f"not the answer to question {number}: {reply.head!r} and {len(reply.body)} bytes")
        replies.append(reply)
    return replies


def _ms(reply: Reply) -> float:
    return reply.elapsed_s * 1000
