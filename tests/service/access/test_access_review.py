"""Attacks on who may see what: everything that an answer is made of, or waits for, is looked at for what it gives away."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from yarl import URL

from proxy.core.budget import Priority
from proxy.service.tenancy import VALIDATE_TARGET
from proxy.standin import Fault, FaultKind, Row
from proxy.standin.faults import ANY_PATH
from tests.support.tokens import (
    ALL,
    OURS,
    ROOT,
    RUNS,
    TEAM,
    THEIRS,
    UNKNOWN,
    ask,
    bearer,
    by_run,
    filled,
    guarded,
    purge,
    targets,
    token,
    tokens_file,
    told,
    write,
)
from tests.support.wire import Wire
from tests.support.world import METRICS, world


@pytest.mark.parametrize("stored", [False, True])
async def test_looking_for_a_run_of_theirs_takes_as_long_as_for_none(tmp_path: Path, stored: bool) -> None:
    """The disk is looked at as often, and pluto-api asked as often: what memory has would be told by its speed."""
    async with guarded(tmp_path) as running:
        if stored:
            await running.get(by_run(THEIRS)[0], **bearer(ALL))
        reads: dict[int, list[int]] = {}
        for run in (THEIRS, UNKNOWN):
            for target in by_run(run) * 2:
                before = running.parts.store.disk.counters.reads, running.standin.counters.total
                assert (await running.get(target, **bearer(TEAM))).status == 404
                after = running.parts.store.disk.counters.reads, running.standin.counters.total
                reads.setdefault(run, []).extend(now - then for now, then in zip(after, before, strict=True))
        assert reads[THEIRS] == reads[UNKNOWN]


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("pause_s", [6, 11, 16, 40])
async def test_series_of_a_run_of_theirs_take_as_long_as_of_none(tmp_path: Path, stored: bool, pause_s: int) -> None:
    """Asked for in a project of one's own, polled until they are stale: whether the run has ended is asked in the same way."""
    async with guarded(tmp_path, series__enabled="true", series__shadow_s=0) as running:
        asked = running.standin.counters.by_path
        # Whatever is learned of the project as a whole is learned before.
        for name in ("loss", "acc"):
            await running.get(f"{METRICS}?runId=1&projectName=ours&logName={name}", **bearer(TEAM))
        for _ in range(3):
            seen = []
            for run in (THEIRS, UNKNOWN):
                await running.get(f"{RUNS}list?projectName=ours&limit=200&status=RUNNING", **bearer(TEAM))
                if stored:
                    await running.get(by_run(THEIRS)[0], **bearer(ALL), Cache_Control="no-cache")
                before = asked.copy()
                questions = [f"{METRICS}?runId={run}&projectName=ours&logName={name}" for name in ("loss", "acc")]
                replies = [told(await running.get(question, **bearer(TEAM))) for question in questions]
                await running.settled()
                calls = {path.replace(str(run), "{run}"): count for path, count in (asked - before).items()}
                calls.pop(f"{RUNS}list", None)
                seen.append((replies, calls))
            assert seen[0] == seen[1]
            running.advance(pause_s)


@pytest.mark.parametrize("trusted", ["", "127.0.0.1", "127.0.0.1,10.0.0.0/8"])
@pytest.mark.parametrize(
    "headers",
    [
        {"X_Forwarded_For": "127.0.0.1"},
        {"X_Forwarded_For": "::1"},
        {"X_Forwarded_For": "127.0.0.1, 10.0.0.7"},
        {"X_Forwarded_For": ""},
        {"X_Forwarded_Host": "pluto-proxy.example.com"},
        {"x_forwarded_proto": "https"},
        {"X_Real_IP": "127.0.0.1"},
        {"Forwarded": "for=127.0.0.1"},
        {"Via": "1.1 front"},
    ],
)
async def test_nothing_forwarded_manages_without_tokens(tmp_path: Path, headers: dict[str, str], trusted: str) -> None:
    """A front on this machine vouches for nobody: what it passes on, a client may have written."""
    async with world(tmp_path, access__trusted_proxies=trusted) as running:
        assert (await running.get("/admin/state")).status == 200
        reply = await running.get("/admin/state", **headers)
        assert (reply.status, reply.json["code"]) == (403, "admin-refused")


@pytest.mark.parametrize("origin", ["http://[", "http://]", "http://[::1", "http://a\u2100b", "", "127.0.0.1", "http://", "//"])
async def test_what_is_no_origin_is_a_foreign_one(tmp_path: Path, origin: str) -> None:
    """No browser sends it: it is refused as any other, and is no fault of the proxy's."""
    async with world(tmp_path) as running:
        reply = await running.get("/admin/state", Origin=origin)
        assert (reply.status, reply.json["code"]) == (403, "origin-refused")


@pytest.mark.parametrize("query", ["%&" * 5_000, "a%&" * 5_000, "%ff&" * 3_700])
async def test_a_bad_query_is_not_multiplied(tmp_path: Path, query: str) -> None:
    """The refusal of thousands of faults, and its line in the log, is shorter than what was refused."""
    async with world(tmp_path) as running:
        with capture_logs() as logs:
            reply = await running.get(f"{METRICS}?{query}")
        assert (reply.status, reply.json["code"], len(reply.json["faults"])) == (400, "bad-query", 20)
        assert "more" in reply.json["detail"]
        assert max(len(reply.body), len(str(logs))) < len(query)
        unknown: dict[str, object] = {str(number): 1 for number in range(5_000)}
        assert len((await purge(running, unknown, status=400)).body) < 5_000


async def test_a_revoked_token_in_the_line(tmp_path: Path) -> None:
    """Requests that waited for their client's turn until its token was revoked ask pluto-api for nothing any more."""
    async with guarded(tmp_path, access__client_concurrency=1) as running:
        gate = asyncio.Event()
        running.standin.faults.add(Fault(kind=FaultKind.HOLD, gate=gate, times=None))
        panels = [f"{METRICS}?runId={OURS}&projectName=ours&logName=loss&stepMin={step}" for step in range(5)]
        asking = [asyncio.create_task(running.get(panel, **bearer(TEAM))) for panel in panels]
        await running.arrived(len(panels))
        await running.standin.counters.reached(lambda seen: seen.by_path[METRICS] == 1)
        write(tokens_file(running), token("all"))
        running.advance(1)
        gate.set()
        assert {(await reply).status for reply in asking} == {401}
        assert running.metrics_calls == 1


# In turn: values, names, what comes twice, what is no part of the question, paths. Run 2 and THE-1 are one of theirs.
SPELLINGS = [
    "metrics?runId=2&projectName=%74heirs",
    "metrics?runId=2&projectName=theirs%20",
    "metrics?runId=2&projectName=THEIRS",
    "metrics?runId=2&projectName=",
    "metrics?runId=2&projectName",
    "metrics?runId=2&projectName=ours%26projectName=theirs",
    "metrics?runId=2&projectName=ours;projectName=theirs",
    "metrics?runId=2&projectName=ours%23",
    "metrics?runId=2&projectName=ours%00",
    "metrics?runId=2&projectName=our\u017f".encode().decode("latin-1"),
    "metrics?runId=2&projectName=our%C5%BF",
    "metrics?runId=2&%70rojectName=theirs",
    "metrics?runId=2&projectname=ours&projectName=theirs",
    "metrics?runId=2&projectName[]=ours&projectName=theirs",
    "metrics?runId=2&projectName=ours&projectName=theirs",
    "metrics?runId=2&projectName=theirs&projectName=ours",
    "metrics?runId=2&projectName=theirs&_=ours",
    "metrics?projectName=theirs",
    "metric-names?runIds=2",
    "metric-names?projectName=theirs&runIds=",
    "compare?runIds=1&projectName=theirs&logName=loss",
    "list?projectName=&konduktorJobPrefix=x",
    "list?projectName=ours&konduktorJobPrefix=%20",
    "list?projectName=theirs&konduktorJobPrefix=",
    "details/2.0",
    "details/0x2",
    "details/%32",
    "details/+2",
    "details/%202",
    "details/2?projectName=ours",
    "details/2?runId=1",
    "details/by-display-id/THE-1?projectName=ours",
    "details/by-display-id/%54HE-1?projectName=ours",
    "details/by-display-id/THE-1%3FprojectName=theirs?projectName=ours",
    "details/by-display-id/..%2F2?projectName=ours",
    "details/by-display-id/%2E%2E?projectName=ours",
    "status/history?runId=2&projectName=ours",
    "status/history?runId=2e0",
    "status/history?runId=1&runId=2",
    "auth/validate",
    "metrics/?runId=2&projectName=theirs",
    "%6Detrics?runId=2&projectName=theirs",
    "list/../metrics?runId=2&projectName=theirs",
]


@pytest.mark.parametrize("target", SPELLINGS)
async def test_no_spelling_leads_elsewhere(tmp_path: Path, target: str) -> None:
    """What is judged is what pluto-api is asked: a question is refused, or about what everybody may see, however it is put."""
    async with guarded(tmp_path) as running:
        for _ in range(2):
            reply = await running.get(RUNS + target, **bearer(TEAM))
            assert reply.status in {400, 403, 404}
            assert "Cache-Status" not in reply.headers or reply.status == 400
            await running.get(RUNS + target, **bearer(ALL))


@pytest.mark.parametrize("number", ["2", "1,2", "2,1,2", "2.0,0x2", ",2"])
async def test_lists_of_runs_with_one_of_theirs(tmp_path: Path, number: str) -> None:
    """In a project of one's own they are what is left without it."""
    async with guarded(tmp_path) as running:
        running.standin.rows.insert([Row(run_id=THEIRS, project="theirs", log_name="theirs/alone", step=1, value=7)])
        for target in ("compare?projectName=ours&logName=loss&runIds=", "metric-names?projectName=ours&runIds="):
            reply = await running.get(f"{RUNS}{target}{number}", **bearer(TEAM))
            assert reply.status == 200
            assert b"theirs" not in reply.body
            assert all(run["runId"] == OURS for run in reply.json.get("runs", []))


FAILURES: list[dict[str, Any]] = [
    *({"kind": FaultKind.STATUS, "status": status} for status in (400, 401, 403, 404, 409, 429, 500, 503)),
    {"kind": FaultKind.HTML, "status": 200},
    {"kind": FaultKind.HTML, "status": 404},
    {"kind": FaultKind.REDIRECT},
    {"kind": FaultKind.CUT_BODY},
    {"kind": FaultKind.HANG},
    {"kind": FaultKind.NOT_JSON},
    {"kind": FaultKind.WRONG_SHAPE, "body": '{"id":2,"name":"r","status":"RUNNING","projectName":["ours"],"logNames":[]}'},
    {"kind": FaultKind.WRONG_SHAPE, "body": '{"id":2,"name":"r","status":"RUNNING","projectName":null,"logNames":[]}'},
]


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("failure", FAILURES)
async def test_where_nobody_can_say_whose_a_run_is(tmp_path: Path, failure: dict[str, Any], stored: bool) -> None:
    """Nothing is shown, and of theirs nothing else than of none; what is stored of one's own stays one's own."""
    settings = {"upstream__deadline_s": 0.4, "upstream__cooldown_max_s": 1}
    async with guarded(tmp_path, **settings) as running:
        for target in [*by_run(THEIRS), *by_run(OURS)] if stored else []:
            assert (await running.get(target, **bearer(ALL))).status == 200
        running.standin.faults.add(Fault(times=None, path=ANY_PATH, matches=lambda path, _: "/details/" in path, **failure))
        for theirs, none in zip(by_run(THEIRS), by_run(UNKNOWN), strict=True):
            replies = [await running.get(target, **bearer(TEAM)) for target in (theirs, none)]
            assert replies[0].status >= 400
            assert told(replies[0]) == told(replies[1])
        for target in by_run(OURS):
            assert ((await running.get(target, **bearer(TEAM))).status == 200) is stored


async def test_a_run_of_theirs_that_is_too_large(tmp_path: Path) -> None:
    """That pluto-api has more to say of a run than the proxy takes tells that there is one: not to who may not see it."""
    async with guarded(tmp_path, upstream__max_body_bytes=300) as running:
        assert (await running.get(by_run(THEIRS)[0], **bearer(ALL))).json["code"] == "answer-too-large"
        for _ in range(2):
            for theirs, none in zip(by_run(THEIRS), by_run(UNKNOWN), strict=True):
                replies = [await running.get(target, **bearer(TEAM)) for target in (theirs, none)]
                assert told(replies[0]) == told(replies[1])
                assert replies[0].status == 404
            running.advance(6)


@pytest.mark.parametrize("lost", [False, True])
async def test_after_a_restart(tmp_path: Path, lost: bool) -> None:
    """What the file has of theirs tells no more than what it hasn't; what it has of one's own is good without pluto-api."""
    standin = filled()
    async with standin.serve() as url:
        async with guarded(tmp_path, upstream=url, standin=standin) as running:
            for target in [*targets(THEIRS, "theirs"), *by_run(THEIRS), *by_run(OURS)]:
                assert (await running.get(target, **bearer(ALL))).status == 200
            await running.flushed()
        if lost:
            standin.faults.add(
                Fault(kind=FaultKind.STATUS, path=ANY_PATH, times=None, matches=lambda path, _: path != VALIDATE_TARGET)
            )
        async with guarded(tmp_path, upstream=url, standin=standin) as running:
            foreign, unknown = [*targets(THEIRS, "theirs"), *by_run(THEIRS)], [*targets(UNKNOWN, "none"), *by_run(UNKNOWN)]
            for theirs, none in zip(foreign, unknown, strict=True):
                for headers in ({}, {"Cache_Control": "only-if-cached"}, {"If_None_Match": "*"}):
                    replies = [await running.get(target, **headers, **bearer(TEAM)) for target in (theirs, none)]
                    assert told(replies[0]) == told(replies[1])
                    assert replies[0].status == (502 if lost and theirs in by_run(THEIRS) else 404)
            for target in by_run(OURS):
                assert (await running.get(target, **bearer(TEAM))).is_hit


@pytest.mark.parametrize("target", by_run(THEIRS))
async def test_a_call_that_somebody_with_the_right_has_begun(tmp_path: Path, target: str) -> None:
    """Who joins it is judged by what it brings, and shares nothing of it; it is for who began it."""
    async with guarded(tmp_path) as running:
        gate = asyncio.Event()
        running.standin.faults.add(Fault(kind=FaultKind.HOLD, gate=gate, path=ANY_PATH, times=None))
        begun = asyncio.create_task(running.get(target, **bearer(ALL)))
        await running.standin.counters.reached(lambda seen: seen.by_path[target.partition("?")[0]] == 1)
        joined = [asyncio.create_task(running.get(other, **bearer(TEAM))) for other in [target, *by_run(UNKNOWN)[:1]]]
        await running.arrived(3)
        gate.set()
        replies = [await reply for reply in joined]
        assert replies[0].status == 404
        assert told(replies[0]) == told(replies[1])
        assert (await begun).status == 200


async def test_computed_answers_and_tags(tmp_path: Path) -> None:
    """From what somebody else's questions brought nothing is computed across projects, and their tags open nothing."""
    async with guarded(tmp_path, series__enabled="true", series__shadow_s=0) as running:
        panel = f"{METRICS}?runId={THEIRS}&projectName={{}}&logName=loss&limit={{}}"
        tags = [(await running.get(panel.format("theirs", limit), **bearer(ALL))).headers["ETag"] for limit in (10, 9, 3, 10)]
        assert running.parts.series.computer.computed > 1
        for limit in (10, 9, 3, 2):
            for tag in (*tags, "*"):
                assert (await running.get(panel.format("theirs", limit), If_None_Match=tag, **bearer(TEAM))).status == 404
            mine = await running.get(panel.format("ours", limit), If_None_Match=tags[0], **bearer(TEAM))
            assert (mine.status, mine.json) == (200, {"metrics": []})


async def test_tokens_wait_in_turns(tmp_path: Path) -> None:
    """Who asks much, from however many addresses, doesn't hold up who asks with another token from the same one."""
    settings: dict[str, Any] = {"upstream__max_concurrency": 1, "access__trusted_proxies": "127.0.0.1"}
    async with guarded(tmp_path, **settings) as running:
        gate, asked = asyncio.Event(), list[str]()

        def note(_path: str, query: str) -> bool:
            asked.append(query)
            return True

        fault = Fault(kind=FaultKind.HOLD, gate=gate, times=None, matches=note)
        running.standin.faults.add(fault)
        panel = f"{METRICS}?runId={OURS}&projectName=ours&logName=loss&stepMin={{}}"
        asking = []
        for number in range(1, 8):
            name = TEAM if number == 7 else ALL
            headers = {"X_Forwarded_For": f"10.0.0.{number % 6}", **bearer(name)}
            asking.append(asyncio.create_task(running.get(panel.format(number), **headers)))
            await running.arrived(number)
        await running.standin.counters.reached(lambda seen: seen.by_path[METRICS] == 1)
        async with asyncio.timeout(10):
            while running.parts.turnstile.budget.line.waiting(Priority.PERSON) < 6:  # noqa: ASYNC110 -- no event tells it
                await asyncio.sleep(0.001)
        gate.set()
        assert {(await reply).status for reply in asking} == {200}
        assert "stepMin=7" in asked[1] + asked[2]


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


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (["Authorization: Bearer {token}"], 200),
        (["authorization: bEARER   {token} "], 200),
        (["Authorization: Bearer {token}", "Authorization: Bearer {token}"], 401),
        (["Authorization: Bearer {token}", "Authorization: Bearer ppt_other"], 401),
        (["Authorization: Bearer ppt_other", "Authorization: Bearer {token}"], 401),
        (["Authorization: Bearer {token}, Bearer {token}"], 401),
        (["Authorization: Bearer {token}="], 401),
        (["Authorization: Bearer{token}"], 401),
        (["Authorization: {token}"], 401),
        (["Authorization: Basic {token}"], 401),
        (["Authorization:"], 401),
        (["Proxy-Authorization: Bearer {token}"], 401),
        (["Cookie: Authorization=Bearer {token}"], 401),
        ([], 401),
    ],
)
async def test_how_a_token_is_sent(tmp_path: Path, lines: list[str], status: int) -> None:
    """In one way; also on a connection on which it has been sent before, in the middle of hits of the fast way."""
    async with guarded(tmp_path) as running:
        url = URL(running.url)
        reader, writer = await asyncio.open_connection(url.host, url.port)
        wire = Wire(reader=reader, writer=writer)
        target = targets(OURS, "ours")[0]
        for _ in range(3):
            assert await ask(wire, target, TEAM) == 200
            head = [f"GET {target} HTTP/1.1", "Host: 127.0.0.1", *(line.format(token=TEAM) for line in lines), "", ""]
            assert (await wire.ask("\r\n".join(head).encode())).status == status
        assert len(running.parts.web.fast._hits) == 1
        await wire.close()


@pytest.mark.parametrize(
    "path", ["/metrics", "/readyz?verbose", "/readyz", "/livez", "/openapi.json", "/admin/state", "/nothing"]
)
async def test_nothing_before_the_proxy_keeps_what_is_told_to_one(tmp_path: Path, path: str) -> None:
    """Not even a front that doesn't know that an answer may depend on `Authorization`."""
    async with guarded(tmp_path) as running:
        for headers in (bearer(ROOT), bearer(TEAM), {}):
            said = (await running.get(path, **headers)).headers["Cache-Control"]
            assert said in {"no-store", "private, no-cache"}
