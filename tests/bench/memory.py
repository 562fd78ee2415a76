"""What the proxy holds in memory after many distinct answers, many times what it may keep there."""

import asyncio
from collections.abc import Iterator

from tests.bench.bodies import LARGE, answer_to, question
from tests.bench.exchange import Asking, UnexpectedError, ask, connected, get
from tests.bench.processes import Server
from tests.bench.report import Bound, Section
from tests.bench.world import MIB, World

_MEMORY_BYTES = 64 * MIB
_MARGIN_BYTES = 100 * MIB
_CONNECTIONS = 8
_COLUMNS = ("distinct answers of 2,000 points", "idle, MiB", "afterwards, MiB", "most, MiB", "grown by, MiB")


async def measure(world: World) -> Section:
    """Ask a proxy that may keep 64 MiB in memory for one answer after another."""
    title = f"Memory, with memory_bytes = {_MEMORY_BYTES // MIB} MiB"
    async with world.another_proxy(PLUTO_PROXY_CACHE__MEMORY_BYTES=str(_MEMORY_BYTES)) as proxy:
        await ask(proxy.port, get("/livez"))
        idle = proxy.memory_bytes()
        await _ask_all(proxy, world.plan.answers)
        after = proxy.memory_bytes()
    if idle is None or after is None:
        return Section(title=title, columns=_COLUMNS, rows=[], notes=["Not measured: this system has no /proc."])
    grown = after[0] - idle[0]
    cells = [idle[0], after[0], after[1], grown]
    return Section(
        title=title,
        columns=_COLUMNS,
        rows=[[f"{world.plan.answers:,}", *(f"{value / MIB:.0f}" for value in cells)]],
        bounds=[
            Bound(
                promise=f"memory grows by memory_bytes + {_MARGIN_BYTES // MIB} MiB at most",
                measured=f"{grown / MIB:.0f} MiB",
                held=grown <= _MEMORY_BYTES + _MARGIN_BYTES,
            )
        ],
    )


async def _ask_all(proxy: Server, answers: int) -> None:
    """Ask for so many distinct answers, and look at each one's status and length and at every hundredth one's bytes."""
    numbers = iter(range(answers))
    async with connected(proxy.port, *(Asking() for _ in range(_CONNECTIONS))) as connections:
        await asyncio.gather(*(_ask_in_turn(connection, numbers) for connection in connections))


async def _ask_in_turn(connection: Asking, numbers: Iterator[int]) -> None:
    length = len(answer_to(LARGE, 0))
    for number in numbers:
        reply = await connection.ask(get(question(LARGE, number), Accept="application/json"))
        wrong = reply.status != 200 or len(reply.body) != length or "fwd=uri-miss" not in reply.header("Cache-Status")
        if wrong or (number % 100 == 0 and reply.body != answer_to(LARGE, number)):
            raise UnexpectedError(f"not the answer to question {number}: {reply.head!r} and {len(reply.body)} bytes")
