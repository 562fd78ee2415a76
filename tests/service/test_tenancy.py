"""Whose data the key reads: organizations are kept apart, rotated keys keep the cache."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

from proxy.config import KeySource
from proxy.core.freshness.plan import Condition
from proxy.standin import Fault, FaultKind, Standin
from tests.support.late_disk import not_told_whose
from tests.support.world import KEY, METRICS, QUESTION, ManualClock, Reply, World, world

ROTATED = "mlps_standin_rotated"
OTHER = "mlpi_standin_other"
VALIDATE = "/api/runs/auth/validate"


async def settled(running: World) -> None:
    """Wait until the upstream has said whose the key is."""
    await running.parts.tenancy.settled()


def key_file(folder: Path, key: str) -> KeySource:
    path = folder / "key"
    path.write_text(key + "\n")
    return KeySource(path=path)


async def test_a_rotated_key_keeps_the_cache(tmp_path: Path) -> None:
    """A file that changes is read again; another key of the same organization finds the entries, and is the one sent."""
    async with world(tmp_path, key=key_file(tmp_path, KEY), freshness__running_s=60) as running:
        await settled(running)
        await running.get()
        key_file(tmp_path, ROTATED)
        await running.get(f"{QUESTION}&stepMin=5")
        assert running.standin.counters.headers[-1]["authorization"] == f"Bearer {ROTATED}"
        await settled(running)
        assert (await running.get()).is_hit
        assert running.metrics_calls == 2


async def test_another_organization_sees_nothing(tmp_path: Path) -> None:
    """Not from memory, not from disk, and not before the upstream has said whose the key is."""
    question = f"{METRICS}?runId=1&projectName=demo&limit=2"
    standin = Standin()
    async with standin.serve() as upstream:
        async with world(
            tmp_path, standin=standin, upstream=upstream, key=key_file(tmp_path, KEY), freshness__running_s=60
        ) as running:
            await settled(running)
            assert (await running.get(question)).json["metrics"]
            key_file(tmp_path, OTHER)
            standin.faults.add(Fault(kind=FaultKind.STATUS, status=500, path=VALIDATE))
            for _ in range(2):
                assert (await running.get(question)).json == {"metrics": []}
            await running.flushed()
        other, clock = KeySource(value=OTHER), running.clock
        async with world(
            tmp_path, standin=standin, upstream=upstream, key=other, freshness__running_s=60, clock=clock
        ) as running:
            await settled(running)
            assert (await running.get(question)).json == {"metrics": []}
        async with world(tmp_path, standin=standin, upstream=upstream, freshness__running_s=60, clock=clock) as running:
            await settled(running)
            again = await running.get(question)
            assert again.is_hit
            assert again.json["metrics"]


async def test_an_empty_key_file_keeps_the_last_key(tmp_path: Path) -> None:
    """Half-way through a rotation the last good key stays in use."""
    source = key_file(tmp_path, KEY)
    async with world(tmp_path, key=source) as running:
        for broken in ("", "two words", "\u00e9"):
            key_file(tmp_path, broken)
            assert (await running.get(f"{QUESTION}&stepMin={len(broken) + 1}")).status == 200
        assert source.path is not None
        source.path.unlink()
        assert (await running.get()).status == 200


async def test_entries_found_before_the_organization_is_known_move_to_it(tmp_path: Path) -> None:
    """They live under the key's fingerprint at first, and belong to the organization afterwards, on disk too."""
    standin = Standin()
    standin.faults.add(Fault(kind=FaultKind.STATUS, status=500, path=VALIDATE))
    naps = Naps()
    async with standin.serve() as upstream:
        async with world(tmp_path, standin=standin, upstream=upstream, freshness__running_s=600, sleep=naps) as running:
            await running.get()
            assert '"key"' in running.parts.tenancy.current().namespace
            await naps.end_one()
            await settled(running)
            assert '"org_demo"' in running.parts.tenancy.current().namespace
            assert (await running.get()).is_hit
            await running.flushed()
        rotated, clock = KeySource(value=ROTATED), running.clock
        async with world(
            tmp_path, standin=standin, upstream=upstream, freshness__running_s=600, key=rotated, clock=clock
        ) as running:
            await settled(running)
            assert (await running.get()).is_hit


async def test_an_offline_start_finds_its_entries(tmp_path: Path) -> None:
    """The organization is remembered by the key's fingerprint: nothing needs to be asked."""
    async with world(tmp_path, freshness__running_s=600) as running:
        await settled(running)
        await running.get()
        await running.flushed()
        clock = ManualClock(running.clock.now_s() + 5)
    async with world(tmp_path, upstream=running.upstream, freshness__running_s=600, clock=clock) as offline:
        assert (await offline.get()).is_hit


async def test_a_start_without_the_upstream_and_a_late_disk(tmp_path: Path) -> None:
    """Whose the key is, is read as soon as the disk answers: the upstream need not tell."""
    standin, naps = Standin(), Naps()
    async with standin.serve() as upstream, AsyncExitStack() as stack:
        async with world(tmp_path, standin=standin, upstream=upstream, freshness__running_s=600) as running:
            await settled(running)
            await running.get()
            clock = running.clock
        standin.faults.add(Fault(kind=FaultKind.STATUS, status=500, path=VALIDATE, times=None))
        with not_told_whose():
            running = await stack.enter_async_context(
                world(tmp_path, standin=standin, upstream=upstream, freshness__running_s=600, clock=clock, sleep=naps)
            )
            assert not (await running.get(f"{QUESTION}&stepMin=1")).is_hit
        await naps.end_one()
        async with asyncio.timeout(10):
            while not running.parts.tenancy.current().known:  # noqa: ASYNC110 -- no event tells it
                await asyncio.sleep(0.001)
        assert (await running.get()).is_hit


async def test_labels_are_apart(tmp_path: Path) -> None:
    """Another label on the same file shares nothing."""
    standin = Standin()
    async with standin.serve() as url:
        for label, calls in (("a", 1), ("b", 2), ("a", 2)):
            async with world(tmp_path, standin=standin, upstream=url, freshness__running_s=60, cache__label=label) as running:
                await settled(running)
                assert (await running.get()).status == 200
                await running.flushed()
                assert running.metrics_calls == calls


class Naps:
    """A sleep that lasts until the test ends it."""

    def __init__(self) -> None:
        self._ended = asyncio.Queue[None]()

    async def __call__(self, _seconds: float) -> None:
        await self._ended.get()

    async def end_one(self) -> None:
        self._ended.put_nowait(None)


async def test_an_organization_told_in_another_form(tmp_path: Path) -> None:
    """It is no fault of the upstream's: asked for it every half a minute, however long, it keeps nobody waiting."""
    standin, naps = Standin(), Naps()
    standin.faults.add(Fault(kind=FaultKind.WRONG_SHAPE, path=VALIDATE, times=None))
    async with world(tmp_path, standin=standin, sleep=naps) as running:
        async with asyncio.timeout(20):
            for number in range(1, 21):
                await running.standin.counters.reached(lambda seen, number=number: seen.by_path[VALIDATE] == number)  # type: ignore[misc]  # a default that binds the number
                await naps.end_one()
        assert running.parts.upstream.condition() is Condition.OPEN
        assert (await running.get()).status == 200


async def test_one_call_while_the_organization_becomes_known(tmp_path: Path) -> None:
    """A question that is under way when its key's organization is found is joined all the same, and stored under it."""
    standin, gate, validate = Standin(), asyncio.Event(), asyncio.Event()
    standin.faults.add(Fault(kind=FaultKind.HOLD, path="/api/runs/auth/validate", gate=validate))
    standin.faults.add(Fault(kind=FaultKind.HOLD, gate=gate))
    async with world(tmp_path, standin=standin) as running:
        early = [asyncio.create_task(running.get()) for _ in range(5)]
        await standin.counters.reached(lambda counted: counted.by_path[METRICS] == 1)
        validate.set()
        await running.parts.tenancy.settled()
        late = [asyncio.create_task(running.get()) for _ in range(5)]
        await running.arrived(10)
        gate.set()
        replies: list[Reply] = await asyncio.gather(*early, *late)
        assert {reply.status for reply in replies} == {200}
        assert running.metrics_calls == 1
        assert (await running.get()).is_hit
        await running.flushed()
        assert await running.parts.store.disk.get(running.parts.tenancy.current().namespace, QUESTION) is not None
