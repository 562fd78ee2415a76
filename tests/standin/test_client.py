"""Every public method of the upstream's Python client works against the stand-in."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proxy.standin import GrowthConfig, Row, Standin, StandinConfig, StepMode
from tests.support.pluto_client import Call, run_client

from .support import Clock

CALLS: list[Call] = [
    ("list_projects", []),
    ("list_runs", ["demo"]),
    ("list_runs", ["demo", {"filters": {"$and": [{"status": {"$ne": "RUNNING"}}, {"heartbeat_at": {"$lt": "2027-01-01"}}]}}]),
    ("list_runs", ["demo", {"search": "DEM-1", "sort": "+name", "limit": 1, "offset": 0}]),
    ("get_run", ["demo", 1001]),
    ("get_run", ["demo", "DEM-1"]),
    ("get_run", ["demo", "DEM-99"]),
    ("get_metric_names", ["demo", {"run_ids": [1001], "search": "loss", "limit": 1}]),
    ("get_metrics", ["demo", "DEM-1", {"metric_names": ["train/loss", "val/loss"], "step_max": 5}]),
    ("get_statistics", ["demo", "DEM-1", {"metric_names": ["train/loss"]}]),
    ("compare_runs", ["demo", [2001, "DEM-1", "DEM-1"], "train/loss"]),
    ("leaderboard", ["demo", "train/loss", {"direction": "DESC"}]),
    ("get_files", ["demo", 1001]),
    ("get_files", ["demo", "DEM-1", {"file_name": "model"}]),
    ("upload_file", ["demo", "DEM-1", "notes/read me", "@source é.txt", {"step": 7, "caption": "c"}]),
    ("get_files", ["demo", 1001, {"file_name": "notes/read me"}]),
    ("download_file", ["demo", "DEM-1", "notes/read me", "@"]),
    ("download_file", ["demo", "DEM-1", "model", "@copy.bin"]),
    ("get_logs", ["demo", "DEM-1"]),
    ("get_logs", ["demo", 1001, {"log_type": "ERROR", "limit": 2, "offset": 1}]),
    ("get_logs", ["demo", 1001, {"log_type": "error"}]),
    ("close", []),
]


@pytest.fixture(params=list(StepMode))
async def served(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Standin, str]]:
    clock = Clock()
    growth = GrowthConfig(long_series_rows=0, finished_duration_s=100)
    standin = Standin(StandinConfig(mode=request.param, growth=growth), clock=clock, monotonic=clock)
    standin.rows.insert([Row(run_id=5, log_name="loss", step=0, value=1, project="other")])
    async with standin.serve() as url:
        yield standin, url


async def test_every_public_method(served: tuple[Standin, str], tmp_path: Path) -> None:
    """Answers have the fields that the client reads; 404 and 400 become its own errors; files go up and come down."""
    standin, url = served
    content = "grüße\n".encode() * 1000
    (tmp_path / "source é.txt").write_bytes(content)
    said = await run_client(url, tmp_path, CALLS)
    assert {name for name, _ in CALLS} == set(said["public"])
    answers = said["answers"]
    assert [project["name"] for project in answers["list_projects"][0]] == ["demo", "other"]
    assert [[run["id"] for run in runs] for runs in answers["list_runs"]] == [[1002, 1001, 2001], [2001], [1001]]
    numeric, displayed, missing = answers["get_run"]
    assert numeric["id"] == displayed["id"] == 1001
    assert missing == {"status": 404}
    assert answers["get_metric_names"] == [["train/loss"]]
    assert [row["metric"] for row in answers["get_metrics"][0]] == ["train/loss"] * 6 + ["val/loss"]
    assert [metric["logName"] for metric in answers["get_statistics"][0]["metrics"]] == ["train/loss"]
    assert [run["runId"] for run in answers["compare_runs"][0]["runs"]] == [1001, 2001]
    assert [run["rank"] for run in answers["leaderboard"][0]["runs"]] == [1, 2, 3]
    everything, model, uploaded = answers["get_files"]
    assert len(everything) == 4
    assert [file["fileName"] for file in model] == ["last checkpoint.pt"]
    assert (uploaded[0]["fileName"], int(uploaded[0]["fileSize"]), uploaded[0]["caption"]) == (
        "source é.txt",
        len(content),
        "c",
    )
    notes, checkpoint = map(bytes.fromhex, answers["download_file"])
    assert notes == content
    assert len(checkpoint) == int(model[0]["fileSize"]) == 100_000
    assert standin.mode is (StepMode.QUOTED if isinstance(model[0]["step"], str) else StepMode.UNQUOTED)
    every_line, errors, refused = answers["get_logs"]
    assert len(every_line) > 300
    assert [int(line["lineNumber"]) for line in errors] == [33, 53]
    assert refused == {"status": 400}
    assert not [call for call in standin.counters.calls if call.status is None or call.status >= 500]
    assert standin.counters.by_path["/api/runs/list"] == 3
