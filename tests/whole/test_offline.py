"""A proxy that never asks pluto-api (upstream.offline)."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from proxy.config import KeySource
from proxy.core.access.grants import BEARER_PREFIX
from proxy.errors import ConfigError
from proxy.standin import Fault, FaultKind, Standin
from tests.support.late_disk import not_told_whose
from tests.support.tokens import bearer, token, write
from tests.support.world import METRICS, QUESTION, ManualClock, World, world

OTHER_KEY = "mlpi_standin_other"
YEAR_S = 366 * 86_400
OFFLINE: dict[str, Any] = {"upstream__offline": "true", "keyless": True}
WHOLE = f"{METRICS}?runId=1&projectName=demo&logName=loss&limit=3000"
DETAILS = "/api/runs/details/1"


class Waits:
    """Waits of the tenancy that end when they are told to."""

    def __init__(self) -> None:
        self._go = asyncio.Event()

    async def sleep(self, _seconds: float, /) -> None:
        await self._go.wait()

    async def over(self, running: World) -> None:
        self._go.set()
        await running.parts.tenancy.settled()


async def filled(folder: Path, standin: Standin, upstream: str, clock: ManualClock, **settings: Any) -> None:
    """Fill a cache file with what two looks at a metric bring, and a run's details."""
    async with world(folder, standin=standin, upstream=upstream, clock=clock, **settings) as running:
        await running.parts.tenancy.settled()
        for target in (QUESTION, WHOLE, DETAILS, QUESTION):
            assert (await running.get(target)).status == 200
        await running.settled()
        await running.flushed()


@pytest.mark.parametrize("keyless", [False, True])
async def test_a_disk_that_is_late_at_the_start(tmp_path: Path, keyless: bool) -> None:
    """It isn't taken for one that doesn't know whose answers to serve, nor is it guessed."""
    standin, clock, waits = Standin(), ManualClock(), Waits()
    async with standin.serve() as upstream, AsyncExitStack() as stack:
        await filled(tmp_path, standin, upstream, clock)
        offline = {**OFFLINE, "keyless": keyless, "standin": standin, "upstream": upstream, "clock": clock}
        with not_told_whose():
            running = await stack.enter_async_context(world(tmp_path, sleep=waits.sleep, **offline))
            assert (await running.get()).status == 504
        await waits.over(running)
        assert (await running.get()).status == 200


def stale_reason(cache_status: str) -> str:
    return cache_status.partition('detail="')[2].rstrip('"')


async def test_what_is_stored_is_served_however_old(tmp_path: Path) -> None:
    """Without a key, for a year, marked as stale; the upstream is never asked, not even whose the key is."""
    standin, clock = Standin(), ManualClock()
    async with standin.serve() as upstream:
        await filled(tmp_path, standin, upstream, clock)
        calls = sum(standin.counters.by_path.values())
        clock.advance(YEAR_S)
        async with world(tmp_path, standin=standin, upstream=upstream, clock=clock, **OFFLINE) as running:
            for demand in ({}, {"Cache_Control": "no-cache"}, {"Cache_Control": "only-if-cached"}):
                reply = await running.get(**demand)
                assert reply.status == 200
                assert reply.is_hit
                assert int(reply.headers["Age"]) == YEAR_S
                assert stale_reason(reply.cache_status) == "stale: offline"
            await running.settled()
        assert sum(standin.counters.by_path.values()) == calls


async def test_what_is_not_stored_is_a_clear_504(tmp_path: Path) -> None:
    """Also for the second request of the same, and with only-if-cached; it names the setting."""
    standin, clock = Standin(), ManualClock()
    async with standin.serve() as upstream:
        await filled(tmp_path, standin, upstream, clock)
        calls = sum(standin.counters.by_path.values())
        async with world(tmp_path, standin=standin, upstream=upstream, clock=clock, **OFFLINE) as running:
            for demand in ({}, {}, {"Cache_Control": "only-if-cached"}):
                reply = await running.get(f"{METRICS}?runId=77&projectName=demo", **demand)
                assert (reply.status, reply.json["code"]) == (504, "offline")
                assert "upstream.offline" in reply.json["detail"]
        assert sum(standin.counters.by_path.values()) == calls


async def test_series_are_computed_however_old(tmp_path: Path) -> None:
    """A query that nobody asked before is computed from what the file knows of the series."""
    standin, clock = Standin(), ManualClock()
    async with standin.serve() as upstream:
        await filled(tmp_path, standin, upstream, clock, series__enabled="true")
        calls = sum(standin.counters.by_path.values())
        clock.advance(YEAR_S)
        async with world(
            tmp_path, standin=standin, upstream=upstream, clock=clock, series__enabled="true", **OFFLINE
        ) as running:
            reply = await running.get(f"{METRICS}?runId=1&projectName=demo&logName=loss&stepMin=100&stepMax=102")
            assert [row["step"] for row in reply.json["metrics"]] == [100, 101, 102]
            assert stale_reason(reply.cache_status) == "series; stale: offline"
            await running.settled()
        assert sum(standin.counters.by_path.values()) == calls


async def test_a_clock_that_is_behind(tmp_path: Path) -> None:
    """The file's answers are from this machine's future: they are served, and stay in the file."""
    standin, clock = Standin(), ManualClock()
    async with standin.serve() as upstream:
        await filled(tmp_path, standin, upstream, clock)
        for _ in range(2):
            earlier = ManualClock(clock.now_s() - YEAR_S)
            async with world(tmp_path, standin=standin, upstream=upstream, clock=earlier, **OFFLINE) as running:
                reply = await running.get()
                assert stale_reason(reply.cache_status) == "stale: offline"


async def test_readiness_says_so(tmp_path: Path) -> None:
    """The proxy is ready, and tells that it is offline."""
    standin, clock = Standin(), ManualClock()
    async with standin.serve() as upstream:
        await filled(tmp_path, standin, upstream, clock)
        async with world(tmp_path, standin=standin, upstream=upstream, clock=clock, **OFFLINE) as running:
            reply = await running.get("/readyz")
            assert (reply.status, reply.body.decode().splitlines()[0]) == (200, "ok")
            assert b"offline: pluto-api is never asked" in reply.body
            state = (await running.get("/readyz?verbose")).json
            assert state["upstream"]["condition"] == "offline"
            assert state["organization_known"]


async def test_several_organizations(tmp_path: Path) -> None:
    """Without a key it isn't guessed whose answers are served; each key has its own, and one that nobody knows has none."""
    standin, clock = Standin(), ManualClock()
    async with standin.serve() as upstream:
        await filled(tmp_path, standin, upstream, clock)
        other = KeySource(value=OTHER_KEY)
        async with world(tmp_path, standin=standin, upstream=upstream, clock=clock, key=other) as running:
            await running.parts.tenancy.settled()
            assert (await running.get()).json == {"metrics": []}
            await running.flushed()
        with pytest.raises(ConfigError, match="several organizations"):
            async with world(tmp_path, standin=standin, upstream=upstream, clock=clock, **OFFLINE):
                pass
        for key, rows in ((None, 2), (other, 0)):
            async with world(
                tmp_path, standin=standin, upstream=upstream, clock=clock, key=key, upstream__offline="true"
            ) as running:
                assert len((await running.get()).json["metrics"]) >= rows
        with pytest.raises(ConfigError, match="doesn't know whose the shared key is"):
            async with world(
                tmp_path,
                standin=standin,
                upstream=upstream,
                clock=clock,
                key=KeySource(value="mlpi_nobody_knows"),
                upstream__offline="true",
            ):
                pass


async def test_another_upstream(tmp_path: Path) -> None:
    """The file has nothing of it: that is told at the start, with what the file has."""
    standin, clock = Standin(), ManualClock()
    async with standin.serve() as upstream:
        await filled(tmp_path, standin, upstream, clock)
        with pytest.raises(ConfigError, match=f"nothing of upstream.url http://127.0.0.1:9, but of '{upstream}'"):
            async with world(tmp_path, standin=standin, upstream="http://127.0.0.1:9", clock=clock, **OFFLINE):
                pass


async def test_a_file_that_can_be_read_later(tmp_path: Path) -> None:
    """A disk at fault at the start doesn't end the proxy: it finds out whose answers to serve once the file can be read."""
    standin, clock = Standin(), ManualClock()
    async with standin.serve() as upstream:
        await filled(tmp_path, standin, upstream, clock)
        folder = tmp_path / "cache"
        kept = folder.rename(tmp_path / "kept")
        folder.write_text("no directory")
        ways = Waits()
        async with world(tmp_path, standin=standin, upstream=upstream, clock=clock, sleep=ways.sleep, **OFFLINE) as running:
            assert (await running.get()).json["code"] == "offline"
            folder.unlink()
            kept.rename(folder)
            clock.advance(120)
            await running.parts.store.disk.flush()
            await ways.over(running)
            assert (await running.get()).is_hit


async def test_a_token_limited_to_projects(tmp_path: Path) -> None:
    """It sees the runs of its project that are stored; of others it learns nothing but that only pluto-api could tell."""
    standin, clock = Standin(), ManualClock()
    async with standin.serve() as upstream:
        await filled(tmp_path, standin, upstream, clock)
        clock.advance(YEAR_S)
        path = tmp_path / "tokens.json"
        write(path, token("ours", projects=["demo"]), token("another", projects=["another"]))
        async with world(
            tmp_path, standin=standin, upstream=upstream, clock=clock, access__tokens_file=path, **OFFLINE
        ) as running:
            theirs, others = (bearer(f"{BEARER_PREFIX}{name}") for name in ("ours", "another"))
            assert (await running.get(DETAILS, **theirs)).is_hit
            stored, unknown = [await running.get(target, **others) for target in (DETAILS, "/api/runs/details/999")]
            assert (stored.status, stored.json["code"]) == (unknown.status, unknown.json["code"]) == (504, "offline")


async def test_whose_the_data_is(tmp_path: Path) -> None:
    """What pluto-api would say of the key is said by the file, without a wait."""
    standin, clock = Standin(), ManualClock()
    async with standin.serve() as upstream:
        await filled(tmp_path, standin, upstream, clock)
        async with world(tmp_path, standin=standin, upstream=upstream, clock=clock, **OFFLINE) as running:
            reply = await running.get("/api/runs/auth/validate")
            assert reply.json["organization"] == {"id": "org_demo", "slug": ""}


async def test_a_file_that_knows_only_a_key(tmp_path: Path) -> None:
    """pluto-api never told whose it was: what was stored for that key is served, with the key and without one."""
    standin, clock = Standin(), ManualClock()
    standin.faults.add(Fault(kind=FaultKind.STATUS, status=500, path="/api/runs/auth/validate", times=None))
    async with standin.serve() as upstream:
        async with world(tmp_path, standin=standin, upstream=upstream, clock=clock) as running:
            assert (await running.get()).status == 200
            await running.flushed()
        for keyless in (True, False):
            async with world(
                tmp_path, standin=standin, upstream=upstream, clock=clock, upstream__offline="true", keyless=keyless
            ) as running:
                assert (await running.get()).is_hit
                assert not (await running.get("/readyz?verbose")).json["organization_known"]
