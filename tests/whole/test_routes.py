"""The table of routes: one row is all that a further route takes, and each row's rules hold in the running proxy."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web

from proxy.core.question.parameters import Parameter, Text, WholeNumber
from proxy.core.question.route import Route
from proxy.core.question.routes import FILES, LIST, ROUTES
from tests.support.world import World, served, world


def anything(body: bytes) -> None:
    msgspec.json.decode(body, type=dict)


NEW = Route(
    name="sweeps",
    path="/api/runs/sweeps/{sweepId}",
    segment=Parameter(name="sweepId", kind=WholeNumber(minimum=0)),
    summary="A row that is not in the table",
    parameters=(Parameter(name="projectName", kind=Text(empty_is_unset=False), required=True),),
    check=anything,
    fresh_s=40.0,
)


@dataclass
class Origin:
    """An upstream that answers every path, and counts."""

    asked: list[str] = field(default_factory=list)
    status: int = 200
    gate: asyncio.Event | None = None
    answer: Callable[[int], object] = lambda number: {"number": number}

    async def handle(self, request: web.Request) -> web.Response:
        if request.path.endswith("/auth/validate"):
            return web.json_response({"valid": True, "organization": {"id": "o", "slug": "o"}, "user": {"id": "u"}})
        self.asked.append(request.raw_path)
        if self.gate is not None:
            await self.gate.wait()
        headers = {"Access-Control-Allow-Origin": "*"}
        return web.json_response(self.answer(len(self.asked)), status=self.status, headers=headers)

    def serve(self) -> AbstractAsyncContextManager[str]:
        return served(self.handle)


@asynccontextmanager
async def fronted(folder: Path, **settings: Any) -> AsyncIterator[tuple[World, Origin]]:
    origin = Origin()
    async with origin.serve() as url, world(folder, upstream=url, routes=(*ROUTES, NEW), **settings) as running:
        await running.parts.tenancy.settled()
        yield running, origin


async def test_a_row_brings_a_route(tmp_path: Path) -> None:
    """Parsing, caching, validators, the row's lifetime, stale rules, metrics and documentation follow from a row alone."""
    async with fronted(tmp_path) as (running, origin):
        first = await running.get("/api/runs/sweeps/0x7?projectName=p")
        assert first.json == {"number": 1}
        assert origin.asked == ["/api/runs/sweeps/7?projectName=p"]
        running.advance(39)
        again = await running.get("/api/runs/sweeps/%207?projectName=p")
        assert again.is_hit
        assert again.body == first.body
        assert "Access-Control-Allow-Origin" not in again.headers
        assert (await running.get("/api/runs/sweeps/7?projectName=p", If_None_Match=first.headers["ETag"])).status == 304
        running.advance(2)
        assert "revalidating" in (await running.get("/api/runs/sweeps/7?projectName=p")).cache_status
        await running.settled()
        origin.status = 500
        running.advance(100)
        stale = await running.get("/api/runs/sweeps/7?projectName=p")
        assert stale.json == {"number": 2}
        assert "upstream-failed" in stale.cache_status
        assert (await running.get("/api/runs/sweeps/x?projectName=p")).json["faults"][0]["parameter"] == "sweepId"
        assert (await running.get("/api/runs/sweeps/7")).json["faults"][0]["parameter"] == "projectName"
        metrics = (await running.get("/metrics")).body.decode()
        assert 'route="sweeps"' in metrics
        document = (await running.get("/openapi.json")).json
        operation = document["paths"]["/api/runs/sweeps/{sweepId}"]["get"]
        assert [(parameter["name"], parameter["in"], parameter["required"]) for parameter in operation["parameters"]] == [
            ("sweepId", "path", True),
            ("projectName", "query", True),
        ]


async def test_a_row_coalesces(tmp_path: Path) -> None:
    """Whoever asks the same at the same time shares one call."""
    async with fronted(tmp_path) as (running, origin):
        origin.gate = asyncio.Event()
        before = running.parts.web.intake.requests
        asking = [asyncio.create_task(running.get("/api/runs/sweeps/1?projectName=p")) for _ in range(20)]
        await running.arrived(before + 20)
        origin.gate.set()
        assert {(await reply).body for reply in asking} == {b'{"number": 1}'}
        assert len(origin.asked) == 1


async def test_the_document_names_every_row(tmp_path: Path) -> None:
    """`/openapi.json` has all paths of the table and of the proxy itself, and every reference in it leads somewhere."""
    async with world(tmp_path) as running:
        reply = await running.get("/openapi.json")
        assert reply.headers["Content-Type"].startswith("application/json")
        document = reply.json
        # Without tokens nothing is said of them.
        assert "security" not in reply.body.decode().lower()
        own = {
            "/livez",
            "/readyz",
            "/metrics",
            "/openapi.json",
            "/api/runs/auth/validate",
            "/api/health",
            "/view/series",
            "/view/events",
            "/admin/state",
            "/admin/usage",
            "/admin/history",
            "/admin/purge",
        }
        assert set(document["paths"]) == {route.path for route in ROUTES} | own
        for path in document["paths"].values():
            [operation] = path.values()
            for answer in operation["responses"].values():
                if "$ref" in answer:
                    assert answer["$ref"].removeprefix("#/components/responses/") in document["components"]["responses"]
        assert (await running.get("/openapi.json", method="HEAD")).status == 200


def files(number: int) -> object:
    return {"files": [{"fileName": "a.pt", "url": f"https://storage.example.com/a?X-Amz-Signature=s3cr3t{number}"}]}


async def test_presigned_addresses_stay_in_memory(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Answers of `files` reach no disk and no log, and are an hour old at most whatever the settings and the upstream."""
    settings: dict[str, Any] = {"lifetimes__files_s": 86_400, "freshness__stale_if_error_s": 86_400, "log__level": "debug"}
    async with fronted(tmp_path, **settings) as (running, origin):
        origin.answer = files
        target = f"{FILES.path}?runId=1&projectName=p"
        assert b"s3cr3t1" in (await running.get(target)).body
        await running.flushed()
        assert (await running.get(target)).is_hit
        for path in (tmp_path / "cache").iterdir():
            assert b"s3cr3t" not in path.read_bytes()
        running.advance(3599)
        assert (await running.get(target)).is_hit
        origin.status = 500
        running.advance(2)
        assert (await running.get(target)).status == 502
        origin.status = 200
        running.advance(10)
        assert b"s3cr3t3" in (await running.get(target)).body
        # One that isn't of the documented shape isn't shown either.
        running.advance(4000)
        origin.answer = lambda _: {"files": "https://storage.example.com/a?X-Amz-Signature=s3cr3t9"}
        refused = await running.get(target)
        assert (refused.status, refused.json["code"]) == (502, "upstream-bad-answer")
        assert b"s3cr3t" not in refused.body
    written = capfd.readouterr()
    assert "s3cr3t" not in written.out + written.err


@pytest.mark.parametrize(
    "filtered",
    [
        "heartbeatAfter=2026-01-01T00:00:0{}Z",
        'filter={{"heartbeat_at":{{"$gte":"{}"}}}}',
        'filter={{"$and":[{{"status":"RUNNING"}},{{"createdAt":{{"$lt":"{}"}}}}]}}',
        'fieldFilters=[{{"source":"config","key":"a","dataType":"date","operator":"after","values":["{}"]}}]',
    ],
)
async def test_lists_by_date_live_shortly(tmp_path: Path, filtered: str) -> None:
    """What names a moment is fresh for `moving_s` and kept in memory alone; what doesn't is kept as usual."""
    async with fronted(tmp_path) as (running, origin):
        origin.answer = lambda _: {"runs": [], "total": 0}
        target = f"{LIST.path}?projectName=p&" + filtered.format(1)
        target = target.replace('"', "%22").replace("{", "%7B").replace("}", "%7D").replace("[", "%5B").replace("]", "%5D")
        await running.get(target)
        await running.get(f"{LIST.path}?projectName=p")
        running.advance(1.9)
        assert (await running.get(target)).is_hit
        running.advance(0.2)
        assert "revalidating" in (await running.get(target)).cache_status
        assert "ttl=2" in (await running.get(f"{LIST.path}?projectName=p")).cache_status
        await running.settled()
        await running.flushed()
        assert running.parts.store.disk.sizes.entries == 1


async def test_few_questions_about_moments_are_kept(tmp_path: Path) -> None:
    """A client that asks with a new time at every poll cannot crowd out what others ask again and again."""
    async with fronted(tmp_path) as (running, origin):
        origin.answer = lambda _: {"runs": [], "total": 0}
        for number in range(300):
            await running.get(f"{LIST.path}?projectName=p&heartbeatAfter={number}")
        assert running.parts.store.memory.entries == 256
        assert (await running.get(f"{LIST.path}?projectName=p&heartbeatAfter=299")).is_hit
        assert not (await running.get(f"{LIST.path}?projectName=p&heartbeatAfter=0")).is_hit


async def test_other_parameters_on_other_routes(tmp_path: Path) -> None:
    """`extra_params` work on every route, and what no row knows is told there too."""
    async with fronted(tmp_path, upstream__extra_params="beta") as (running, origin):
        origin.answer = lambda _: {"projects": []}
        reply = await running.get("/api/runs/projects?beta=1&alpha=2&_=3")
        assert origin.asked == ["/api/runs/projects?beta=1"]
        assert "ignored unknown parameters: alpha" in reply.cache_status
        assert (await running.get("/api/runs/projects")).json == {"projects": []}
        assert origin.asked[1:] == ["/api/runs/projects"]
