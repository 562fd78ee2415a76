"""The history: what a point holds, and that it outlives the process."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
import pytest

from proxy.core.freshness.entry import Entry, digest_of
from proxy.service.history.point import Point
from proxy.service.history.recorder import EVERY_S, KEPT_S, KEY, NAMESPACE, History
from proxy.standin.faults import Fault, FaultKind
from proxy.tasks import end_tasks
from tests.support.event_streams import listening, watching
from tests.support.late_disk import late
from tests.support.live_runs import PROMPT, begin
from tests.support.oracle_upstream import series_world, target
from tests.support.tokens import purge
from tests.support.world import METRICS, QUESTION, World, until, world


def record(running: World, *, times: int = 1) -> Point:
    """Let intervals pass; return the last point."""
    for _ in range(times):
        running.advance(EVERY_S)
        running.parts.history.record()
    return running.parts.history.since(0)[-1]


async def test_a_point_has_what_was_done_in_its_interval(tmp_path: Path) -> None:
    """Answers by how they came about, calls by result and reason, durations, bytes; the next point has none of it."""
    async with world(tmp_path) as running:
        await running.parts.tenancy.settled()
        before = record(running)
        first = await running.get()
        for _ in range(3):
            await running.get()
        await running.get("/nowhere")
        running.standin.faults.add(Fault(kind=FaultKind.STATUS, status=404))
        await running.get(f"{METRICS}?runId=1&projectName=demo&logName=other")
        point = record(running)
        assert (point.at_s, point.span_s) == (running.clock.now_s(), EVERY_S)
        assert (point.hits, point.misses, point.errors) == (3, 2, 1)
        assert (point.computed, point.stale, point.collapsed) == (0, 0, 0)
        assert (point.calls, point.calls_by_result) == (2, {"200": 1, "404": 1})
        assert point.calls_by_reason == {"client": 2}
        assert point.calls_saved == 3
        assert point.body_bytes >= 4 * len(first.body)
        assert point.p50_ms is not None
        assert point.p99_ms is not None
        assert 0 <= point.p50_ms <= point.p99_ms
        assert point.call_p50_ms is not None
        assert (point.condition, point.disk_ok, point.rule_holds) == ("open", True, True)
        assert point.rate_per_s == 10_000
        assert point.memory_entries >= 1
        assert point.waiting == {"person": 0, "refresh": 0, "prefetch": 0}
        assert before.calls_by_reason == {"other": 1}
        after = record(running)
        assert (after.hits, after.calls, after.calls_by_result, after.p50_ms, after.body_bytes) == (0, 0, {}, None, 0)


async def test_streams_and_computed_answers(tmp_path: Path) -> None:
    """What is watched is told, and so are answers that were computed."""
    async with series_world(tmp_path, **PROMPT) as (running, upstream):
        begin(upstream)
        async with listening(running.url, watching("loss")) as listener:
            await listener.until("rows")
            for limit in (10, 20):
                await running.get(target(f"logName=loss&limit={limit}"))
            point = record(running)
            assert (point.streams, point.watched) == (1, 1)
            assert point.computed == 2
            assert point.series_bytes > 0


async def test_an_hour_is_kept(tmp_path: Path) -> None:
    """Older points go, by number and by age."""
    async with world(tmp_path) as running:
        record(running, times=400)
        points = running.parts.history.since(0)
        assert len(points) == KEPT_S / EVERY_S
        assert points[0].at_s == running.clock.now_s() - KEPT_S + EVERY_S
        assert running.parts.history.since(points[-3].at_s) == points[-2:]
        running.advance(KEPT_S - 1.5 * EVERY_S)
        assert running.parts.history.since(0) == points[-2:]


async def test_a_restart_goes_on(tmp_path: Path) -> None:
    """What was recorded before is there; a point of what was left is made at the end."""
    async with world(tmp_path) as running:
        await running.get()
        record(running)
        await running.get()
        before, clock = running.parts.history.since(0), running.clock
    async with world(tmp_path, clock=clock) as running:
        points = running.parts.history.since(0)
        assert points[:-1] == before
        assert points[-1].misses == 1
        assert record(running).misses == 0
    clock.advance(KEPT_S)
    async with world(tmp_path, clock=clock) as running:
        assert running.parts.history.since(0) == []


async def test_what_could_not_be_read_is_not_written_over(tmp_path: Path) -> None:
    """A disk that is late at the start: what lies there stays as it is until it was read, and is added to then."""
    async with world(tmp_path) as running:
        before, clock = record(running), running.clock
    with late(lambda key: key == KEY):
        async with world(tmp_path, clock=clock) as running:
            assert running.parts.history.since(0) == []
            record(running, times=7)
            await running.flushed()
    async with AsyncExitStack() as stack:
        with late(lambda key: key == KEY):
            running = await stack.enter_async_context(world(tmp_path, clock=clock))
            after = record(running, times=7)
        await running.flushed()
    async with world(tmp_path, clock=clock) as running:
        points = running.parts.history.since(0)
        assert before in points
        assert after in points


async def test_it_is_written_each_minute(tmp_path: Path) -> None:
    """A process that ends without a chance to write loses a minute at most; a purge of everything is made up for."""
    async with world(tmp_path) as running:
        record(running, times=6)
        await running.flushed()
        assert await running.parts.store.on_disk(NAMESPACE, KEY) is not None
        await purge(running, {"metric": "loss"})
        assert await running.parts.store.on_disk(NAMESPACE, KEY) is not None
        await purge(running, {"everything": True})
        assert await running.parts.store.on_disk(NAMESPACE, KEY) is None
        record(running, times=6)
        await running.flushed()
        kept = await running.parts.store.on_disk(NAMESPACE, KEY)
        assert kept is not None
        assert len(msgspec.json.decode(kept.body)) == 12


@pytest.mark.parametrize("body", [b"", b"{", b'{"a": 1}', b'[{"hits": 1}]', b'[{"at_s": "x"}]'])
async def test_what_cannot_be_read_is_left(tmp_path: Path, body: bytes) -> None:
    """Written by another version, or damaged: the history begins anew."""
    async with world(tmp_path) as running:
        entry = Entry(body=body, sent_at_s=running.clock.now_s(), digest=digest_of(body))
        running.parts.store.disk.put(NAMESPACE, KEY, entry)
        await running.flushed()
        await running.parts.history.open()
        assert running.parts.history.since(0) == []


async def test_other_versions_points_are_read(tmp_path: Path) -> None:
    """What they lack is 0 or None, and what they have besides is dropped."""
    async with world(tmp_path) as running:
        now_s = running.clock.now_s()
        body = msgspec.json.encode([{"at_s": now_s - 10, "hits": 3, "later": [1]}, {"at_s": now_s + 100}])
        running.parts.store.disk.put(NAMESPACE, KEY, Entry(body=body, sent_at_s=now_s, digest=digest_of(body)))
        await running.flushed()
        await running.parts.history.open()
        assert running.parts.history.since(0) == [Point(at_s=now_s - 10, hits=3)]


async def test_without_a_file_it_goes_on(tmp_path: Path) -> None:
    """A file that can't be written costs nothing but the memory of a restart."""
    async with world(tmp_path) as running:
        await running.parts.store.disk.aclose()
        await running.get(QUESTION)
        point = record(running, times=7)
        assert not point.disk_ok
        assert len(running.parts.history.since(0)) == 7


async def test_it_records_by_itself_and_survives_faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A point that can't be made is logged, and the next one is."""
    async with world(tmp_path) as running:
        monkeypatch.setattr("proxy.service.history.recorder.EVERY_S", 0)
        failed = asyncio.Event()

        def fail(*_: object) -> Point:
            failed.set()
            raise RuntimeError("a fault")

        recording = asyncio.create_task(running.parts.history.run())
        with monkeypatch.context() as patch:
            patch.setattr(History, "_point", fail)
            await until(failed)
        async with asyncio.timeout(10):
            while not running.parts.history.since(0):  # noqa: ASYNC110 -- no event tells it
                await asyncio.sleep(0)
        await end_tasks([recording])
