"""Raw writes, console lines, files and the bytes behind their URLs."""

import math
from typing import Any

import aiohttp
import pytest
from yarl import URL

from proxy.standin import GrowthConfig, Row, RunStatus, Standin, StandinConfig, StepMode

from .support import KEY, Caller, Clock, Reply, read, refused

RAW = "metrics/raw?runId=1&projectName=demo&logName=loss"
LOGS = "logs?runId=1&projectName=demo"
FILES = "files?runId=1&projectName=demo"


async def fetch(caller: Caller, url: str, method: str = "GET", **options: Any) -> Reply:
    async with caller.session.request(method, URL(url, encoded=True), **options) as answer:
        return Reply(status=answer.status, headers=answer.headers, body=await answer.read())


async def test_raw_rows_hold_every_write(caller: Caller) -> None:
    """Those that were written over too, by step and time; steps are numbers even where others are quoted."""
    caller.standin.mode = StepMode.QUOTED
    times = ("2026-01-01 00:00:02.000", "2026-01-01 00:00:01.000", "2025-12-31 00:00:00.000")
    caller.standin.rows.insert(Row(run_id=1, log_name="loss", step=3, value=number, time=times[number]) for number in range(3))
    answer = await read(caller, f"{RAW}&stepMin=2&stepMax=3")
    assert answer["truncated"] is False
    assert [(row["step"], row["value"]) for row in answer["rows"]] == [(2, 1), (3, 2), (3, 1.5), (3, 1), (3, 0)]
    assert list(answer["rows"][0].items()) == [
        ("logGroup", ""), ("step", 2), ("time", "2026-01-01 00:00:00.000"), ("value", 1), ("nonFiniteFlags", 0),
    ]  # fmt: skip
    sampled = await read(caller, "metrics?runId=1&projectName=demo&stepMin=3&stepMax=3")
    assert [row["value"] for row in sampled["metrics"]] == [0]


async def test_raw_rows_can_be_cut_off(caller: Caller) -> None:
    """A full page says that there may be more, even if there isn't."""
    assert len((await read(caller, RAW))["rows"]) == 10
    for limit, truncated in ((9, True), (10, True), (11, False)):
        answer = await read(caller, f"{RAW}&limit={limit}")
        assert (len(answer["rows"]), answer["truncated"]) == (min(limit, 10), truncated)
    assert caller.standin.counters.rows_sent == 39


async def test_raw_values_that_are_not_finite(caller: Caller) -> None:
    """Flagged, with a value of 0; deleted rows are gone from here as well."""
    for time in ("2026-01-02 00:00:00.000", "2026-01-03 00:00:00.000"):
        caller.standin.rows.insert(
            Row(run_id=2, log_name="odd", step=step, value=value, time=time)
            for step, value in enumerate([math.nan, math.inf, -math.inf])
        )
    rows = (await read(caller, "metrics/raw?runId=2&projectName=demo&logName=odd"))["rows"]
    assert [(row["value"], row["nonFiniteFlags"]) for row in rows] == [(0, 1), (0, 1), (0, 2), (0, 2), (0, 4), (0, 4)]
    caller.standin.rows.delete(run_id=2, step_min=1)
    assert len((await read(caller, "metrics/raw?runId=2&projectName=demo&logName=odd"))["rows"]) == 2


async def test_raw_queries_that_are_refused(caller: Caller) -> None:
    """A name is required; a limit is a whole number here."""
    status, issues = await refused(caller, "metrics/raw?runId=1&projectName=demo&limit=0.5&stepMin=-1")
    assert (status, [issue["path"][0] for issue in issues]) == (400, ["logName", "stepMin", "limit", "limit"])
    assert (await refused(caller, f"{RAW}&limit=50001"))[0] == 400
    assert (await refused(caller, RAW.replace("runId=1", "runId=-1")))[0] == 500
    for target in (RAW.replace("loss", ""), RAW.replace("runId=1", "runId=2"), RAW.replace("=demo", "=other")):
        assert await read(caller, target) == {"rows": [], "truncated": False}


async def test_console_lines(caller: Caller) -> None:
    """In pages, by number; the total is that of all."""
    answer = await read(caller, f"{LOGS}&limit=2&offset=7")
    assert answer["total"] == 300
    assert [line["lineNumber"] for line in answer["logs"]] == [7, 8]
    assert list(answer["logs"][0]) == ["time", "logType", "lineNumber", "message", "step"]
    assert (answer["logs"][0]["logType"], answer["logs"][0]["step"]) == ("WARNING", 35)
    assert "Größe" in answer["logs"][0]["message"]
    everything = await read(caller, LOGS)
    assert {line["logType"] for line in everything["logs"]} == {"INFO", "ERROR", "WARNING", "DEBUG", "PRINT"}
    assert (await read(caller, f"{LOGS}&offset=300"))["logs"] == []


async def test_console_lines_of_one_type(caller: Caller) -> None:
    """The total counts that type."""
    answer = await read(caller, f"{LOGS}&logType=ERROR&limit=2&offset=1")
    assert answer["total"] == 15
    assert [(line["logType"], line["lineNumber"]) for line in answer["logs"]] == [("ERROR", 33), ("ERROR", 53)]


async def test_console_lines_that_are_refused_or_missing(caller: Caller) -> None:
    """Types are in upper case; unknown runs and projects have no lines."""
    status, (issue,) = await refused(caller, f"{LOGS}&logType=info")
    assert (status, issue["message"]) == (
        400,
        "Invalid enum value. Expected 'INFO' | 'ERROR' | 'WARNING' | 'DEBUG' | 'PRINT', received 'info'",
    )
    assert list(issue) == ["received", "code", "options", "path", "message"]
    for query in ("limit=0", "limit=10001", "offset=-1", "logType="):
        assert (await refused(caller, f"{LOGS}&{query}"))[0] == 400
    for query in ("limit=1.5", "offset=0.5"):
        assert (await refused(caller, f"{LOGS}&{query}"))[0] == 500
    for target in (LOGS.replace("=1", "=2"), LOGS.replace("demo", "other")):
        assert await read(caller, target) == {"logs": [], "total": 0}


async def test_a_live_run_goes_on_writing(clock: Clock) -> None:
    """A line a second, until it ends; lines that are there stay as they were."""
    standin = Standin(StandinConfig(growth=GrowthConfig(long_series_rows=0)), clock=clock)
    async with standin.serve() as url, aiohttp.ClientSession() as session:
        caller = Caller(standin, url, session)
        target = "logs?runId=1001&projectName=demo"
        before = await read(caller, target)
        clock.now_s += 5
        after = await read(caller, target)
        assert (before["total"], after["total"]) == (360, 365)
        assert after["logs"][:360] == before["logs"]
        assert after["logs"][-1]["time"] == "2026-05-28 20:26:45.000"
        standin.catalogue.change(1001, status=RunStatus.TERMINATED)
        clock.now_s += 100
        assert (await read(caller, target))["total"] == 365


async def test_old_servers_quote_what_is_handed_on(caller: Caller) -> None:
    """Line numbers, steps and sizes."""
    caller.standin.mode = StepMode.QUOTED
    line = (await read(caller, f"{LOGS}&limit=1"))["logs"][0]
    file = (await read(caller, FILES))["files"][0]
    assert (line["lineNumber"], line["step"], file["step"]) == ("0", "0", "0")
    assert file["fileSize"].isdecimal()


async def test_files_are_listed_with_their_urls(caller: Caller) -> None:
    """By step; the same answer all day long, another URL the next day."""
    first = await caller.ask("runId=1&projectName=demo", path="/api/runs/files")
    files = first.json["files"]
    assert [(file["fileName"], file["step"]) for file in files] == [
        ("config.json", 0), ("grid_0.png", 0), ("grid_100.png", 100), ("last checkpoint.pt", 200),
    ]  # fmt: skip
    assert list(files[1]) == [
        "fileName", "fileType", "fileSize", "logName", "logGroup", "time", "step", "caption", "annotations", "url",
    ]  # fmt: skip
    assert (files[1]["fileType"], files[1]["logGroup"], files[1]["caption"]) == ("png", "samples", "step 0")
    assert (await caller.ask("runId=1&projectName=demo", path="/api/runs/files")).body == first.body
    caller.standin.clock.now_s += 86_400  # type: ignore[attr-defined]  # a manual clock, in tests
    assert (await read(caller, FILES))["files"][0]["url"] != files[0]["url"]


@pytest.mark.parametrize(
    ("query", "count"),
    [("logName=samples/images", 2), ("logName=", 4), ("logGroup=hydra", 1), ("logGroup=", 4), ("logName=none", 0)],
)
async def test_some_files(caller: Caller, query: str, count: int) -> None:
    """Empty filters are none."""
    assert len((await read(caller, f"{FILES}&{query}"))["files"]) == count


async def test_files_of_nothing(caller: Caller) -> None:
    """Empty for an unknown run, and for another project's."""
    for target in (FILES.replace("=1", "=2"), FILES.replace("demo", "other")):
        assert await read(caller, target) == {"files": []}
    assert (await refused(caller, "files?runId=1"))[0] == 400


async def test_bytes_are_had_without_a_key(caller: Caller, clock: Clock) -> None:
    """By whoever has the URL, unencoded, for five days; it is counted like every call."""
    for file in (await read(caller, FILES))["files"]:
        reply = await fetch(caller, file["url"])
        assert (reply.status, len(reply.body)) == (200, file["fileSize"])
        assert "Content-Encoding" not in reply.headers
        assert "Set-Cookie" not in reply.headers
    assert reply.headers["Content-Type"] == "binary/octet-stream"
    assert caller.standin.counters.by_path[URL(file["url"], encoded=True).raw_path] == 1
    clock.now_s += 4 * 86_400
    assert (await fetch(caller, file["url"])).status == 200
    clock.now_s += 86_400
    assert (await fetch(caller, file["url"])).status == 403


async def test_urls_open_nothing_else(caller: Caller) -> None:
    """Another path, another signature or none: 403; a signed path without an object: 404."""
    files = (await read(caller, FILES))["files"]
    path, _, query = files[0]["url"].partition("?")
    for url in (path, files[1]["url"].partition("?")[0] + "?" + query, files[0]["url"] + "0"):
        reply = await fetch(caller, url)
        assert (reply.status, b"AccessDenied" in reply.body) == (403, True)
    caller.standin.catalogue.add(1, project="moved")
    assert (await fetch(caller, files[0]["url"])).status == 404


@pytest.fixture
async def announced(caller: Caller) -> str:
    """The URL of an upload that was announced."""
    entry = {"fileName": "a b.txt", "fileSize": 3, "fileType": "txt", "time": 1_780_000_000_000, "logName": "notes"}
    headers = KEY | {"X-Run-Id": "1", "X-Project-Name": "demo"}
    reply = await fetch(caller, f"{caller.url}/files", "POST", json={"files": [entry]}, headers=headers)
    assert list(reply.json) == ["txt"]
    url: str = reply.json["txt"][0]["a b.txt"]
    return url


async def test_a_file_is_uploaded(caller: Caller, announced: str) -> None:
    """It is in the list once it is announced, and has bytes once they came."""
    assert (await fetch(caller, announced)).status == 403
    (file,) = (await read(caller, f"{FILES}&logName=notes"))["files"]
    assert (await fetch(caller, file["url"])).status == 404
    assert (await fetch(caller, announced, "PUT", data=b"abcd")).status == 200
    (file,) = (await read(caller, f"{FILES}&logName=notes"))["files"]
    assert (file["fileSize"], file["time"]) == (4, "2026-05-28 20:26:40.000")
    assert (await fetch(caller, file["url"])).body == b"abcd"


async def test_uploads_that_are_refused(caller: Caller, announced: str) -> None:
    """Without a key, without sense, or to a place that wasn't opened."""
    assert (await fetch(caller, f"{caller.url}/files", "POST", json={"files": []})).status == 401
    assert (await fetch(caller, f"{caller.url}/files", "POST", json={}, headers=KEY)).status == 400
    assert (await fetch(caller, announced.partition("?")[0], "PUT", data=b"x")).status == 403
    assert (await fetch(caller, f"{caller.url}/storage/else", "PUT", data=b"x")).status == 403
    assert (await fetch(caller, f"{caller.url}/api/runs/list", "POST", headers=KEY)).status == 404
