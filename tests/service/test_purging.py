"""Purging: by whom, of what, hard and soft, in every layer, and while requests are under way."""

import asyncio
import gzip
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from proxy.clock import SystemClock
from tests.store.support import backlog, writer
from tests.support.oracle_upstream import row
from tests.support.tokens import ALL, JSON, ROOT, TEAM, bearer, guarded, purge
from tests.support.world import METRICS, ManualClock, Reply, World, served, world

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

LOSS = f"{METRICS}?runId=1&projectName=p&logName=loss"
PURGES: list[dict[str, object]] = [
    {"project": "p"},
    {"run": 1},
    {"metric": "loss"},
    {"run": "1.0", "metric": "loss", "project": "p"},
    {"everything": True},
]
OTHERS: list[dict[str, object]] = [{"project": "q"}, {"run": 2}, {"metric": "acc"}, {"run": 1, "project": "q"}]


class Versions:
    """An upstream whose rows all say which version they are of, as it was when they were asked for."""

    def __init__(self) -> None:
        self.url: str | None = None
        self.version = 1
        self.calls = 0
        self.failing = False
        self.delay_s = 0.0
        self.gate: asyncio.Event | None = None
        self.came = asyncio.Event()

    async def answer(self, request: web.Request) -> web.Response:
        if not request.path.startswith(METRICS):
            return web.json_response({"error": "not found"}, status=404)
        self.calls += 1
        self.came.set()
        name, first = request.query.get("logName"), int(request.query.get("stepMin", "0"))
        names = ["acc", "loss"] if name is None else [name]
        texts = [row(name, step, value=self.version).text for name in names for step in range(first, 20)]
        if self.gate is not None:
            await self.gate.wait()
        await asyncio.sleep(self.delay_s)
        if self.failing:
            return web.json_response({"error": "no"}, status=500)
        return web.Response(text='{"metrics":[' + ",".join(texts) + "]}", content_type="application/json")


@asynccontextmanager
async def versioned(folder: Path, upstream: Versions, **settings: Any) -> AsyncIterator[World]:
    """A proxy in front of it; it keeps its address, and so what is stored, where it is started again."""
    async with AsyncExitStack() as stack:
        if upstream.url is None:
            stack.callback(setattr, upstream, "url", None)
            upstream.url = await stack.enter_async_context(served(upstream.answer))
        yield await stack.enter_async_context(world(folder, upstream=upstream.url, **settings))


def versions(reply: Reply) -> set[int]:
    assert reply.status == 200, reply.body
    return {int(one["value"]) for one in reply.json["metrics"]}


UNPACKED = {"gzip": gzip.decompress, "zstd": zstd.decompress}
SERIES = pytest.mark.parametrize("series", [False, True])


@SERIES
@pytest.mark.parametrize("memory", [2**28, 0])
@pytest.mark.parametrize("what", PURGES)
async def test_gone_from_memory_disk_and_after_a_restart(
    tmp_path: Path, what: dict[str, object], memory: int, series: bool
) -> None:
    """What was purged isn't there any more: not in memory, nor on disk, nor in series, nor the fast way, nor tomorrow."""
    upstream, clock = Versions(), ManualClock()
    settings = {"series__enabled": series, "cache__memory_bytes": memory, "freshness__running_s": 1000}
    async with served(upstream.answer) as upstream.url:
        async with versioned(tmp_path, upstream, clock=clock, **settings) as running:
            for _ in range(3):
                assert versions(await running.get(LOSS)) == {1}
            await running.get(f"{LOSS}&limit=7")
            await running.flushed()
            clock.advance(1)
            upstream.version = 2
            with capture_logs() as logs:
                reply = await purge(running, what)
            assert reply.json["on_disk"] is True
            assert [(line["by"], line["mode"]) for line in logs if line["event"] == "cache.purged"] == [("loopback", "hard")]
            clock.advance(1)
            if memory == 0:
                upstream.failing = True
                assert (await running.get(LOSS)).status == 502
                return
        async with versioned(tmp_path, upstream, clock=clock, **settings) as running:
            reply = await running.get(LOSS, Cache_Control="only-if-cached")
            assert reply.status == 504
            assert versions(await running.get(LOSS)) == {2}
            assert versions(await running.get(f"{LOSS}&limit=7")) == {2}


@SERIES
@pytest.mark.parametrize("what", OTHERS)
async def test_what_is_about_something_else_stays(tmp_path: Path, what: dict[str, object], series: bool) -> None:
    """Other projects, runs and metrics are left alone."""
    upstream = Versions()
    async with versioned(tmp_path, upstream, series__enabled=series) as running:
        await running.get(LOSS)
        await running.flushed()
        running.advance(1)
        calls = upstream.calls
        await purge(running, what)
        assert (await running.get(LOSS)).is_hit
        assert upstream.calls == calls


@pytest.mark.parametrize("restarted", [False, True])
async def test_soft_is_for_when_the_upstream_fails(tmp_path: Path, restarted: bool) -> None:
    """Asked again though it was fresh; handed out, as stale, where the upstream fails; in memory and on disk."""
    upstream, clock = Versions(), ManualClock()
    settings = {"freshness__running_s": 1000, "freshness__negative_s": 0.1}
    async with served(upstream.answer) as upstream.url:
        async with versioned(tmp_path, upstream, clock=clock, **settings) as running:
            await running.get(LOSS)
            await running.flushed()
            clock.advance(1)
            assert (await purge(running, {"run": 1, "mode": "soft"})).json["mode"] == "soft"
            await running.flushed()
            if not restarted:
                await _softly(running, upstream)
        if restarted:
            async with versioned(tmp_path, upstream, clock=clock, **settings) as running:
                await _softly(running, upstream)


async def _softly(running: World, upstream: Versions) -> None:
    upstream.failing = True
    for _ in range(2):
        reply = await running.get(LOSS)
        assert versions(reply) == {1}
        assert "stale" in reply.cache_status
    running.advance(1)
    upstream.failing, upstream.version = False, 2
    assert versions(await running.get(LOSS)) == {2}
    assert (await running.get(LOSS)).is_hit


@SERIES
@pytest.mark.parametrize("mode", ["hard", "soft"])
@pytest.mark.parametrize("what", PURGES)
async def test_a_flight_under_way(tmp_path: Path, what: dict[str, object], mode: str, series: bool) -> None:
    """What it brings is neither kept nor handed out, not even to those who waited; whoever comes after doesn't join it."""
    upstream, clock = Versions(), ManualClock()
    upstream.gate = asyncio.Event()
    async with served(upstream.answer) as upstream.url:
        async with versioned(tmp_path, upstream, clock=clock, series__enabled=series) as running:
            before = [asyncio.create_task(running.get(LOSS)) for _ in range(5)]
            async with asyncio.timeout(10):
                await upstream.came.wait()
            await running.arrived(5)
            clock.advance(1)
            upstream.version = 2
            old, upstream.gate = upstream.gate, None
            await purge(running, {**what, "mode": mode})
            clock.advance(1)
            assert versions(await running.get(LOSS)) == {2}
            old.set()
            for reply in await asyncio.gather(*before):
                assert versions(reply) == {2}
            await running.settled()
            await running.flushed()
            assert versions(await running.get(LOSS)) == {2}
        async with versioned(tmp_path, upstream, clock=clock, series__enabled=series) as running:
            assert versions(await running.get(LOSS)) == {2}


@SERIES
@pytest.mark.parametrize("memory", [2**28, 20_000])
@pytest.mark.parametrize("what", PURGES)
async def test_under_load(tmp_path: Path, what: dict[str, object], memory: int, series: bool) -> None:
    """Clients go on asking, the upstream takes its time: once a purge was answered nobody gets what was there before."""
    upstream = Versions()
    settings = {"series__enabled": series, "cache__memory_bytes": memory, "system_clock": SystemClock()}
    async with versioned(tmp_path, upstream, freshness__running_s=0.02, freshness__stale_wait_s=0.01, **settings) as running:
        upstream.delay_s = 0.005
        least, ended, answers = 1, False, 0

        async def client(number: int) -> None:
            nonlocal answers
            panel = f"{LOSS}&limit={10 + number % 5}" if number % 3 else f"{LOSS}&stepMin={number}"
            while not ended:
                since = least
                found = versions(await running.get(panel))
                assert min(found) >= since, (panel, found, since)
                answers += 1

        clients = [asyncio.create_task(client(number)) for number in range(12)]
        for _ in range(8):
            await asyncio.sleep(0.04)
            upstream.version += 1
            await purge(running, what)
            least = upstream.version
        await asyncio.sleep(0.04)
        ended = True
        await asyncio.gather(*clients)
        assert answers > 50


@SERIES
@pytest.mark.parametrize("memory", [2**28, 20_000, 0])
async def test_under_load_in_every_form(tmp_path: Path, memory: int, series: bool) -> None:
    """Neither compressed, which takes its time, nor as a 304 to the tag of what was there before."""
    upstream = Versions()
    settings = {"series__enabled": series, "cache__memory_bytes": memory, "system_clock": SystemClock()}
    async with versioned(tmp_path, upstream, freshness__running_s=0.05, freshness__stale_wait_s=0.01, **settings) as running:
        upstream.delay_s = 0.003
        least, ended, kept = 1, False, 0

        async def client(coding: str, panel: str) -> None:
            nonlocal kept
            tag, found = "", {1}
            while not ended:
                since = least
                reply = await running.get(panel, Accept_Encoding=f"{coding};q=1, identity;q=0", If_None_Match=tag)
                if reply.status == 304:
                    kept += 1
                else:
                    tag, found = reply.headers["ETag"], versions(replace(reply, body=UNPACKED[coding](reply.body)))
                assert min(found) >= since

        panels = (LOSS, f"{LOSS}&limit=9", f"{LOSS}&stepMin=3", f"{METRICS}?runId=1&projectName=p")
        clients = [asyncio.create_task(client(coding, panel)) for coding in UNPACKED for panel in panels]
        for number in range(8):
            await asyncio.sleep(0.04)
            upstream.version += 1
            await purge(running, PURGES[number % len(PURGES)])
            least = upstream.version
        await asyncio.sleep(0.04)
        ended = True
        await asyncio.gather(*clients)
        assert kept > 10


async def test_what_is_wrong_is_told(tmp_path: Path) -> None:
    """Nothing is purged by mistake: what isn't understood is refused, and everything must be said."""
    async with world(tmp_path) as running:
        wrong: list[dict[str, object]] = [
            {},
            {"everything": True, "run": 1},
            {"everything": "yes"},
            {"run": "x"},
            {"run": True},
            {"run": [1]},
            {"project": ""},
            {"project": "p" * 2000},
            {"metric": "half \ud83d"},
            {"metric": "NUL \0"},
            {"mode": "soft"},
            {"run": 1, "mode": "medium"},
            {"run": 1, "mode": []},
            {"runs": 1},
        ]
        for what in wrong:
            reply = await purge(running, what, status=400)
            assert reply.json["code"] == "bad-query", what
        for headers in ({}, {"Content-Type": "text/plain"}, {"Content-Type": "application/x-www-form-urlencoded"}):
            async with running.session.post(
                f"{running.url}/admin/purge?run=1", data=b"{}", headers=headers, skip_auto_headers=["Content-Type"]
            ) as response:
                assert response.status == 415
        for body in (b"[]", b"{", b"\xff", b"[" * 60_000, b" " * 70_000):
            async with running.session.post(f"{running.url}/admin/purge?run=1", data=body, headers=JSON) as response:
                assert response.status == 400
        for method, path, status, allow in (
            ("GET", "/admin/purge?run=1", 405, "POST"),
            ("POST", "/admin/state", 405, "GET, HEAD"),
            ("GET", "/admin/nothing", 404, None),
            ("GET", "/admin", 404, None),
        ):
            reply = await running.get(path, method=method)
            assert (reply.status, reply.headers.get("Allow")) == (status, allow)
        assert running.parts.purging.purges.count == 0
        async with running.session.post(f"{running.url}/admin/purge?run=1&mode=soft", headers=JSON) as response:
            assert (await response.json())["purged"] == {"run": "1"}
        async with running.session.post(f"{running.url}/admin/purge?run=1", data=b'{"run": 2}', headers=JSON) as response:
            assert response.status == 400


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://grafana.example.com"},
        {"Origin": "null"},
        {"Sec_Fetch_Site": "cross-site"},
        {"X_Forwarded_For": "127.0.0.1"},
        {"Forwarded": "for=127.0.0.1"},
    ],
)
async def test_no_other_page_and_no_other_machine(tmp_path: Path, headers: dict[str, str]) -> None:
    """Pages of other origins, listed ones too, and whoever was forwarded by nobody knows whom are refused, without CORS."""
    async with world(tmp_path, server__cors_origins="https://grafana.example.com") as running:
        for reply in (await purge(running, {"run": 1}, status=403, **headers), await running.get("/admin/state", **headers)):
            assert reply.status == 403
            assert "Access-Control-Allow-Origin" not in reply.headers
        preflight = await running.get(
            "/admin/purge",
            method="OPTIONS",
            Origin="https://grafana.example.com",
            Access_Control_Request_Method="POST",
        )
        assert preflight.status == 403
        assert "Access-Control-Allow-Origin" not in preflight.headers
        assert (await running.get("/admin/state", Host="evil.example")).status == 421
        assert (await running.get("/admin/state", Origin=running.url)).status == 200


async def test_with_tokens_it_takes_an_admin(tmp_path: Path) -> None:
    """Any other token gets 403, none 401; the log says whose it was."""
    async with guarded(tmp_path) as running:
        for token in (ALL, TEAM):
            assert (await running.get("/admin/state", **bearer(token))).status == 403
            await purge(running, {"everything": True}, status=403, Authorization=bearer(token)["Authorization"])
        await purge(running, {"everything": True}, status=401)
        assert (await running.get("/admin/state")).status == 401
        with capture_logs() as logs:
            await purge(running, {"project": "ours"}, Authorization=bearer(ROOT)["Authorization"])
        assert [line["by"] for line in logs if line["event"] == "cache.purged"] == ["root"]
        state = await running.get("/admin/state", Authorization=bearer(ROOT)["Authorization"])
        assert state.json["purges"] == 1
        assert {"upstream", "store", "series"} <= set(state.json)


async def test_a_file_that_cannot_be_written_is_purged_later(tmp_path: Path) -> None:
    """Nothing of it is read meanwhile; what the file still has is purged once it can be written."""
    upstream = Versions()
    async with versioned(tmp_path, upstream, cache__memory_bytes=0, freshness__running_s=1000) as running:
        await running.get(LOSS)
        await running.flushed()
        running.advance(1)
        disk = running.parts.store.disk
        await writer(disk).execute("PRAGMA query_only = ON")
        assert (await purge(running, {"run": 1})).json["on_disk"] is False
        upstream.failing = True
        assert (await running.get(LOSS)).status == 502
        await writer(disk).execute("PRAGMA query_only = OFF")
        running.advance(120)
        await running.flushed()
        assert not backlog(disk).unpurged
        assert await disk.get(running.parts.tenancy.current().namespace, LOSS) is None
