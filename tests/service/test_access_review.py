"""Attacks on who may see what: everything that an answer is made of, or waits for, is looked at for what it gives away."""

import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from proxy.standin import Fault, FaultKind
from tests.service.test_access import (
    ALL,
    OURS,
    RUNS,
    TEAM,
    THEIRS,
    UNKNOWN,
    bearer,
    by_run,
    guarded,
    token,
    tokens_file,
    told,
    write,
)
from tests.service.test_purge import purge
from tests.support import METRICS, world


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
    async with guarded(tmp_path, series__enabled="true", series__shadow_fraction=0) as running:
        asked = running.standin.counters.by_path
        # Whatever is learned of the project as a whole is learned before.
        await running.get(f"{METRICS}?runId=1&projectName=ours&logName=loss", **bearer(TEAM))
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
