"""Runs of others are told from runs that don't exist by nothing: neither by an answer, nor by how long it takes."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from proxy.service.tenancy import VALIDATE_TARGET
from proxy.standin import Fault, FaultKind, Row
from proxy.standin.faults import ANY_PATH
from tests.support.tokens import (
    ALL,
    OURS,
    RUNS,
    TEAM,
    THEIRS,
    UNKNOWN,
    bearer,
    by_run,
    filled,
    guarded,
    targets,
    told,
)
from tests.support.world import METRICS


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
