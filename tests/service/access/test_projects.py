"""What a token sees: its own projects, on every route, whatever the cache holds."""

import asyncio
from pathlib import Path

import pytest

from proxy.core.access.grants import BEARER_PREFIX
from proxy.core.question.routes import ROUTES
from proxy.standin import Fault, FaultKind
from proxy.standin.faults import ANY_PATH
from tests.support.charts import CHARTS
from tests.support.tokens import (
    ALL,
    BY_RUN,
    NAMING,
    OURS,
    ROOT,
    RUNS,
    TEAM,
    THEIRS,
    bearer,
    by_run,
    guarded,
    targets,
    token,
    tokens_file,
    write,
)
from tests.support.world import METRICS


async def test_every_route_for_every_token(tmp_path: Path) -> None:
    """Unlimited tokens see everything, a limited one its own projects, none nothing; on all routes, as miss and as hit."""
    async with guarded(tmp_path) as running:
        assert {route.path.partition("{")[0] for route in ROUTES} == {
            CHARTS,
            *((RUNS + target.partition("?")[0]).partition("{")[0] for target in [*NAMING, *BY_RUN, "projects"]),
        }
        for _ in range(3):
            for target in [*targets(OURS, "ours"), *by_run(OURS)]:
                for name in (ALL, ROOT, TEAM):
                    reply = await running.get(target, **bearer(name))
                    assert reply.status == 200, target
                    assert "Authorization" in reply.headers["Vary"]
                assert (await running.get(target)).status == 401
            for target in [*targets(THEIRS, "theirs"), *by_run(THEIRS)]:
                for name in (ALL, ROOT):
                    assert (await running.get(target, **bearer(name))).status == 200, target
                reply = await running.get(target, **bearer(TEAM))
                assert (reply.status, reply.json["code"]) == (404, "not-found"), target
                assert "Cache-Status" not in reply.headers
                assert "ETag" not in reply.headers
                assert (await running.get(target)).status == 401


@pytest.mark.parametrize(
    "target",
    [
        "list",
        "list?konduktorJobPrefix=a",
        "list?projectName=ours&konduktorJobPrefix=a",
        "details/by-display-id/OUR-1",
        "details/by-display-id/OUR-1?projectName=",
        "metrics?runId=1&projectName=ours&beta=1",
    ],
)
async def test_what_limited_tokens_cannot_ask(tmp_path: Path, target: str) -> None:
    """What doesn't keep to one project: refused, saying how to ask; pluto-api isn't asked."""
    async with guarded(tmp_path, upstream__extra_params="beta") as running:
        before = running.standin.counters.total
        reply = await running.get(RUNS + target, **bearer(TEAM))
        assert (reply.status, reply.json["code"]) == (403, "scope-refused")
        assert "projectName" in reply.json["error"]
        assert running.standin.counters.total == before
        assert (await running.get(RUNS + target, **bearer(ALL))).json.get("code") != "scope-refused"


async def test_projects_are_filtered(tmp_path: Path) -> None:
    """Each token its own, with a tag of its own, from one stored answer; compressed where that is asked for."""
    async with guarded(tmp_path) as running:
        target = f"{RUNS}projects"
        for _ in range(3):
            everything = await running.get(target, **bearer(ALL))
            mine = await running.get(target, **bearer(TEAM))
            assert [project["name"] for project in everything.json["projects"]] == ["theirs", "ours"]
            assert [project["name"] for project in mine.json["projects"]] == ["ours"]
            assert mine.headers["ETag"] != everything.headers["ETag"]
            assert mine.is_hit
        tags = everything.headers["ETag"], mine.headers["ETag"]
        for name, statuses in ((ALL, (304, 200)), (TEAM, (200, 304))):
            replies = [await running.get(target, **bearer(name), If_None_Match=tag) for tag in tags]
            assert tuple(reply.status for reply in replies) == statuses
        packed = await running.get(target, **bearer(TEAM), Accept_Encoding="gzip, identity;q=0")
        assert packed.headers["Content-Encoding"] == "gzip"
        assert packed.headers["ETag"] not in tags
        write(tokens_file(running), token("team", projects=["ours"]), token("all"), token("others", projects=["theirs"]))
        running.advance(1)
        theirs = await running.get(target, **bearer(f"{BEARER_PREFIX}others"))
        assert [project["name"] for project in theirs.json["projects"]] == ["theirs"]
        assert running.standin.counters.by_path[target] == 1
        # Another one's project changes nothing about what they have.
        running.standin.catalogue.add(9, project="another of theirs")
        running.advance(31)
        await running.get(target, **bearer(ALL))
        await running.settled()
        assert len((await running.get(target, **bearer(ALL))).json["projects"]) == 3
        assert (await running.get(target, **bearer(TEAM), If_None_Match=tags[1])).status == 304


async def test_a_flight_of_somebody_with_the_right(tmp_path: Path) -> None:
    """Who may not see an answer doesn't get it by asking while another's call for it is under way; who may shares the call."""
    async with guarded(tmp_path) as running:
        gate = asyncio.Event()
        running.standin.faults.add(Fault(kind=FaultKind.HOLD, gate=gate))
        target = targets(THEIRS, "theirs")[0]
        asking = asyncio.create_task(running.get(target, **bearer(ALL)))
        await running.standin.counters.reached(lambda seen: seen.by_path[METRICS] == 1)
        sharing = asyncio.create_task(running.get(target, **bearer(ROOT)))
        assert (await running.get(target, **bearer(TEAM))).status == 404
        gate.set()
        assert [(await reply).status for reply in (asking, sharing)] == [200, 200]
        assert running.metrics_calls == 1
        assert (await running.get(target, **bearer(TEAM))).status == 404


@pytest.mark.parametrize("lost", [False, True])
async def test_stale_answers(tmp_path: Path, lost: bool) -> None:
    """What pluto-api's failing keeps alive is for those who may see it: by name and by run, in memory and from the disk."""
    async with guarded(tmp_path) as running:
        for target in [targets(OURS, "ours")[0], *by_run(OURS), targets(THEIRS, "theirs")[0], *by_run(THEIRS)]:
            assert (await running.get(target, **bearer(ALL))).status == 200
        await running.flushed()
        running.standin.faults.add(Fault(kind=FaultKind.STATUS, path=ANY_PATH, times=None))
        if lost:
            await running.parts.store.memory.aclose()
        running.advance(100)
        for target in [targets(OURS, "ours")[0], *by_run(OURS)]:
            reply = await running.get(target, **bearer(TEAM))
            assert (reply.status, "stale" in reply.cache_status) == (200, True), target
        assert (await running.get(targets(THEIRS, "theirs")[0], **bearer(TEAM))).status == 404
        for target in by_run(THEIRS):
            assert (await running.get(target, **bearer(TEAM))).status == 502
        assert (await running.get(by_run(THEIRS)[0], **bearer(ALL))).status == 200


async def test_hits_are_apart_by_what_may_be_seen(tmp_path: Path) -> None:
    """The fast path serves tokens that see the same alike, and never one by what another may see."""
    path = tmp_path / "access" / "tokens.json"
    write(path, token("a", projects=["ours"]), token("b", projects=["ours"]), token("c", projects=["empty"]), token("all"))
    async with guarded(tmp_path) as running:
        target = targets(OURS, "ours")[0]
        for name in ("a", "b", "a", "b"):
            assert (await running.get(target, **bearer(BEARER_PREFIX + name))).status == 200
        assert running.parts.web.leases.count == 1
        assert (await running.get(target, **bearer(f"{BEARER_PREFIX}c"))).status == 404
        assert (await running.get(target, **bearer(ALL))).status == 200
        assert running.parts.web.leases.count == 2
        assert BEARER_PREFIX not in repr(list(running.parts.web.leases._table.leases))
