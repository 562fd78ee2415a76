"""The table of docs/reference/answers.md, "How fresh an answer is", cell by cell: entry x upstream x demand."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from proxy.standin import Fault, FaultKind
from tests.support.world import METRICS, Reply, World, world

OTHER = f"{METRICS}?runId=2&projectName=demo"
AGES_S = {"none": None, "fresh": 1, "revalidate": 6, "on error": 30, "expired": 100}
SETTINGS: dict[str, Any] = {
    "freshness__running_s": 5,
    "freshness__stale_while_revalidate_s": 5,
    "freshness__stale_if_error_s": 60,
    "freshness__negative_s": 5,
    "freshness__stale_wait_s": 0.05,
    "upstream__deadline_s": 0.3,
}
NEVER_CALLED, CALLED = 0, 1

# entry, upstream, Cache-Control, floor: what the client sees, and how many calls the request caused
CELLS = [
    ("none", "answers", "", None, "200 miss", CALLED),
    ("none", "fails", "", None, "502 upstream-failed", CALLED),
    ("none", "hangs", "", None, "504 upstream-timeout", CALLED),
    ("none", "has just failed", "", None, "502 upstream-failed", NEVER_CALLED),
    ("none", "rests", "", None, "503 upstream-busy", NEVER_CALLED),
    ("none", "refuses the key", "", None, "502 key-refused", NEVER_CALLED),
    ("fresh", "answers", "", None, "200 hit", NEVER_CALLED),
    ("fresh", "fails", "", None, "200 hit", NEVER_CALLED),
    ("fresh", "hangs", "", None, "200 hit", NEVER_CALLED),
    ("fresh", "rests", "", None, "200 hit", NEVER_CALLED),
    ("fresh", "refuses the key", "", None, "200 hit", NEVER_CALLED),
    ("revalidate", "answers", "", None, "200 stale revalidating", CALLED),
    ("revalidate", "fails", "", None, "200 stale revalidating", CALLED),
    ("revalidate", "hangs", "", None, "200 stale revalidating", CALLED),
    ("revalidate", "has just failed", "", None, "200 stale upstream-failed", NEVER_CALLED),
    ("revalidate", "rests", "", None, "200 stale cool-down", NEVER_CALLED),
    ("revalidate", "refuses the key", "", None, "502 key-refused", NEVER_CALLED),
    ("on error", "answers", "", None, "200 miss", CALLED),
    ("on error", "fails", "", None, "200 stale upstream-failed", CALLED),
    ("on error", "hangs", "", None, "200 stale upstream-slow", CALLED),
    ("on error", "has just failed", "", None, "200 stale upstream-failed", NEVER_CALLED),
    ("on error", "rests", "", None, "200 stale cool-down", NEVER_CALLED),
    ("on error", "refuses the key", "", None, "502 key-refused", NEVER_CALLED),
    ("expired", "answers", "", None, "200 miss", CALLED),
    ("expired", "fails", "", None, "502 upstream-failed", CALLED),
    ("expired", "hangs", "", None, "504 upstream-timeout", CALLED),
    ("expired", "has just failed", "", None, "502 upstream-failed", NEVER_CALLED),
    ("expired", "rests", "", None, "503 upstream-busy", NEVER_CALLED),
    ("expired", "refuses the key", "", None, "502 key-refused", NEVER_CALLED),
    # Demands are satisfied by anything not older than the floor, by default the freshness lifetime.
    ("fresh", "answers", "no-cache", None, "200 hit", NEVER_CALLED),
    ("fresh", "answers", "max-age=0", None, "200 hit", NEVER_CALLED),
    ("fresh", "answers", "no-store", None, "200 hit", NEVER_CALLED),
    ("fresh", "answers", "min-fresh=4.5", None, "200 hit", NEVER_CALLED),
    ("fresh", "answers", "no-cache", 2, "200 hit", NEVER_CALLED),
    ("fresh", "answers", "no-cache", 0, "200 miss", CALLED),
    ("fresh", "answers", "max-age=0", 0.5, "200 miss", CALLED),
    ("fresh", "answers", "max-age=2", 0, "200 hit", NEVER_CALLED),
    ("fresh", "answers", "min-fresh=3", 0, "200 hit", NEVER_CALLED),
    ("fresh", "answers", "min-fresh=5", 0, "200 miss", CALLED),
    ("fresh", "fails", "no-cache", 0, "200 hit upstream-failed", CALLED),
    ("fresh", "hangs", "no-cache", 0, "200 hit upstream-slow", CALLED),
    ("fresh", "rests", "no-cache", 0, "200 hit cool-down", NEVER_CALLED),
    ("fresh", "refuses the key", "no-cache", 0, "200 hit", NEVER_CALLED),
    ("revalidate", "answers", "no-cache", None, "200 miss", CALLED),
    ("revalidate", "answers", "max-age=7", None, "200 stale revalidating", CALLED),
    ("revalidate", "answers", "max-age=3600", None, "200 stale revalidating", CALLED),
    ("revalidate", "fails", "no-cache", None, "200 stale upstream-failed", CALLED),
    ("revalidate", "hangs", "no-cache", None, "200 stale upstream-slow", CALLED),
    ("revalidate", "rests", "no-cache", None, "200 stale cool-down", NEVER_CALLED),
    ("on error", "answers", "max-stale=3600", None, "200 miss", CALLED),
    ("expired", "fails", "max-stale=3600", None, "502 upstream-failed", CALLED),
    ("expired", "fails", "max-stale", None, "502 upstream-failed", CALLED),
    # only-if-cached never asks, but for the refresh that would run anyway.
    ("none", "answers", "only-if-cached", None, "504 nothing-stored", NEVER_CALLED),
    ("fresh", "answers", "only-if-cached", None, "200 hit", NEVER_CALLED),
    ("fresh", "answers", "only-if-cached, max-age=0", 0, "504 nothing-stored", NEVER_CALLED),
    ("revalidate", "answers", "only-if-cached", None, "200 stale revalidating", CALLED),
    ("on error", "answers", "only-if-cached", None, "504 nothing-stored", NEVER_CALLED),
    ("on error", "rests", "only-if-cached", None, "200 stale cool-down", NEVER_CALLED),
    ("expired", "answers", "only-if-cached", None, "504 nothing-stored", NEVER_CALLED),
    ("none", "refuses the key", "only-if-cached", None, "504 nothing-stored", NEVER_CALLED),
]


def seen(reply: Reply) -> str:
    """What the client sees, in the table's words."""
    if reply.status != 200:
        return f"{reply.status} {reply.json['code']}"
    if "fwd=" in reply.cache_status:
        return "200 miss"
    ttl = int(reply.cache_status.partition("ttl=")[2].partition(";")[0])
    reason = reply.cache_status.partition('detail="stale: ')[2].rstrip('"')
    return f"200 {'hit' if ttl >= 0 else 'stale'} {reason}".rstrip()


async def bring_about(running: World, upstream: str) -> None:
    """Put the upstream into a state."""
    faults = running.standin.faults
    match upstream:
        case "fails":
            faults.add(Fault(kind=FaultKind.STATUS, status=500, times=None))
        case "hangs":
            faults.add(Fault(kind=FaultKind.HANG, times=None))
        case "has just failed":
            faults.add(Fault(kind=FaultKind.STATUS, status=500, times=None))
            await running.get(Cache_Control="no-cache")
        case "rests":
            faults.add(Fault(kind=FaultKind.STATUS, status=429, retry_after_s=100, query_contains="runId=2"))
            assert (await running.get(OTHER)).status == 503
        case "refuses the key":
            faults.add(Fault(kind=FaultKind.STATUS, status=401, query_contains="runId=2"))
            assert (await running.get(OTHER)).status == 502


@pytest.mark.parametrize(("entry", "upstream", "cache_control", "floor_s", "expected", "calls"), CELLS)
async def test_cell(
    tmp_path: Path, entry: str, upstream: str, cache_control: str, floor_s: float | None, expected: str, calls: int
) -> None:
    """What is promised in the table, neither older nor later, and with no call more."""
    floor: dict[str, Any] = {} if floor_s is None else {"freshness__client_floor_s": floor_s}
    async with world(tmp_path, **SETTINGS, **floor) as running:
        if (age_s := AGES_S[entry]) is not None:
            assert seen(await running.get()) == "200 miss"
            running.clock.advance(age_s)
        await bring_about(running, upstream)
        before = running.metrics_calls
        assert seen(await running.get(**({"Cache_Control": cache_control} if cache_control else {}))) == expected
        if calls:
            async with asyncio.timeout(5):
                await running.standin.counters.reached(lambda counted: counted.by_path[METRICS] == before + calls)
        else:
            await running.settled()
        assert running.metrics_calls == before + calls


async def test_one_refresh_for_everyone(tmp_path: Path) -> None:
    """Many who are served while revalidating cause one call, and the next one gets what it brought."""
    gate = asyncio.Event()
    async with world(tmp_path, **SETTINGS) as running:
        await running.get()
        running.clock.advance(6)
        running.standin.faults.add(Fault(kind=FaultKind.HOLD, gate=gate))
        replies = await asyncio.gather(*(running.get() for _ in range(30)))
        assert {seen(reply) for reply in replies} == {"200 stale revalidating"}
        gate.set()
        await running.settled()
        assert running.metrics_calls == 2
        assert seen(await running.get()) == "200 hit"


async def test_a_demand_waits_for_a_flight_that_starts_after_it(tmp_path: Path) -> None:
    """With the floor at 0, a flight that began before the request isn't joined; all such requests share the next one."""
    gate = asyncio.Event()
    async with world(tmp_path, freshness__client_floor_s=0, freshness__stale_wait_s=10) as running:
        running.standin.faults.add(Fault(kind=FaultKind.HOLD, gate=gate))
        first = asyncio.create_task(running.get())
        await running.standin.counters.reached(lambda counted: counted.by_path[METRICS] == 1)
        running.clock.advance(1)
        later = [asyncio.create_task(running.get(Cache_Control="no-cache")) for _ in range(10)]
        joined = asyncio.create_task(running.get())
        await running.arrived(12)
        assert running.metrics_calls == 1
        gate.set()
        replies = await asyncio.gather(first, joined, *later)
        assert [reply.headers["Age"] for reply in replies] == ["1", "1", *["0"] * 10]
        assert running.metrics_calls == 2


async def test_no_store_stays_off_the_disk(tmp_path: Path) -> None:
    """An answer that only no-store requests asked for isn't written; one that another request waits for as well is."""
    gate = asyncio.Event()
    async with world(tmp_path) as running:
        await running.get(Cache_Control="no-store")
        await running.flushed()
        assert running.parts.store.disk.counters.writes == 0
        running.standin.faults.add(Fault(kind=FaultKind.HOLD, gate=gate))
        both = [asyncio.create_task(running.get(OTHER, Cache_Control="no-store"))]
        await running.standin.counters.reached(lambda counted: counted.by_path[METRICS] == 2)
        both.append(asyncio.create_task(running.get(OTHER)))
        await running.arrived(3)
        gate.set()
        await asyncio.gather(*both)
        await running.flushed()
        assert running.parts.store.disk.counters.writes == 1


async def test_directives_delete_nothing(tmp_path: Path) -> None:
    """Whatever a client demands, what is stored stays stored."""
    async with world(tmp_path, **SETTINGS, freshness__client_floor_s=0) as running:
        await running.get()
        running.standin.faults.add(Fault(kind=FaultKind.STATUS, status=500, times=None))
        for demand in ("no-cache", "no-store", "max-age=0", "no-cache, no-store, max-age=0, must-revalidate"):
            await running.get(Cache_Control=demand)
        assert seen(await running.get()) == "200 hit"


@pytest.mark.parametrize(
    "fault",
    [
        Fault(kind=FaultKind.STATUS, status=500, times=None),
        Fault(kind=FaultKind.STATUS, status=408, times=None),
        Fault(kind=FaultKind.STATUS, status=425, times=None),
        Fault(kind=FaultKind.STATUS, status=429, times=None),
        Fault(kind=FaultKind.STATUS, status=503, times=None),
        Fault(kind=FaultKind.HTML, status=403, times=None),
        Fault(kind=FaultKind.HTML, status=404, times=None),
        Fault(kind=FaultKind.CUT_HEADERS, times=None),
        Fault(kind=FaultKind.CUT_BODY, times=None),
        Fault(kind=FaultKind.NOT_JSON, times=None),
        Fault(kind=FaultKind.WRONG_SHAPE, times=None),
        Fault(kind=FaultKind.HANG, times=None),
    ],
)
async def test_what_counts_as_failing(tmp_path: Path, fault: Fault) -> None:
    """Each of these leaves the stale answer standing, says so and counts it."""
    async with world(tmp_path, **SETTINGS) as running:
        good = await running.get()
        running.clock.advance(30)
        running.standin.faults.add(fault)
        reply = await running.get()
        assert seen(reply).startswith("200 stale")
        assert reply.body == good.body
        assert reply.headers["Age"] == "30"
        exposition = (await running.get("/metrics")).body.decode()
        reason = seen(reply).removeprefix("200 stale ")
        assert f'pluto_proxy_stale_served_total{{reason="{reason}"}} 1.0' in exposition


@pytest.mark.parametrize("status", [400, 404, 410, 422])
async def test_the_upstreams_own_4xx_is_passed_on(tmp_path: Path, status: int) -> None:
    """It is what the upstream says now: no stale answer hides it, and it is kept for `negative_s`."""
    async with world(tmp_path, **SETTINGS) as running:
        await running.get()
        running.clock.advance(30)
        running.standin.faults.add(Fault(kind=FaultKind.STATUS, status=status))
        reply = await running.get()
        assert reply.status == status
        assert "error" in reply.json
        running.clock.advance(4.9)
        assert (await running.get()).status == status
        assert running.metrics_calls == 2
        running.clock.advance(0.2)
        assert (await running.get()).status == 200


async def test_stale_never(tmp_path: Path) -> None:
    """`stale_if_error_s = 0`: nothing stale on errors."""
    async with world(tmp_path, freshness__stale_if_error_s=0, freshness__stale_while_revalidate_s=0) as running:
        await running.get()
        running.clock.advance(5)
        running.standin.faults.add(Fault(kind=FaultKind.STATUS, status=500))
        assert (await running.get()).status == 502


async def test_an_answer_that_grows_too_old_while_waiting_is_not_served(tmp_path: Path) -> None:
    """The wait for a better answer counts: past the limit the client gets the error."""
    gate = asyncio.Event()
    async with world(tmp_path, **{**SETTINGS, "freshness__stale_wait_s": 10, "upstream__deadline_s": 10}) as running:
        await running.get()
        running.clock.advance(64)
        running.standin.faults.add(Fault(kind=FaultKind.STATUS, status=500, gate=gate))
        asking = asyncio.create_task(running.get())
        await running.standin.counters.reached(lambda counted: counted.by_path[METRICS] == 2)
        running.clock.advance(2)
        gate.set()
        assert (await asking).status == 502


async def test_what_is_gone_upstream_does_not_come_back(tmp_path: Path) -> None:
    """After the upstream's own 404 the older answer is neither refreshed nor served stale, from memory or from disk."""
    for memory_bytes in (0, 2**20):
        async with world(
            tmp_path / str(memory_bytes), cache__memory_bytes=memory_bytes, freshness__stale_while_revalidate_s=60
        ) as running:
            await running.get()
            await running.flushed()
            running.clock.advance(20)
            gone = running.standin.faults.add(Fault(kind=FaultKind.STATUS, status=404, times=None))
            await running.get()
            await running.settled()
            statuses = []
            for _ in range(4):
                running.clock.advance(3)
                statuses.append((await running.get()).status)
                await running.settled()
            assert statuses == [404] * 4
            gone.stop()
            running.standin.faults.add(Fault(kind=FaultKind.STATUS, status=500))
            running.clock.advance(6)
            assert (await running.get()).status == 502


async def test_an_answer_that_outgrows_the_store_takes_the_old_one_with_it(tmp_path: Path) -> None:
    """Otherwise the small old one would be served, and refreshed, at every poll."""
    async with world(tmp_path, cache__max_object_bytes=1000) as running:
        await running.get(f"{METRICS}?runId=1&projectName=demo&limit=2")
        running.clock.advance(6)
        running.standin.faults.add(Fault(kind=FaultKind.HUGE, size_bytes=5_000))
        await running.get(f"{METRICS}?runId=1&projectName=demo&limit=2")
        await running.settled()
        reply = await running.get(f"{METRICS}?runId=1&projectName=demo&limit=2")
        assert reply.cache_status.startswith("pluto-proxy; fwd=uri-miss")
