"""The upstream's own Python client reads through the proxy what it reads directly."""

from pathlib import Path
from typing import Any

import pytest

from proxy.standin import GrowthConfig, Standin, StandinConfig, StepMode
from tests.standin.support import Clock
from tests.support.pluto_client import Call, run_client
from tests.support.world import DATA, METRICS, world

METRICS_CALLS: list[Call] = [
    ("get_metrics", ["demo", 1]),
    ("get_metrics", ["demo", 1, {"metric_names": ["loss", "train/loss"], "limit": 100}]),
    ("get_metrics", ["demo", 2, {"metric_names": ["train/loss"]}]),
    ("get_metrics", ["demo", 2, {"metric_names": ["train/loss"], "step_min": 4000, "step_max": 4500}]),
    ("get_metrics", ["demo", 3, {"limit": 7}]),
    ("get_metrics", ["demo", 999]),
]
LATE = "2027-01-01"
READING: list[Call] = [
    ("list_projects", []),
    ("list_runs", ["demo"]),
    ("list_runs", ["demo", {"filters": {"$and": [{"status": {"$ne": "RUNNING"}}, {"heartbeat_at": {"$lt": LATE}}]}}]),
    ("list_runs", ["demo", {"search": "DEM-1", "sort": "-name", "limit": 1}]),
    *[("list_runs", ["demo", {"limit": 1, "offset": offset}]) for offset in range(4)],
    ("list_runs", ["demo", {"tags": ["b", "a"]}]),
    ("list_runs", ["nothing"]),
    ("get_run", ["demo", 1001]),
    ("get_run", ["demo", "DEM-1"]),
    ("get_run", ["demo", "DEM-99"]),
    ("get_metric_names", ["demo"]),
    ("get_metric_names", ["demo", {"run_ids": [1002, 1001], "search": "loss", "limit": 1}]),
    ("get_metrics", ["demo", "DEM-1", {"metric_names": ["train/loss", "val/loss"], "step_max": 50}]),
    ("get_statistics", ["demo", "DEM-1", {"metric_names": ["train/loss"]}]),
    ("get_statistics", ["demo", 2001]),
    ("compare_runs", ["demo", [2001, "DEM-1", "DEM-1"], "train/loss"]),
    ("compare_runs", ["demo", ["DEM-1", 2001], "train/loss"]),
    ("leaderboard", ["demo", "train/loss", {"direction": "DESC"}]),
    ("leaderboard", ["demo", "train/loss", {"aggregation": "MAX", "limit": 1, "offset": 1}]),
    ("get_files", ["demo", 1001]),
    ("get_files", ["demo", "DEM-1", {"file_name": "model"}]),
    ("download_file", ["demo", "DEM-1", "model", "@copy.bin"]),
    ("get_logs", ["demo", "DEM-1"]),
    *[("get_logs", ["demo", 1001, {"limit": 50, "offset": offset}]) for offset in (0, 50, 100)],
    ("get_logs", ["demo", 1001, {"log_type": "ERROR", "limit": 2, "offset": 1}]),
    ("get_logs", ["demo", 1001, {"log_type": "error"}]),
    ("close", []),
]
# It writes, to another service.
WRITING = {"upload_file"}


@pytest.mark.parametrize("mode", list(StepMode))
async def test_metrics_are_the_same_through_the_proxy(tmp_path: Path, mode: StepMode) -> None:
    """Equal results, types included, as a miss and as a hit; the proxy spares the upstream the second round."""
    standin = Standin(StandinConfig(mode=mode))
    standin.rows.load_csv(DATA / "rows.csv.gz")
    async with world(tmp_path, standin=standin) as running:
        directly = await run_client(running.upstream, tmp_path, METRICS_CALLS)
        calls = running.metrics_calls
        assert len(repr(directly)) > 100_000
        assert await run_client(running.url, tmp_path, METRICS_CALLS) == directly
        assert running.metrics_calls == 2 * calls
        assert await run_client(running.url, tmp_path, METRICS_CALLS) == directly
        assert running.metrics_calls == 2 * calls


@pytest.mark.parametrize("mode", list(StepMode))
async def test_every_reading_method(tmp_path: Path, mode: StepMode) -> None:
    """Every public method that reads gives what it gives directly, and asks the upstream nothing the second time."""
    clock = Clock()
    growth = GrowthConfig(long_series_rows=0, finished_duration_s=100)
    standin = Standin(StandinConfig(mode=mode, growth=growth), clock=clock, monotonic=clock)
    async with world(tmp_path, standin=standin) as running:
        directly = await run_client(running.upstream, tmp_path, READING)
        assert {name for name, _ in READING} == set(directly["public"]) - WRITING
        asked = running.standin.counters.by_path.copy()
        through = await run_client(running.url, tmp_path, READING)
        assert through == directly
        assert_reads_much(through["answers"])
        before = running.standin.counters.by_path.copy()
        assert before[METRICS] == 2 * asked[METRICS] == 4
        assert await run_client(running.url, tmp_path, READING) == directly
        newly = {path for path, count in running.standin.counters.by_path.items() if count != before[path]}
        # A file comes from where it is stored, and a run that isn't there is a 404 that was kept.
        assert {path for path in newly if not path.startswith("/storage/")} == set()


async def test_uploading(tmp_path: Path) -> None:
    """By `host=` it is refused, with what to do instead in that part of the answer which the client shows; and that helps."""
    standin = Standin(StandinConfig(growth=GrowthConfig()))
    (tmp_path / "source").write_bytes(b"content")
    upload: Call = ("upload_file", ["demo", "DEM-1", "notes", "@source"])
    async with world(tmp_path, standin=standin) as running:
        refused = await run_client(running.url, tmp_path, [upload])
        assert refused["answers"]["upload_file"] == [{"status": 405}]
        (message,) = refused["refusals"]
        for advice in (
            "host= sends uploads to the same address",
            "a Client without host=",
            "PLUTO_URL_INGEST",
            "own Pluto key",
            "unless it has tokens",
        ):
            assert advice in message
        # Reading by the proxy, and uploading past it: to where PLUTO_URL_INGEST says, else to Pluto's own.
        variables = {"PLUTO_URL_API": running.url, "PLUTO_URL_INGEST": running.upstream}
        said = await run_client("", tmp_path, [upload, ("get_files", ["demo", "DEM-1", {"file_name": "notes"}])], **variables)
        assert said["answers"]["upload_file"] == [None]
        assert [file["fileName"] for file in said["answers"]["get_files"][0]] == ["source"]


def assert_reads_much(answers: Any) -> None:
    """See to it that the comparison compares something."""
    for name in answers:
        if name != "close":
            assert any(answers[name]), name
    assert {"status": 404} in answers["get_run"]
    assert {"status": 400} in answers["get_logs"]
    assert len(bytes.fromhex(answers["download_file"][0])) == 100_000
