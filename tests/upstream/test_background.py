"""Requests that say that nobody waits for them (`Priority: u=7`): their calls go after all others."""

import asyncio
from pathlib import Path

from proxy.core.budget import Priority
from proxy.standin import Fault, FaultKind
from tests.support.world import METRICS, QUESTION, Reply, World, world

BACKGROUND = {"Priority": "u=7"}


def asking(running: World, target: str, **headers: str) -> "asyncio.Task[Reply]":
    return asyncio.create_task(running.get(target, **headers))


async def waiting(running: World, priority: Priority, count: int) -> None:
    """Wait until so many calls of a priority are in the line."""
    async with asyncio.timeout(10):
        while running.parts.turnstile.waiting(priority) < count:  # noqa: ASYNC110 -- no event tells it
            await asyncio.sleep(0.001)


async def test_they_let_others_go_first(tmp_path: Path) -> None:
    """Whoever asks later and waits goes earlier."""
    gate = asyncio.Event()
    async with world(tmp_path, upstream__max_concurrency=1) as running:
        await running.parts.tenancy.settled()
        running.standin.faults.add(Fault(kind=FaultKind.HOLD, gate=gate))
        held = asking(running, QUESTION)
        await running.standin.counters.reached(lambda counted: counted.by_path[METRICS] == 1)
        patient = asking(running, f"{QUESTION}&stepMin=1", **BACKGROUND)
        await waiting(running, Priority.PREFETCH, 1)
        person = asking(running, f"{QUESTION}&stepMin=2")
        await waiting(running, Priority.PERSON, 1)
        gate.set()
        assert {(await task).status for task in (held, patient, person)} == {200}
        assert [query.rpartition("stepMin=")[2] for query in running.standin.counters.queries[-2:]] == ["2", "1"]


async def test_who_joins_one_and_waits_hurries_it(tmp_path: Path) -> None:
    """They share the call, which goes as a person's."""
    gate = asyncio.Event()
    async with world(tmp_path, upstream__max_concurrency=1) as running:
        await running.parts.tenancy.settled()
        running.standin.faults.add(Fault(kind=FaultKind.HOLD, gate=gate))
        held = asking(running, QUESTION)
        await running.standin.counters.reached(lambda counted: counted.by_path[METRICS] == 1)
        patient = asking(running, f"{QUESTION}&stepMin=1", **BACKGROUND)
        await waiting(running, Priority.PREFETCH, 1)
        person = asking(running, f"{QUESTION}&stepMin=1")
        await waiting(running, Priority.PERSON, 1)
        assert running.parts.turnstile.waiting(Priority.PREFETCH) == 0
        gate.set()
        replies = [await task for task in (held, patient, person)]
        assert {reply.status for reply in replies} == {200}
        assert replies[1].body == replies[2].body
        assert running.metrics_calls == 2


async def test_one_whose_turn_does_not_come(tmp_path: Path) -> None:
    """It is told when to ask again, after as long as any request may take, and its call is given up."""
    async with world(tmp_path, upstream__rate_per_s=0.01, upstream__burst=2, upstream__deadline_s=0.1) as running:
        await running.parts.tenancy.settled()
        assert (await running.get()).status == 200
        reply = await running.get(f"{QUESTION}&stepMin=1", **BACKGROUND)
        assert (reply.status, reply.json["code"]) == (503, "upstream-busy")
        assert int(reply.headers["Retry-After"]) > 10
        assert running.parts.turnstile.waiting(Priority.PREFETCH) == 0
        assert running.metrics_calls == 1


async def test_hits_are_hits(tmp_path: Path) -> None:
    """What is stored is served at once, by the fast path, too."""
    async with world(tmp_path, freshness__running_s=60) as running:
        await running.get()
        for _ in range(3):
            assert (await running.get(**BACKGROUND)).is_hit
        assert running.metrics_calls == 1
