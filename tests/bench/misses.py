"""What a miss costs: an upstream asked directly and through the proxy, one question at a time, each question a new one."""

import statistics
from collections.abc import Iterator
from itertools import count

from tests.bench.bodies import LARGE, SMALL, answer_to, question
from tests.bench.exchange import Asking, Reply, UnexpectedError, connected, get
from tests.bench.report import Bound, Section, spread
from tests.bench.world import World

_MOST_ADDED_MS = 2.0
_BLOCK = 10
_WARM_UP = 20
_COLUMNS = ("answer", "direct, ms: median (min..max)", "through the proxy, ms", "added at the median, ms")


async def measure(world: World) -> Section:
    """Measure both sizes."""
    rows: list[list[str]] = []
    bounds: list[Bound] = []
    for points in (SMALL, LARGE):
        direct_ms, through_ms = await _measure_size(world, points)
        added_ms = statistics.median(through_ms) - statistics.median(direct_ms)
        rows.append([f"{points:,} points, identity", spread(direct_ms, 2), spread(through_ms, 2), f"{added_ms:.2f}"])
        bounds.append(
            Bound(
                promise=f"{points:,} points: a miss adds at most {_MOST_ADDED_MS:g} ms at the median",
                measured=f"{added_ms:.2f} ms",
                held=added_ms <= _MOST_ADDED_MS,
            )
        )
    return Section(title="Misses, one at a time", columns=_COLUMNS, rows=rows, bounds=bounds)


async def _measure_size(world: World, points: int) -> tuple[list[float], list[float]]:
    """Return the milliseconds of each question asked directly and of each asked through the proxy, in alternating blocks."""
    numbers = count(1)
    direct_ms: list[float] = []
    through_ms: list[float] = []
    async with connected(world.origin.port, Asking()) as (direct,), connected(world.proxy.port, Asking()) as (proxy,):
        await _block(direct, points, numbers, _WARM_UP)
        await _block(proxy, points, numbers, _WARM_UP)
        before = await world.upstream_calls()
        for _ in range(max(1, world.plan.rounds * world.plan.misses // _BLOCK)):
            direct_ms += [_ms(reply) for reply in await _block(direct, points, numbers, _BLOCK)]
            for reply in await _block(proxy, points, numbers, _BLOCK):
                if "fwd=uri-miss" not in reply.header("Cache-Status"):
                    raise UnexpectedError(f"not a miss: {reply.head!r}")
                through_ms.append(_ms(reply))
        asked = await world.upstream_calls() - before
    if asked != len(direct_ms) + len(through_ms):
        raise UnexpectedError(f"{asked} upstream calls for {len(direct_ms) + len(through_ms)} questions")
    return direct_ms, through_ms


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
