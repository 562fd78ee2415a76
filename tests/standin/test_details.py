"""A run by its ids, its status history, and the projects."""

import pytest

from proxy.standin import GrowthConfig, Row, RunStatus, Standin, StandinConfig
from proxy.standin.runs import prefix_of

from .support import Caller, Clock, read, refused

DETAILS = [
    "id", "name", "number", "displayId", "status", "tags", "config", "systemMetadata", "loggerSettings", "statusMetadata",
    "createdAt", "updatedAt", "statusUpdated", "projectName", "externalId", "forkedFromRunId", "forkStep", "logNames",
]  # fmt: skip
PREFIXES = {
    "demo": "DEM", "a": "A", "my-ml-project": "MMP", "image-classification": "ICL", "resnet-50": "R50", "a b c d e": "ABCD",
    "monitor_tests": "MTE", "": "RUN", "-.-": "RUN", "pröj/with & odd #1": "P&O#",
}  # fmt: skip


async def test_a_run_by_its_id(caller: Caller) -> None:
    """All fields in the upstream's order; made from its rows, and the same every time."""
    run = await read(caller, "details/1")
    assert list(run) == DETAILS
    assert (run["id"], run["number"], run["displayId"], run["projectName"]) == (1, 1, "DEM-1", "demo")
    assert (run["status"], run["statusUpdated"]) == ("RUNNING", None)
    assert run["createdAt"] == run["updatedAt"] == "2026-01-01T00:00:00.000Z"
    assert run["logNames"][0] == {"logName": "loss", "logType": "METRIC", "logGroup": ""}
    assert {name["logType"] for name in run["logNames"]} == {"METRIC", "FILE", "IMAGE"}
    assert await read(caller, "details/1") == run


@pytest.mark.parametrize("segment", ["1.0", "0x1", "%201", "01", "+1", "1?projectName=other", "1?projectName=a&projectName=b"])
async def test_the_id_is_a_number_and_the_project_is_not_looked_at(caller: Caller, segment: str) -> None:
    """Every spelling of a number; whatever the query says."""
    assert (await read(caller, f"details/{segment}"))["id"] == 1


async def test_ids_that_are_no_run(caller: Caller) -> None:
    """400, 500 or 404; another organization's run isn't found."""
    caller.standin.rows.insert([Row(run_id=9, log_name="loss", step=0, value=1, tenant="org_other")])
    assert (await refused(caller, "details/x"))[0] == 400
    assert (await refused(caller, "details/by-display-id"))[0] == 400
    for segment in ("1.5", "Infinity", "1e30"):
        assert await refused(caller, f"details/{segment}") == (500, "Internal Server Error")
    for segment in ("9", "-1", "0"):
        assert await refused(caller, f"details/{segment}") == (404, "Run not found")
    assert (await read(caller, "details/9", key={"Authorization": "Bearer mlpi_standin_other"}))["id"] == 9


async def test_a_run_by_its_display_id(caller: Caller) -> None:
    """In any case, with or without its project; the fork's fields aren't there."""
    for target in ("DEM-1", "dem-01", "DEM-1?projectName=demo", "DEM-1?projectName="):
        run = await read(caller, f"details/by-display-id/{target}")
        assert list(run) == [name for name in DETAILS if not name.startswith("fork")]
        assert run["id"] == 1
    for target in ("DEM-2", "DEM-1?projectName=other", "XYZ-1"):
        assert await refused(caller, f"details/by-display-id/{target}") == (404, "Run not found")
    status, error = await refused(caller, "details/by-display-id/DEM")
    assert (status, error) == (400, "Invalid display ID format. Expected PREFIX-NUMBER (e.g., 'MMP-1')")
    assert (await refused(caller, "details/by-display-id/DEM-1?projectName=a&projectName=b"))[0] == 400


async def test_projects_may_share_a_prefix(caller: Caller) -> None:
    """Then a display id is ambiguous until the project is named."""
    caller.standin.rows.insert([Row(run_id=7, log_name="loss", step=0, value=1, project="demand")])
    message = (
        "Display ID 'dem-1' is ambiguous across multiple projects (e.g. demo, demand). Specify projectName to disambiguate."
    )
    assert await refused(caller, "details/by-display-id/dem-1") == (409, message)
    assert (await read(caller, "details/by-display-id/dem-1?projectName=demand"))["id"] == 7


@pytest.mark.parametrize(("project", "prefix"), PREFIXES.items())
def test_prefixes_come_from_the_project_s_name(project: str, prefix: str) -> None:
    """A word's beginning, or initials."""
    assert prefix_of(project) == prefix


async def test_a_status_changes(caller: Caller, clock: Clock) -> None:
    """The run, its times and its history follow; saying RUNNING again leaves no event, but renews the time."""
    await read(caller, "details/1")
    caller.standin.catalogue.change(1, status=RunStatus.FAILED, source="stale-monitor")
    clock.now_s += 10
    assert (await caller.control("POST", "runs", {"id": 1, "status": "RUNNING", "source": "resume"})).json == {"changed": 1}
    clock.now_s += 10
    assert (await caller.control("POST", "runs", [{"id": 1, "status": "RUNNING"}])).json == {"changed": 1}
    run = await read(caller, "details/1")
    assert (run["status"], run["statusUpdated"], run["updatedAt"]) == ("RUNNING", *["2026-05-28T20:27:00.000Z"] * 2)
    history = await read(caller, "status/history?runId=1.0")
    assert history["runId"] == 1
    assert list(history["events"][0]) == [
        "id", "runId", "fromStatus", "toStatus", "source", "metadata", "actorId", "apiKeyId", "createdAt",
    ]  # fmt: skip
    assert [(event["fromStatus"], event["toStatus"], event["source"]) for event in history["events"]] == [
        (None, "RUNNING", "api"),
        ("RUNNING", "FAILED", "stale-monitor"),
        ("FAILED", "RUNNING", "resume"),
    ]
    assert all(isinstance(event["id"], str) for event in history["events"])


async def test_a_run_that_is_imported(caller: Caller, clock: Clock) -> None:
    """It came to its status when the import says so, in its history too; its record was written now."""
    year_ago_s = clock.now_s - 365 * 86_400
    await read(caller, "details/1")
    change = {"id": 1, "status": "COMPLETED", "status_updated_s": year_ago_s}
    assert (await caller.control("POST", "runs", change)).json == {"changed": 1}
    run = await read(caller, "details/1")
    assert (run["status"], run["statusUpdated"]) == ("COMPLETED", "2025-05-28T20:26:40.000Z")
    assert run["updatedAt"] == "2026-05-28T20:26:40.000Z"
    # Its events are in the order of what they say, not of when they were heard.
    events = (await read(caller, "status/history?runId=1"))["events"]
    assert [(event["toStatus"], event["createdAt"]) for event in events] == [
        ("COMPLETED", "2025-05-28T20:26:40.000Z"),
        ("RUNNING", "2026-01-01T00:00:00.000Z"),
    ]
    for wrong in ({"id": 1, "status_updated_s": year_ago_s}, {"id": 1, "status": "FAILED", "status_updated_s": "yesterday"}):
        assert (await caller.control("POST", "runs", wrong)).status == 400


@pytest.mark.parametrize("status", ["COMPLETED", "FAILED", "TERMINATED", "CANCELLED"])
async def test_an_end_that_is_said_again(caller: Caller, clock: Clock, status: str) -> None:
    """As by a run's later ranks: without a time it keeps its own and only `updatedAt` tells of it; with one it has that."""
    for _ in range(2):
        await caller.control("POST", "runs", {"id": 1, "status": status})
        clock.now_s += 10
    run = await read(caller, "details/1")
    assert (run["statusUpdated"], run["updatedAt"]) == ("2026-05-28T20:26:40.000Z", "2026-05-28T20:26:50.000Z")
    await caller.control("POST", "runs", {"id": 1, "status": status, "status_updated_s": clock.now_s - 1000})
    run = await read(caller, "details/1")
    assert (run["statusUpdated"], run["updatedAt"]) == ("2026-05-28T20:10:20.000Z", "2026-05-28T20:27:00.000Z")
    assert len((await read(caller, "status/history?runId=1"))["events"]) == 2


async def test_what_renews_a_run_s_record(caller: Caller, clock: Clock) -> None:
    """Every write to it, be it of what was there; never one of rows."""
    before = await read(caller, "details/1")
    clock.now_s += 10
    caller.standin.rows.insert([Row(run_id=1, log_name="loss", step=500, value=1)])
    assert await read(caller, "details/1") == before
    for change in ({"id": 1}, {"id": 1, "tags": before["tags"]}):
        clock.now_s += 10
        await caller.control("POST", "runs", change)
        run = await read(caller, "details/1")
        assert (run["status"], run["statusUpdated"]) == (before["status"], before["statusUpdated"])
        assert run["updatedAt"] > before["updatedAt"]
        before = run


async def test_history_of_no_run(caller: Caller) -> None:
    """404; without an id 400."""
    assert await refused(caller, "status/history?runId=2") == (404, "Run not found")
    assert (await refused(caller, "status/history"))[0] == 400


async def test_a_run_s_other_fields_change(caller: Caller) -> None:
    """Name, tags and configuration; what can't be changed is refused."""
    change = {"id": 1, "name": "né", "tags": ["a"], "config": {"x": 1.0}}
    assert (await caller.control("POST", "runs", change)).status == 200
    run = await read(caller, "details/1")
    assert (run["name"], run["tags"], run["config"]) == ("né", ["a"], {"x": 1})
    assert run["updatedAt"] > run["createdAt"]
    for wrong in ({"id": 2}, {"id": 1, "status": "DONE"}, {"id": 1, "colour": "red"}, {"status": "FAILED"}, 7):
        assert (await caller.control("POST", "runs", wrong)).status == 400


async def test_runs_without_rows(caller: Caller) -> None:
    """A test can add some; they are there at once."""
    caller.standin.catalogue.add(50, project="new one", name="quiet")
    run = await read(caller, "details/by-display-id/NON-1")
    assert (run["id"], run["name"], run["createdAt"]) == (50, "quiet", "2026-05-28T20:26:40.000Z")
    assert [name["logType"] for name in run["logNames"]] == ["FILE", "IMAGE", "FILE"]


async def test_projects_are_listed_newest_first(caller: Caller, clock: Clock) -> None:
    """With the number of their runs; an organization sees its own."""
    caller.standin.rows.insert([Row(run_id=9, log_name="loss", step=0, value=1, tenant="org_other", project="secret")])
    caller.standin.catalogue.add(2, created_at_s=clock.now_s)
    caller.standin.catalogue.add(3, project="second", created_at_s=clock.now_s)
    projects = (await read(caller, "projects"))["projects"]
    assert [list(project.values()) for project in projects] == [
        [2, "second", "2026-05-28T20:26:40.000Z", "2026-05-28T20:26:40.000Z", 1],
        [1, "demo", "2026-01-01T00:00:00.000Z", "2026-05-28T20:26:40.000Z", 2],
    ]
    assert list(projects[0]) == ["id", "name", "createdAt", "updatedAt", "runCount"]


async def test_growing_runs_are_known_before_their_rows(clock: Clock) -> None:
    """Live ones are RUNNING, finished ones COMPLETED since they ended."""
    standin = Standin(StandinConfig(growth=GrowthConfig(long_series_rows=0)), clock=clock)
    live, finished = standin.catalogue.find("org_demo", 1001), standin.catalogue.find("org_demo", 2001)
    assert live is not None
    assert finished is not None
    assert (live.status, live.created_at_s) == (RunStatus.RUNNING, clock.now_s - 60)
    assert (finished.status, finished.status_updated_s) == (RunStatus.COMPLETED, clock.now_s - 60 - 86_400)
    assert [run.number for run in standin.catalogue.runs("org_demo")] == [1, 2, 3]
