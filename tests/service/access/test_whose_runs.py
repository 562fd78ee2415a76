"""Whose a run is: it is found out with few calls, remembered for a while, and asked again."""

import asyncio
from pathlib import Path

import pytest
from aiohttp import web

from proxy.core.access.grants import BEARER_PREFIX
from proxy.standin import Fault, FaultKind
from proxy.standin.faults import ANY_PATH
from tests.support.tokens import ALL, OURS, ROOT, RUNS, TEAM, THEIRS, bearer, by_run, guarded, purge, token, tokens_file, write
from tests.support.world import served


async def test_what_is_known_of_a_run_spares_calls(tmp_path: Path) -> None:
    """Polling what is about a run costs no more calls with a limited token; a run that isn't theirs one in negative_s."""
    async with guarded(tmp_path) as running:
        details = f"{RUNS}details/{{}}"
        history = f"{RUNS}status/history?runId={{}}"
        for _ in range(20):
            assert (await running.get(history.format(OURS), **bearer(TEAM))).status == 200
            running.advance(1)
        await running.settled()
        assert running.standin.counters.by_path[details.format(OURS)] == 1
        for _ in range(10):
            assert (await running.get(history.format(THEIRS), **bearer(TEAM))).status == 404
            running.advance(1)
        assert running.standin.counters.by_path[details.format(THEIRS)] == 2


async def test_a_run_that_moves(tmp_path: Path) -> None:
    """As far as anybody knows none does. Should one, its details are judged by what they say, and the rest follows by that."""
    async with guarded(tmp_path) as running:
        history = f"{RUNS}status/history?runId={OURS}"
        for target in (by_run(OURS)[0], *[history] * 4):
            assert (await running.get(target, **bearer(TEAM))).status == 200
        run = running.standin.catalogue.find("org_demo", OURS)
        assert run is not None
        run.project = "theirs"
        running.advance(6)
        assert (await running.get(by_run(OURS)[0], **bearer(TEAM), Cache_Control="no-cache")).status == 404
        # Fresh as it is, and a hit before.
        assert (await running.get(history, **bearer(TEAM))).status == 404
        running.advance(14)
        for target in (by_run(OURS)[0], history):
            assert (await running.get(target, **bearer(TEAM))).status == 404
        run.project = "ours"
        running.advance(20)
        for target in (by_run(OURS)[0], history):
            assert (await running.get(target, **bearer(TEAM))).status == 200


@pytest.mark.parametrize("fails", [False, True])
async def test_whose_a_run_is_is_asked_again(tmp_path: Path, fails: bool) -> None:
    """After an hour or two, unless its details are asked for; where pluto-api cannot say, what is stored stays theirs."""
    async with guarded(tmp_path, freshness__stale_if_error_s=86_400) as running:
        history = f"{RUNS}status/history?runId={OURS}"
        assert (await running.get(history, **bearer(TEAM))).status == 200
        run = running.standin.catalogue.find("org_demo", OURS)
        assert run is not None
        run.project = "theirs"
        if fails:
            running.standin.faults.add(Fault(kind=FaultKind.STATUS, path=ANY_PATH, times=None))
        running.advance(3601)
        assert (await running.get(history, **bearer(TEAM))).status == (200 if fails else 404)


async def test_a_display_id_that_leads_elsewhere(tmp_path: Path) -> None:
    """Were pluto-api to stop looking at projectName, the answer itself would be held against the token."""

    async def handle(request: web.Request) -> web.Response:
        if request.path.endswith("/auth/validate"):
            return web.json_response({"valid": True, "organization": {"id": "o", "slug": "o"}, "user": {"id": "u"}})
        if request.path.endswith("A-2"):
            return web.json_response({"error": "ambiguous: ours, theirs"}, status=409)
        if request.path.endswith("A-3"):
            return web.json_response({"error": "Invalid display ID format"}, status=400)
        return web.json_response({"id": 2, "name": "r", "status": "RUNNING", "projectName": "theirs", "logNames": []})

    async with served(handle) as url, guarded(tmp_path, upstream=url) as running:
        for name, everybody, team in (("A-1", 200, 404), ("A-2", 409, 404), ("A-3", 400, 400)):
            target = f"{RUNS}details/by-display-id/{name}?projectName=ours"
            for _ in range(3):
                assert (await running.get(target, **bearer(ALL))).status == everybody
                reply = await running.get(target, **bearer(TEAM))
                assert reply.status == team
                assert b"theirs" not in reply.body


async def test_a_run_that_begins(tmp_path: Path) -> None:
    """A run that wasn't there is found once it is, after `negative_s` at most."""
    async with guarded(tmp_path) as running:
        write(tokens_file(running), token("team", projects=["ours"]), token("others", projects=["ours", "theirs"]))
        running.advance(1)
        assert (await running.get(f"{RUNS}details/5", **bearer(TEAM))).status == 404
        running.standin.catalogue.add(5, project="ours")
        # What was told to one says nothing to another.
        assert (await running.get(f"{RUNS}details/5", **bearer(f"{BEARER_PREFIX}others"))).status == 200
        running.advance(5)
        assert (await running.get(f"{RUNS}details/5", **bearer(TEAM))).status == 200


async def test_a_reload_of_something_else(tmp_path: Path) -> None:
    """It is remembered that a run isn't theirs for as long as that there is no such run, which takes no call either."""
    async with guarded(tmp_path) as running:
        for run in (THEIRS, 5):
            assert (await running.get(f"{RUNS}details/{run}", **bearer(TEAM))).status == 404
        calls = sum(running.standin.counters.by_path.values())
        running.parts.settings.switch(running.parts.settings.now)
        for run in (THEIRS, 5):
            assert (await running.get(f"{RUNS}details/{run}", **bearer(TEAM))).status == 404
        assert sum(running.standin.counters.by_path.values()) == calls


async def test_whose_a_run_is_said_before_a_purge(tmp_path: Path) -> None:
    """A run was moved and purged while it was being asked about: the answer of before is neither believed nor remembered."""
    async with guarded(tmp_path) as running:
        gate = asyncio.Event()
        running.standin.faults.add(Fault(kind=FaultKind.HOLD, gate=gate, late=True, path=by_run(OURS)[0]))
        history = f"{RUNS}status/history?runId={OURS}"
        asking = asyncio.create_task(running.get(history, **bearer(TEAM)))
        await running.standin.counters.reached(lambda seen: seen.by_path[by_run(OURS)[0]] == 1)
        run = running.standin.catalogue.find("org_demo", OURS)
        assert run is not None
        run.project = "theirs"
        running.advance(1)
        await purge(running, {"run": OURS}, Authorization=bearer(ROOT)["Authorization"])
        running.advance(1)
        gate.set()
        assert (await asking).status == 404
        running.advance(6)
        assert (await running.get(history, **bearer(TEAM))).status == 404


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("mode", ["hard", "soft"])
async def test_whose_a_run_is_after_a_purge(tmp_path: Path, mode: str, fails: bool) -> None:
    """It is found out again, softly purged or not; where pluto-api fails what was purged softly is good enough."""
    async with guarded(tmp_path) as running:
        history = f"{RUNS}status/history?runId={OURS}"
        for target in (by_run(OURS)[0], history):
            assert (await running.get(target, **bearer(TEAM))).status == 200
        run = running.standin.catalogue.find("org_demo", OURS)
        assert run is not None
        run.project = "theirs"
        running.advance(1)
        await purge(running, {"run": OURS, "mode": mode}, Authorization=bearer(ROOT)["Authorization"])
        running.advance(1)
        if fails:
            running.standin.faults.add(Fault(kind=FaultKind.STATUS, path=ANY_PATH, times=None))
        expected = 404 if not fails else 502 if mode == "hard" else 200
        for _ in range(2):
            assert (await running.get(history, **bearer(TEAM))).status == expected
