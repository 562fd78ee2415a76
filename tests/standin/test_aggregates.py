"""Statistics, comparisons, rankings and names are derived from the rows."""

import math
from collections.abc import AsyncIterator

import aiohttp
import pytest

from proxy.standin import Row, RunStatus, Standin, StepMode

from .support import Caller, Clock, read, refused


@pytest.fixture
def standin(clock: Clock) -> Standin:
    """Two runs with a loss, one with none; one name has no finite value."""
    standin = Standin(clock=clock)
    standin.rows.insert(Row(run_id=1, log_name="train/loss", step=step, value=4 - step) for step in range(4))
    standin.rows.insert(
        [
            Row(run_id=1, log_name="train/loss", step=9, value=math.inf),
            Row(run_id=1, log_name="acc", step=0, value=math.nan),
            Row(run_id=2, log_name="train/loss", step=2, value=0.5),
            Row(run_id=2, log_name="train/loss", step=1, value=2.5, time="2026-01-02 00:00:00.000"),
            Row(run_id=3, log_name="val/los", step=0, value=1),
            Row(run_id=4, log_name="train/loss", step=0, value=9, project="other"),
        ]
    )
    return standin


@pytest.fixture
async def caller(standin: Standin) -> AsyncIterator[Caller]:
    async with standin.serve() as url, aiohttp.ClientSession() as session:
        yield Caller(standin, url, session)


async def test_statistics(caller: Caller) -> None:
    """Over finite values; the last step counts any row."""
    answer = await read(caller, "statistics?runId=1&projectName=demo")
    assert list(answer) == ["runId", "runName", "projectName", "url", "metrics"]
    assert answer["url"] == "https://pluto.example/o/demo/projects/demo/Uk"
    assert [list(metric) for metric in answer["metrics"]] == [
        ["logName", "logGroup", "count", "min", "max", "mean", "stddev", "last"]
    ] * 2
    assert answer["metrics"][0] == {
        "logName": "acc", "logGroup": "", "count": 0, "min": 0, "max": 0, "mean": None, "stddev": None,
        "last": {"step": 0, "value": 0},
    }  # fmt: skip
    loss = answer["metrics"][1]
    assert (loss["logGroup"], loss["count"], loss["min"], loss["max"], loss["mean"]) == ("train", 4, 1, 4, 2.5)
    assert loss["stddev"] == pytest.approx(math.sqrt(1.25))
    assert loss["last"] == {"step": 9, "value": 1}


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("logName=", ["acc", "train/loss"]),
        ("logName=acc", ["acc"]),
        ("logName=none", []),
        ("logGroup=train", ["train/loss"]),
        ("logGroup=", ["acc"]),
    ],
)
async def test_statistics_of_some_names(caller: Caller, query: str, names: list[str]) -> None:
    """An empty group is the names without one, an empty name none at all."""
    answer = await read(caller, f"statistics?runId=1&projectName=demo&{query}")
    assert [metric["logName"] for metric in answer["metrics"]] == names


async def test_statistics_end_at_a_hundred_names(caller: Caller) -> None:
    """The first by name."""
    caller.standin.rows.insert(Row(run_id=5, log_name=f"m{number:03}", step=0, value=1) for number in range(120))
    metrics = (await read(caller, "statistics?runId=5&projectName=demo"))["metrics"]
    assert [metric["logName"] for metric in metrics] == [f"m{number:03}" for number in range(100)]


async def test_statistics_of_no_run(caller: Caller) -> None:
    """404 for a run of another project, too."""
    for target in ("runId=9&projectName=demo", "runId=4&projectName=demo", "runId=-1&projectName=demo"):
        assert await refused(caller, f"statistics?{target}") == (404, "Run not found")
    assert (await refused(caller, "statistics?runId=1"))[0] == 400
    assert (await refused(caller, "statistics?runId=1.5&projectName=demo"))[0] == 500


async def test_values_beyond_floating_point(caller: Caller) -> None:
    """What overflows is null."""
    caller.standin.rows.insert(Row(run_id=6, log_name="huge", step=step, value=1e308) for step in range(3))
    (huge,) = (await read(caller, "statistics?runId=6&projectName=demo"))["metrics"]
    assert (huge["max"], huge["mean"], huge["stddev"]) == (1e308, None, None)


async def test_comparison(caller: Caller) -> None:
    """By id whatever the order asked; only the URL keeps that, with what is dropped from the runs."""
    answer = await read(caller, "compare?runIds=3,%202,x,,1.0,2,4&projectName=demo&logName=train/loss")
    assert list(answer) == ["projectName", "logName", "comparisonUrl", "runs"]
    assert answer["comparisonUrl"] == "https://pluto.example/o/demo/projects/demo?runs=3,2,0,1,2,4"
    assert [run["runId"] for run in answer["runs"]] == [1, 2, 3]
    assert list(answer["runs"][0]) == ["runId", "runName", "url", "status", "config", "stats"]
    assert answer["runs"][0]["stats"] == {"count": 4, "min": 1, "max": 4, "mean": 2.5, "final": 1}
    assert answer["runs"][1]["stats"] == {"count": 2, "min": 0.5, "max": 2.5, "mean": 1.5, "final": 0.5}
    assert answer["runs"][2]["stats"] is None
    caller.standin.catalogue.change(2, status=RunStatus.CANCELLED)
    answer = await read(caller, "compare?runIds=2&projectName=demo&logName=acc")
    assert [(run["status"], run["stats"]) for run in answer["runs"]] == [("CANCELLED", None)]
    assert (await read(caller, "compare?runIds=&projectName=demo&logName=acc"))["runs"] == []


async def test_comparisons_that_are_refused(caller: Caller) -> None:
    """None, too many, or not to be read."""
    rest = "projectName=demo&logName=loss"
    assert await refused(caller, f"compare?runIds=x&{rest}") == (400, "No valid run IDs provided")
    message = "Too many runs to compare. Maximum is 100, got 101"
    assert await refused(caller, f"compare?runIds={'1,' * 100}&{rest}") == (400, message)
    assert (await refused(caller, f"compare?runIds=1.5&{rest}"))[0] == 500
    status, issues = await refused(caller, "compare")
    assert (status, [issue["path"][0] for issue in issues]) == (400, ["runIds", "projectName", "logName"])


async def test_leaderboard(caller: Caller) -> None:
    """Ranks go on across pages."""
    answer = await read(caller, "leaderboard?projectName=demo&logName=train/loss")
    assert list(answer) == ["projectName", "logName", "aggregation", "direction", "runs", "total"]
    assert (answer["aggregation"], answer["direction"], answer["total"]) == ("LAST", "ASC", 2)
    assert [(run["rank"], run["runId"], run["value"]) for run in answer["runs"]] == [(1, 2, 0.5), (2, 1, 1)]
    assert list(answer["runs"][0]) == [
        "rank", "runId", "runName", "status", "url", "value", "config", "tags", "createdAt",
    ]  # fmt: skip
    page = await read(caller, "leaderboard?projectName=demo&logName=train/loss&limit=1&offset=1&direction=DESC")
    assert [(run["rank"], run["runId"]) for run in page["runs"]] == [(2, 2)]
    assert page["total"] == 2


@pytest.mark.parametrize(
    ("aggregation", "values"), [("MIN", [0.5, 1]), ("MAX", [2.5, 4]), ("AVG", [1.5, 2.5]), ("VARIANCE", [1, 1.25])]
)
async def test_leaderboard_by_aggregate(caller: Caller, aggregation: str, values: list[float]) -> None:
    """Each aggregate ranks by itself; what has no value comes last."""
    answer = await read(caller, f"leaderboard?projectName=demo&logName=train/loss&aggregation={aggregation}")
    assert [run["value"] for run in answer["runs"]] == values
    caller.standin.rows.insert([Row(run_id=3, log_name="train/loss", step=0, value=math.nan)])
    for direction in ("ASC", "DESC"):
        query = f"leaderboard?projectName=demo&logName=train/loss&aggregation=AVG&direction={direction}"
        assert [run["runId"] for run in (await read(caller, query))["runs"]][-1] == 3


async def test_leaderboard_of_nothing(caller: Caller) -> None:
    """Empty for an unknown name or project, and with a limit of 0; the rest is refused."""
    assert (await read(caller, "leaderboard?projectName=demo&logName=none&offset=-1"))["runs"] == []
    assert (await read(caller, "leaderboard?projectName=none&logName=train/loss"))["total"] == 0
    nothing = await read(caller, "leaderboard?projectName=demo&logName=train/loss&limit=0")
    assert (nothing["runs"], nothing["total"]) == ([], 2)
    assert len((await read(caller, "leaderboard?projectName=demo&logName=train/loss&limit=1e3"))["runs"]) == 2
    status, issues = await refused(
        caller, "leaderboard?projectName=demo&logName=a&aggregation=last&direction=ASC&direction=ASC"
    )
    assert (status, [issue["code"] for issue in issues]) == (400, ["invalid_enum_value", "invalid_type"])
    for query in ("limit=1.5", "offset=-1"):
        assert (await refused(caller, f"leaderboard?projectName=demo&logName=train/loss&{query}"))[0] == 500


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["acc", "train/loss", "val/los"]),
        ("&runIds=", ["acc", "train/loss", "val/los"]),
        ("&runIds=x", ["acc", "train/loss", "val/los"]),
        ("&runIds=3,%201.0,3", ["acc", "train/loss", "val/los"]),
        ("&runIds=3,", ["val/los"]),
        ("&runIds=4", []),
        ("&limit=1", ["acc"]),
        ("&limit=0", []),
        ("&limit=Infinity", ["acc", "train/loss", "val/los"]),
        ("&search=%20ACC%20", ["acc"]),
        ("&search=train/losses", ["train/loss"]),
        ("&search=val/loss", ["val/los"]),
        ("&search=rain%25loss", ["train/loss"]),
        ("&search=zzz", []),
    ],
)
async def test_metric_names(caller: Caller, query: str, names: list[str]) -> None:
    """Of a project or of some runs; near misses are found."""
    answer = await read(caller, f"metric-names?projectName=demo{query}")
    assert answer == {"projectName": "demo", "metricNames": names}


async def test_names_that_hold_the_search_come_first(caller: Caller) -> None:
    """Near ones follow."""
    caller.standin.rows.insert(Row(run_id=7, log_name=name, step=0, value=1) for name in ("a/lose", "b/LOSS"))
    answer = await read(caller, "metric-names?projectName=demo&search=loss")
    assert answer["metricNames"] == ["b/LOSS", "train/loss", "a/lose", "val/los"]


async def test_metric_names_that_are_refused(caller: Caller) -> None:
    """By the schema, or by the database."""
    assert (await refused(caller, "metric-names"))[0] == 400
    for query in ("limit=-1", "limit=1.5", "runIds=1.5"):
        assert (await refused(caller, f"metric-names?projectName=demo&{query}"))[0] == 500


async def test_aggregates_are_numbers_with_older_servers_too(caller: Caller) -> None:
    """Only what is handed on as it came is quoted."""
    expected = await read(caller, "statistics?runId=1&projectName=demo")
    caller.standin.mode = StepMode.QUOTED
    assert await read(caller, "statistics?runId=1&projectName=demo") == expected
