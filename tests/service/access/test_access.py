"""Tokens and what they see: through real connections, on every route, and never a word about what is others'."""

import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from aiohttp import web
from structlog.testing import capture_logs
from yarl import URL

from proxy.core.access.grants import PREFIX, digest_of_token
from proxy.core.question.routes import ROUTES
from proxy.errors import ConfigError
from proxy.standin import Fault, FaultKind, Row
from proxy.standin.faults import ANY_PATH
from proxy.store.token_file import edit_tokens
from tests.support.tokens import (
    ALL,
    BY_RUN,
    NAMING,
    OURS,
    ROOT,
    RUNS,
    TEAM,
    THEIRS,
    UNKNOWN,
    ask,
    bearer,
    by_run,
    guarded,
    targets,
    token,
    tokens_file,
    told,
    write,
)
from tests.support.wire import Wire
from tests.support.world import METRICS, served, world


async def test_every_route_for_every_token(tmp_path: Path) -> None:
    """Unlimited tokens see everything, a limited one its own projects, none nothing; on all routes, as miss and as hit."""
    async with guarded(tmp_path) as running:
        assert {route.path.partition("{")[0] for route in ROUTES} == {
            (RUNS + target.partition("?")[0]).partition("{")[0] for target in [*NAMING, *BY_RUN, "projects"]
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


@pytest.mark.parametrize("condition", ["", "If-None-Match", "only-if-cached", "no-cache", "HEAD"])
@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("upstream", ["answers", "fails"])
async def test_foreign_and_unknown_are_the_same(tmp_path: Path, condition: str, stored: bool, upstream: str) -> None:
    """Whatever is stored, whatever is asked for with it, whether pluto-api answers: not a byte of difference."""
    async with guarded(tmp_path) as running:
        if stored:
            for target in [*targets(THEIRS, "theirs"), *by_run(THEIRS)]:
                assert (await running.get(target, **bearer(ALL))).status == 200
        if upstream == "fails":
            running.standin.faults.add(Fault(kind=FaultKind.STATUS, path=ANY_PATH, times=None))
        headers = {
            "If-None-Match": {"If_None_Match": "*"},
            "only-if-cached": {"Cache_Control": "only-if-cached"},
            "no-cache": {"Cache_Control": "no-cache"},
        }.get(condition, {})
        method = "HEAD" if condition == "HEAD" else "GET"
        foreign = [*targets(THEIRS, "theirs"), *by_run(THEIRS)]
        unknown = [*targets(UNKNOWN, "nobody's"), *by_run(UNKNOWN)]
        before = running.standin.counters.total
        for one, other in zip(foreign, unknown, strict=True):
            for _ in range(2):
                replies = [await running.get(target, method=method, **headers, **bearer(TEAM)) for target in (one, other)]
                assert told(replies[0]) == told(replies[1]), one
                failing = upstream == "fails" and one in by_run(THEIRS)
                assert replies[0].status == (502 if failing else 404), one
            running.advance(1)
        # pluto-api was asked about the two runs alone, once about each.
        assert running.standin.counters.total == before + 2
        asked = running.standin.counters.by_path
        assert asked[f"{RUNS}details/{UNKNOWN}"] == asked[f"{RUNS}details/{THEIRS}"] - stored == 1


async def test_a_run_of_theirs_in_a_project_of_ours(tmp_path: Path) -> None:
    """Naming the one and the number of the other brings nothing, as for a run that isn't there; also where it is stored."""
    async with guarded(tmp_path) as running:
        for target in targets(THEIRS, "theirs"):
            await running.get(target, **bearer(ALL))
        for mixed, missing in zip(targets(THEIRS, "ours"), targets(UNKNOWN, "ours"), strict=True):
            replies = [await running.get(target, **bearer(TEAM)) for target in (mixed, missing)]
            if "runId" in mixed:
                assert b'"theirs"' not in replies[0].body
                assert replies[0].status == replies[1].status
                assert replies[0].status == 200 or replies[0].json["code"] == "not-found"
                ids = [reply.body.replace(reply.headers["X-Request-ID"].encode(), b"") for reply in replies]
                assert ids[0].replace(str(THEIRS).encode(), b"") == ids[1].replace(str(UNKNOWN).encode(), b"")


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
        theirs = await running.get(target, **bearer(f"{PREFIX}others"))
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


@pytest.mark.parametrize("stored", [False, True])
async def test_how_series_are_asked_for_tells_nothing(tmp_path: Path, stored: bool) -> None:
    """Of a run's number asked for in a project of theirs: nothing of one in another's."""
    async with guarded(tmp_path, series__enabled="true", series__shadow_s=0, series__max_fetch_rows=10_000) as running:
        standin = running.standin
        names = [f"m{number}" for number in range(6)]
        standin.rows.insert(
            Row(run_id=THEIRS, project="theirs", log_name=f"m{number}", step=1, value=1) for number in range(30)
        )
        question = f"{METRICS}?runId={{}}&projectName={{}}&logName={{}}"
        if stored:
            for name in names:
                await running.get(question.format(THEIRS, "theirs", name), **bearer(ALL))
            await running.get(by_run(THEIRS)[0], **bearer(ALL))
        # Whatever is learned of the project as a whole is learned before.
        for name in names[:2]:
            await running.get(question.format(1, "ours", name), **bearer(TEAM))
        seen = []
        for run in (THEIRS, UNKNOWN):
            before = standin.counters.total
            replies = [await running.get(question.format(run, "ours", name), **bearer(TEAM)) for name in names]
            seen.append([(told(reply), standin.counters.total - before) for reply in replies])
        assert seen[0] == seen[1]


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
        assert (await running.get(f"{RUNS}details/5", **bearer(f"{PREFIX}others"))).status == 200
        running.advance(5)
        assert (await running.get(f"{RUNS}details/5", **bearer(TEAM))).status == 200


async def test_refused_requests(tmp_path: Path) -> None:
    """401 says what to do in the form that every client knows, and repeats nothing of what was sent."""
    async with guarded(tmp_path) as running:
        for sent, given, word in (
            (None, False, "ppt_"),
            ("Bearer ppt_wrong", True, "revoked"),
            ("Bearer mlpi_secret", True, "key of pluto-api"),
            ("Basic wrong", True, "must be one"),
            ("Bearer wrong wrong", True, "must be one"),
        ):
            headers = {} if sent is None else {"Authorization": sent}
            before = running.standin.counters.total
            reply = await running.get(targets(OURS, "ours")[0], **headers)
            assert (reply.status, reply.json["code"]) == (401, "unauthorized")
            assert word in reply.json["error"]
            assert b"wrong" not in reply.body
            assert b"secret" not in reply.body
            assert reply.headers["WWW-Authenticate"].startswith("Bearer ")
            assert ("invalid_token" in reply.headers["WWW-Authenticate"]) is given
            assert reply.headers["Cache-Control"] == "no-store"
            assert running.standin.counters.total == before


async def test_before_anything_else(tmp_path: Path) -> None:
    """Without a token nothing is told but that the process lives: not which paths, parameters and methods there are."""
    async with guarded(tmp_path) as running:
        for target in ("/metrics", "/readyz?verbose", "/readyz?x", "/openapi.json", "/nothing", f"{METRICS}?limit=0", "/"):
            assert (await running.get(target)).status == 401
            assert (await running.get(target, method="POST")).status == 401
            assert (await running.get(target, **bearer(TEAM))).status != 401
        for target in ("/metrics", "/readyz?verbose"):
            # What they count would tell whether a question had an answer.
            assert (await running.get(target, **bearer(TEAM))).json["code"] == "scope-refused"
            assert (await running.get(target, **bearer(ALL))).status == 200
        document = (await running.get("/openapi.json", **bearer(TEAM))).json
        assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
        assert document["security"] == [{"token": []}]
        own = {path: told["get"]["security"] for path, told in document["paths"].items() if "security" in told["get"]}
        # Probes need none, but for `?verbose`.
        assert own == {"/livez": [], "/readyz": [{}, {"token": []}]}
        assert (await running.get(method="POST")).status == 401
        assert (await running.get(method="POST", **bearer(ALL))).status == 405
        assert (await running.get(Host="evil.example.com", **bearer(ALL))).status == 421
        for target in ("/livez", "/readyz", "/livez?x"):
            assert (await running.get(target)).status == 200


async def test_without_access_control(tmp_path: Path) -> None:
    """Where nothing is configured nobody's Authorization is looked at, and answers don't depend on it."""
    async with world(tmp_path) as running:
        for sent in ("Bearer ppt_x", "Bearer mlpi_x", "nonsense"):
            reply = await running.get(Authorization=sent)
            assert reply.status == 200
            assert reply.headers["Vary"] == "Accept-Encoding"
        assert len(running.parts.web.fast._hits) == 1
        assert (await running.get("/readyz?verbose")).json["tokens"] is None


async def test_pages_in_browsers(tmp_path: Path) -> None:
    """A preflight needs no token and lets one be sent; refusals can be read by pages of listed origins."""
    origin = "https://grafana.example.com"
    async with guarded(tmp_path, server__cors_origins=origin) as running:
        preflight = await running.get(
            method="OPTIONS",
            Origin=origin,
            Access_Control_Request_Method="GET",
            Access_Control_Request_Headers="authorization",
        )
        assert (preflight.status, preflight.headers["Access-Control-Allow-Headers"]) == (204, "authorization")
        target = targets(OURS, "ours")[0]
        for _ in range(3):
            reply = await running.get(target, Origin=origin, **bearer(TEAM))
            assert reply.headers["Vary"] == "Accept-Encoding, Authorization, Origin"
            assert reply.headers["Access-Control-Allow-Origin"] == origin
        refused = await running.get(target, Origin=origin)
        assert (refused.status, refused.headers["Access-Control-Allow-Origin"]) == (401, origin)
        assert refused.headers["Vary"] == "Authorization, Origin"
        assert "WWW-Authenticate" in refused.headers["Access-Control-Expose-Headers"]


@pytest.mark.parametrize("change", ["revoked", "expired"])
@pytest.mark.parametrize("target", [targets(OURS, "ours")[0], by_run(OURS)[0], f"{RUNS}projects"])
async def test_a_token_that_ends(tmp_path: Path, change: str, target: str) -> None:
    """It stops within a second on a connection that stays open, in the middle of hits; others go on."""
    path = tmp_path / "access" / "tokens.json"
    now_s = 1_800_000_000
    ending = token("team", projects=["ours"], expires_at_s=now_s + 10 if change == "expired" else None)
    write(path, ending, token("all"))
    async with guarded(tmp_path, freshness__running_s=60) as running:
        assert running.clock.now_s() == now_s
        url = URL(running.url)
        reader, writer = await asyncio.open_connection(url.host, url.port)
        wire = Wire(reader=reader, writer=writer)
        for _ in range(4):
            assert await ask(wire, target, TEAM) == 200
        running.advance(9.75)
        assert await ask(wire, target, TEAM) == 200
        if change == "revoked":
            edit_tokens(path, lambda tokens: [one for one in tokens if one.name != "team"])
            running.advance(1)
        else:
            running.advance(0.25)
        assert await ask(wire, target, TEAM) == 401
        assert await ask(wire, target, ALL) == 200
        if change == "revoked":
            edit_tokens(path, lambda tokens: [*tokens, ending])
            running.advance(1)
            assert await ask(wire, target, TEAM) == 200
        await wire.close()


@pytest.mark.parametrize("change", ["revoked", "narrowed"])
async def test_a_token_that_ends_while_it_waits(tmp_path: Path, change: str) -> None:
    """What pluto-api took long to answer isn't handed to somebody who may not have it any more."""
    async with guarded(tmp_path) as running:
        gate = asyncio.Event()
        running.standin.faults.add(Fault(kind=FaultKind.HOLD, gate=gate))
        target = targets(THEIRS, "theirs")[0]
        asking = asyncio.create_task(running.get(target, **bearer(ALL)))
        await running.standin.counters.reached(lambda seen: seen.by_path[METRICS] == 1)
        left = [] if change == "revoked" else [token("all", projects=["ours"])]
        write(tokens_file(running), *left)
        running.advance(1)
        gate.set()
        reply = await asking
        assert (reply.status, reply.json["code"]) == (401, "unauthorized")


async def test_hits_are_apart_by_what_may_be_seen(tmp_path: Path) -> None:
    """The fast path serves tokens that see the same alike, and never one by what another may see."""
    path = tmp_path / "access" / "tokens.json"
    write(path, token("a", projects=["ours"]), token("b", projects=["ours"]), token("c", projects=["empty"]), token("all"))
    async with guarded(tmp_path) as running:
        target = targets(OURS, "ours")[0]
        for name in ("a", "b", "a", "b"):
            assert (await running.get(target, **bearer(PREFIX + name))).status == 200
        assert len(running.parts.web.fast._hits) == 1
        assert (await running.get(target, **bearer(f"{PREFIX}c"))).status == 404
        assert (await running.get(target, **bearer(ALL))).status == 200
        assert len(running.parts.web.fast._hits) == 2
        assert PREFIX not in repr(list(running.parts.web.fast._hits))


def twice(path: Path) -> None:
    document = json.loads(path.read_text())
    document["tokens"] *= 2
    path.write_text(json.dumps(document))


def replaced(path: Path, make: Callable[[Path], None]) -> None:
    path.unlink()
    make(path)


def directory_opened(path: Path) -> None:
    # Nothing about the file itself tells it: it is noticed when the file changes.
    os.utime(path, (1, 1))
    path.parent.chmod(0o777)


HOW: dict[str, Callable[[Path], object]] = {
    "vanished": Path.unlink,
    "garbage": lambda path: path.write_text("{"),
    "empty": lambda path: path.write_text(""),
    "another version": lambda path: path.write_text('{"version":2,"tokens":[]}'),
    "an unknown field": lambda path: path.write_text(path.read_text().replace('"admin"', '"readonly": true, "admin"', 1)),
    "a name twice": twice,
    "readable by others": lambda path: path.chmod(0o644),
    "writable by others": lambda path: path.chmod(0o620),
    "a directory": lambda path: replaced(path, Path.mkdir),
    "a pipe": lambda path: replaced(path, os.mkfifo),
    "an open directory": directory_opened,
    "too large": lambda path: path.write_bytes(b" " * (16 * 2**20 + 1)),
}


@pytest.mark.parametrize("how", HOW)
async def test_a_file_that_cannot_be_used(tmp_path: Path, how: str) -> None:
    """While running: the last good set stays, which is told once, and a good file is taken up again. At start: no service."""
    async with guarded(tmp_path) as running:
        path, target = tokens_file(running), targets(OURS, "ours")[0]
        with capture_logs() as logs:
            HOW[how](path)
            for _ in range(3):
                running.advance(1)
                assert (await running.get(target, **bearer(TEAM))).status == 200
                assert (await running.get(target, **bearer("ppt_no"))).status == 401
            assert "token file" in (await running.get("/readyz")).body.decode()
            verbose = await running.get("/readyz?verbose", **bearer(ALL))
            assert str(path) in verbose.json["tokens"] or str(path.parent) in verbose.json["tokens"]
            assert b"pluto_proxy_tokens_healthy 0.0" in (await running.get("/metrics", **bearer(ALL))).body
            with pytest.raises(ConfigError) as caught:
                async with world(tmp_path / "other", access__tokens_file=path):
                    pass
            [fault] = caught.value.faults
            assert fault.startswith("access.tokens_file: ")
            assert ("token add" in fault) is (how == "vanished")
            if how == "an open directory":
                # The file itself is as it was.
                path.parent.chmod(0o700)
                running.advance(1)
                assert "token file" not in (await running.get("/readyz")).body.decode()
                return
            if path.is_dir():
                path.rmdir()
            path.unlink(missing_ok=True)
            write(path, token("new"))
            running.advance(1)
            assert (await running.get(target, **bearer(TEAM))).status == 401
            assert (await running.get(target, **bearer(f"{PREFIX}new"))).status == 200
            assert "token file" not in (await running.get("/readyz")).body.decode()
        told = [line["event"] for line in logs if line["event"].startswith("tokens.")]
        assert told == ["tokens.kept", "tokens.read"]


@pytest.mark.parametrize(
    ("networks", "trusted", "forwarded", "status"),
    [
        ("127.0.0.0/8", "", None, 200),
        ("127.0.0.1", "", "198.51.100.7", 200),
        ("10.0.0.0/8", "", None, 403),
        ("10.0.0.0/8", "", "10.1.1.1", 403),
        ("10.0.0.0/8", "127.0.0.1", "10.1.1.1", 200),
        ("10.0.0.0/8", "127.0.0.1", "198.51.100.7, 10.1.1.1", 200),
        ("10.0.0.0/8", "127.0.0.1", "10.1.1.1, 198.51.100.7", 403),
        ("10.0.0.0/8", "127.0.0.1,198.51.100.0/24", "10.1.1.1, 198.51.100.7", 200),
        ("10.0.0.0/8", "127.0.0.1", "nonsense", 403),
        ("10.0.0.0/8", "127.0.0.1", None, 403),
        ("10.0.0.0/8,127.0.0.1", "127.0.0.1", None, 200),
        ("::ffff:10.0.0.0/104", "127.0.0.1", "[::ffff:10.1.1.1]:5", 200),
    ],
)
async def test_networks(tmp_path: Path, networks: str, trusted: str, forwarded: str | None, status: int) -> None:
    """Who comes from elsewhere is refused, hits and preflights included, and nobody vouches for themselves; but for probes."""
    async with world(tmp_path, access__networks=networks, access__trusted_proxies=trusted) as running:
        headers = {} if forwarded is None else {"X_Forwarded_For": forwarded}
        for _ in range(3):
            reply = await running.get(**headers)
            assert reply.status == status
        assert running.metrics_calls == (status == 200)
        if status == 403:
            assert reply.json["code"] == "network-refused"
            preflight = await running.get(method="OPTIONS", Origin="https://a", Access_Control_Request_Method="GET", **headers)
            assert preflight.json["code"] == "network-refused"
        assert (await running.get("/metrics", **headers)).status == status
        assert (await running.get("/readyz", **headers)).status == 200


async def test_networks_and_tokens(tmp_path: Path) -> None:
    """Where both are set both are needed: a token doesn't open the network, nor the other way round."""
    async with guarded(tmp_path, access__networks="10.0.0.0/8", access__trusted_proxies="127.0.0.1") as running:
        target = targets(OURS, "ours")[0]
        for address, sent, status in (
            ("10.0.0.1", bearer(TEAM), 200),
            ("10.0.0.1", {}, 401),
            ("11.0.0.1", bearer(TEAM), 403),
            ("11.0.0.1", {}, 403),
        ):
            assert (await running.get(target, X_Forwarded_For=address, **sent)).status == status


async def test_who_asked_is_logged(tmp_path: Path) -> None:
    """By the token's name; neither tokens nor their hashes reach the log."""
    async with guarded(tmp_path) as running:
        with capture_logs() as logs:
            await running.get(targets(OURS, "ours")[0], **bearer(TEAM))
            await running.get(targets(OURS, "ours")[0], **bearer("ppt_unknown"))
        finished = [line for line in logs if line["event"] == "request.finished"]
        assert [line.get("token") for line in finished] == ["team", None]
        assert PREFIX not in str(logs).replace("ppt_...", "")
        assert digest_of_token(TEAM) not in str(logs)
