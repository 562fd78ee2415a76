"""Bodies that fail in any way are let go of when they have failed, not when memory of the failure fades."""

import asyncio
import gc
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from proxy.core.question.routes import ROUTES
from tests.support.failing_bodies import ANSWERS, MAX_BYTES, upstream
from tests.support.world import METRICS, World, world

AT_ONCE = 4
ROUNDS = 5
# Connections that were broken off leave what was buffered, as garbage.
MOST_KEPT = MAX_BYTES * AT_ONCE / 4


def crash(body: bytes) -> None:
    raise RuntimeError(len(body))


async def failing(running: World, answer: str, number: int) -> None:
    """Ask as many questions at once as there may be calls, each of them twice."""
    asking = []
    for one in range(AT_ONCE):
        question = f"{METRICS}?runId=1&projectName=demo&logName={answer}.{number}.{one}"
        asking += [running.get(question), running.get(question)]
    answered = asyncio.gather(*asking)
    while not answered.done():
        # Failures make the proxy leave the upstream alone for a while, which passes quickly here.
        running.advance(31)
        await asyncio.sleep(0.002)
    assert {reply.status for reply in await answered} <= {502, 503}
    await running.settled()


@pytest.mark.parametrize(
    ("answer", "series"), [*((answer, False) for answer in ANSWERS), ("oversized", True), ("cut", True), ("wrong-shape", True)]
)
async def test_nothing_is_kept_of_a_body_that_failed(tmp_path: Path, answer: str, series: bool) -> None:
    """Neither while the failure is remembered, nor until the garbage collector comes round: there is none here."""
    routes = [replace(route, check=crash) for route in ROUTES] if answer == "crash" else ROUTES
    settings: dict[str, Any] = {
        "series__enabled": series,
        "upstream__max_body_bytes": MAX_BYTES,
        "upstream__cooldown_max_s": 1,
        # Nothing is forgotten, and nobody gives up, while the clock runs fast.
        "freshness__negative_s": 86_400,
        "upstream__deadline_s": 86_400,
    }
    # The log without a configuration of its own would show what frames hold.
    with capture_logs():
        async with upstream() as base, world(tmp_path, upstream=base, routes=routes, **settings) as running:
            kept = await kept_bytes(running, answer)
    assert kept[-1] - kept[0] < MOST_KEPT, kept


async def kept_bytes(running: World, answer: str) -> list[int]:
    """Return what is kept after each round, since after a first one, without the garbage collector."""
    await failing(running, answer, 0)
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        kept = []
        for number in range(1, 1 + ROUNDS):
            await failing(running, answer, number)
            kept.append(tracemalloc.get_traced_memory()[0])
        patience = 1_000
        while kept[-1] - kept[0] >= MOST_KEPT and (patience := patience - 1):
            # A thread that has just done its work may hold on to what it was for a moment.
            await asyncio.sleep(0.005)
            kept[-1] = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
        gc.enable()
    return kept
