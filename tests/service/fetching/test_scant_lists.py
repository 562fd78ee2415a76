"""Lists that are empty, or shorter than before: there may be more in a moment, so nobody is told for long that there isn't."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from proxy.core.question.routes import ROUTES
from proxy.standin import Standin
from tests.support.live_runs import YEAR_S, import_run
from tests.support.oracle_upstream import OracleUpstream, proxied, series_world, target
from tests.support.world import ManualClock, World, served, world

# running_s and stale_while_revalidate_s.
RUNNING_S = 5
AS_RUNNING_S = 10
# Each list of the read API: how it is asked for, an empty one, and one of its elements.
LISTS: dict[str, tuple[str, dict[str, object], object]] = {
    "list": ("list?projectName=p", {"runs": [], "total": 0}, {"id": 1, "name": "r", "status": "RUNNING"}),
    "projects": ("projects", {"projects": []}, {"name": "p"}),
    "metrics": ("metrics?runId=1&projectName=p", {"metrics": []}, {
        "logName": "a", "logGroup": "", "value": 1, "time": "2026-01-01 00:00:00.000", "step": 1,
    }),
    "metrics_raw": ("metrics/raw?runId=1&projectName=p&logName=a", {"rows": [], "truncated": False}, {
        "step": 1, "time": "2026-01-01 00:00:00.000", "value": 1,
    }),
    "statistics": ("statistics?runId=1&projectName=p", {"metrics": []}, {}),
    "compare": ("compare?runIds=1,2&projectName=p&logName=a", {"runs": []}, {}),
    "leaderboard": ("leaderboard?projectName=p&logName=a", {"runs": []}, {}),
    "metric_names": ("metric-names?projectName=p", {"metricNames": []}, "a"),
    "logs": ("logs?runId=1&projectName=p", {"logs": [], "total": 0}, {}),
    "files": ("files?runId=1&projectName=p", {"files": []}, {}),
    "status_history": ("status/history?runId=1", {"runId": 1, "events": []}, {}),
}  # fmt: skip
LONG_S = 100.0


@dataclass
class Lister:
    """An upstream that answers every question with a list of so many elements."""

    name: str
    elements: int = 0
    asked: int = 0
    more: dict[str, object] = field(default_factory=dict)

    async def handle(self, request: web.Request) -> web.Response:
        if request.path.endswith("/auth/validate"):
            return web.json_response({"valid": True, "organization": {"id": "o", "slug": "o"}, "user": {"id": "u"}})
        self.asked += 1
        # As the upstream writes it: large answers are cut where rows end.
        return web.json_response(self.body, dumps=partial(json.dumps, separators=(",", ":")))

    @property
    def body(self) -> dict[str, object]:
        _, empty, element = LISTS[self.name]
        return {name: [element] * self.elements if value == [] else value for name, value in empty.items()} | self.more


@asynccontextmanager
async def patient(folder: Path, url: str, clock: ManualClock | None = None) -> AsyncIterator[World]:
    """Run a proxy whose answers live long, all of them."""
    lifetimes: dict[str, Any] = {f"lifetimes__{route.name}_s": LONG_S for route in ROUTES}
    async with world(folder, upstream=url, clock=clock, **lifetimes) as running:
        await running.parts.tenancy.settled()
        yield running


@asynccontextmanager
async def listing(folder: Path, lister: Lister) -> AsyncIterator[World]:
    async with served(lister.handle) as url, patient(folder, url) as running:
        yield running


async def lives_s(running: World, lister: Lister) -> int:
    """Tell for how many seconds an answer that is asked for now is handed out without asking."""
    path = f"/api/runs/{LISTS[lister.name][0]}"
    running.advance(LONG_S + AS_RUNNING_S)
    await running.get(path)
    await running.settled()
    asked, waited_s = lister.asked, 0
    while (reply := await running.get(path)).is_hit and "stale" not in reply.cache_status:
        assert reply.json == lister.body
        running.advance(1)
        waited_s += 1
    await running.settled()
    assert lister.asked == asked + 1
    return waited_s


def test_every_list_is_tried() -> None:
    """Two routes answer with a run, and one with series by name (`tests.whole.test_chart_data`); all others with a list."""
    assert {route.name for route in ROUTES} - set(LISTS) == {"details", "details_by_display_id", "chart_data"}
    for route in ROUTES:
        if route.name in LISTS:
            assert [route.check(lister_body(route.name, count)) for count in (0, 1, 3)] == [0, 1, 3]


def lister_body(name: str, elements: int) -> bytes:
    body = web.json_response(Lister(name, elements).body).body
    assert isinstance(body, bytes)
    return body


@pytest.mark.parametrize("name", LISTS)
async def test_an_empty_list(tmp_path: Path, name: str) -> None:
    """It lives as a running run's, however often it comes again; one with something in it as its route says."""
    lister = Lister(name)
    async with listing(tmp_path, lister) as running:
        assert await lives_s(running, lister) == RUNNING_S
        assert await lives_s(running, lister) == RUNNING_S
        lister.elements = 2
        assert await lives_s(running, lister) == LONG_S
        lister.elements = 0
        assert await lives_s(running, lister) == RUNNING_S


@pytest.mark.parametrize("name", LISTS)
async def test_a_list_that_is_shorter_than_before(tmp_path: Path, name: str) -> None:
    """It lives as a running run's; asked for again and no shorter than that, as its route says."""
    lister = Lister(name, elements=3)
    async with listing(tmp_path, lister) as running:
        assert await lives_s(running, lister) == LONG_S
        lister.elements = 2
        assert await lives_s(running, lister) == RUNNING_S
        assert await lives_s(running, lister) == LONG_S
        lister.elements = 4
        assert await lives_s(running, lister) == LONG_S


@pytest.mark.parametrize("name", sorted(set(LISTS) - {"files"}))  # which are kept in memory alone
async def test_after_a_restart(tmp_path: Path, name: str) -> None:
    """What was stored is known to be scant, and how long it was to compare with."""
    clock, lister = ManualClock(), Lister(name)
    path = f"/api/runs/{LISTS[name][0]}"
    async with served(lister.handle) as url:
        for elements, expected_s in ((0, RUNNING_S), (3, LONG_S), (2, RUNNING_S)):
            lister.elements = elements
            async with patient(tmp_path, url, clock) as running:
                running.advance(LONG_S + AS_RUNNING_S)
                await running.get(path)
                await running.settled()
                await running.flushed()
            async with patient(tmp_path, url, clock) as running:
                asked = lister.asked
                running.advance(expected_s - 1)
                await running.get(path)
                assert lister.asked == asked
                running.advance(1.1)
                await running.get(path)
                await running.settled()
                assert lister.asked == asked + 1


async def test_large_lists_are_counted(tmp_path: Path) -> None:
    """Those that are read piece by piece as well, and those that can't be cut."""
    for length in (1, 2_000, 2**21):
        lister = Lister("metrics_raw", elements=20_000, more={"more": "x" * length})
        async with listing(tmp_path / str(length), lister) as running:
            assert await lives_s(running, lister) == LONG_S
            lister.elements = 19_999
            assert await lives_s(running, lister) == RUNNING_S


async def test_a_large_list_that_grows(tmp_path: Path) -> None:
    """Wherever it is cut, all of it counts."""
    lister = Lister("metrics_raw")
    path = f"/api/runs/{LISTS['metrics_raw'][0]}"
    async with listing(tmp_path, lister) as running:
        for elements in range(12_000, 15_000, 400):
            lister.elements = elements
            running.advance(LONG_S + AS_RUNNING_S)
            assert "ttl=100" in (await running.get(path)).cache_status


async def test_a_file_that_was_just_written(tmp_path: Path) -> None:
    """Whoever polls for it, as the client's own tests do for a minute, sees it as soon as a running run's rows."""
    clock = ManualClock()
    standin = Standin(clock=clock.now_s)
    async with world(tmp_path, standin=standin, clock=clock) as running:
        polled, waited_s = "/api/runs/files?runId=1&projectName=demo&logName=predictions", 0
        for _ in range(7):
            assert (await running.get(polled)).json == {"files": []}
            running.advance(1)
        run = standin.catalogue.find("org_demo", 1)
        assert run is not None
        standin.storage.put(replace(standin.storage.files(run)[0], log_name="predictions"))
        while not (await running.get(polled)).json["files"]:
            running.advance(1)
            await running.settled()
            waited_s += 1
        assert waited_s <= AS_RUNNING_S


async def test_metrics_that_a_run_which_ended_does_not_have(tmp_path: Path) -> None:
    """Nobody is told for longer than five minutes that there are none; an empty window of a metric that is there is another."""
    async with series_world(tmp_path) as (running, upstream):
        upstream.log("loss", range(100), ago_s=YEAR_S)
        import_run(upstream)
        panels = ("logName=none", "logName=loss", "logName=loss&stepMin=1000")
        asked: list[int] = []
        for hours in range(3):
            asked = []
            for raw in panels:
                before = upstream.metrics_calls
                for _ in range(240):
                    running.advance(15)
                    await running.get(target(raw))
                    await running.settled()
                asked.append(upstream.metrics_calls - before)
            assert hours < 2 or (10 <= asked[0] <= 14 and max(asked[1:]) <= 2)


async def test_metrics_of_a_run_that_was_imported_without_any(tmp_path: Path) -> None:
    """It says that it ended a year ago, and its first rows come an hour later."""
    upstream = OracleUpstream(clock=ManualClock())
    async with upstream.serve() as url, proxied(tmp_path, upstream, url) as running:
        import_run(upstream)
        for _ in range(240):
            running.advance(15)
            await running.get(target("logName=loss"))
            await running.settled()
        upstream.log("loss", range(100))
        waited_s = 0.0
        while not (await running.get(target("logName=loss"))).json["metrics"]:
            running.advance(5)
            await running.settled()
            waited_s += 5
        assert waited_s <= 300 + AS_RUNNING_S
