"""The herd: one cold question asked on every connection at the same moment, while the upstream takes its time."""

import asyncio
import statistics
import time

from tests.bench.bodies import SMALL, answer_to, question
from tests.bench.exchange import Asking, UnexpectedError, connected, get
from tests.bench.report import Bound, Section, spread
from tests.bench.world import World

WAIT_MS = 300
_MOST_RATIO = 1.2


async def measure(world: World) -> Section:
    """Send one herd a round, each with a question of its own."""
    calls: list[int] = []
    last_ms: list[float] = []
    for number in range(world.plan.rounds):
        before = await world.upstream_calls()
        last_ms.append(await _herd(world, number))
        calls.append(await world.upstream_calls() - before)
    size = world.plan.herd
    return Section(
        title=f"The herd: {size} identical cold requests on {size} connections, an upstream that takes {WAIT_MS} ms",
        columns=("herds", "upstream calls for each", "last answer after, ms: median (min..max)"),
        rows=[[str(len(calls)), ", ".join(map(str, calls)), spread(last_ms)]],
        bounds=[
            Bound(
                promise=f"the last answer within {_MOST_RATIO} x the upstream's own time, at the median",
                measured=f"{(ratio := statistics.median(last_ms) / WAIT_MS):.2f}",
                held=ratio <= _MOST_RATIO,
            ),
            Bound(promise="one upstream call for a herd", measured=f"at most {max(calls)}", held=set(calls) == {1}),
        ],
    )


async def _herd(world: World, number: int) -> float:
    """Return after how many milliseconds the last answer was complete."""
    request = get(question(SMALL, number, wait_ms=WAIT_MS), Accept="application/json")
    async with connected(world.proxy.port, *(Asking() for _ in range(world.plan.herd))) as herd:
        began_s = time.perf_counter()
        replies = await asyncio.gather(*(connection.ask(request) for connection in herd))
        elapsed_s = time.perf_counter() - began_s
    body = answer_to(SMALL, number)
    if wrong := [reply.head for reply in replies if reply.status != 200 or reply.body != body]:
        raise UnexpectedError(f"{len(wrong)} of the herd got something else: {wrong[0]!r}")
    return elapsed_s * 1000
