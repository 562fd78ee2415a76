"""Growing runs are a function of the clock."""

import json
from typing import Any

from proxy.standin import GrowthConfig, Standin, StandinConfig
from proxy.standin.growth import Growth, Series
from proxy.standin.params import MetricsQuery
from proxy.standin.rows import Rows

from .support import Clock

CONFIG = GrowthConfig(history_s=0, long_series_rows=0, finished_duration_s=100)


def grown(*at_s: float, config: GrowthConfig = CONFIG, run_id: int = 1001) -> list[dict[str, Any]]:
    """The rows of a run after looking at each of these moments, seconds after the stand-in's start."""
    clock = Clock()
    rows = Rows()
    growth = Growth(config, rows, clock.now_s)
    for moment_s in at_s:
        growth.advance(clock.now_s + moment_s)
    query = MetricsQuery(run_id=run_id, project="demo", log_name="", log_group="", limit=10_000, step_min=None, step_max=None)
    texts = rows.select("org_demo", query, quoted_steps=False)
    rows.close()
    return [json.loads(text) for text in texts]


def steps(rows: list[dict[str, Any]], name: str) -> list[int]:
    return [row["step"] for row in rows if row["logName"] == name]


def test_growth_does_not_depend_on_who_looks_when() -> None:
    """Looking once or often gives the same rows, and a clock that goes back takes none away."""
    assert grown(700) == grown(0, 0.5, 1, 77.7, 300, 299, 700) == grown(700, 3)


def test_growth_is_the_same_every_time() -> None:
    """A row that was there stays as it was, but for the rewritten ones."""
    earlier = [row for row in grown(200) if row["logName"] != "eval/rewritten"]
    later = grown(201)
    assert all(row in later for row in earlier)
    assert len(steps(later, "train/loss")) == len(steps(earlier, "train/loss")) + 1 == 202


def test_series_have_their_own_cadence() -> None:
    """Each second, each ten, each 500 steps; by epoch; one that appears midway."""
    rows = grown(1000)
    assert len({row["logName"] for row in rows if row["logName"].startswith("train/")}) == 8
    assert steps(rows, "train/loss") == list(range(1001))
    assert steps(rows, "sys/gpu.0.util") == list(range(0, 1001, 10))
    assert steps(rows, "val/loss") == [0, 500, 1000]
    assert steps(rows, "epoch/accuracy") == list(range(1, 9))
    assert steps(rows, "late/reward") == list(range(300, 1001))
    assert steps(grown(299.9), "late/reward") == []


def test_one_name_is_in_two_groups() -> None:
    """They share no step."""
    rows = [row for row in grown(9) if row["logName"] == "both/groups"]
    assert {row["logGroup"] for row in rows} == {"both", "legacy"}
    assert steps(rows, "both/groups") == list(range(10))


def test_rows_are_logged_again() -> None:
    """The tenth row has an earlier step, a later time and another value."""
    before, after = ({row["step"]: row for row in grown(at_s) if row["logName"] == "eval/rewritten"} for at_s in (8, 9))
    assert before.keys() == after.keys() == set(range(9))
    changed = [step for step in before if before[step] != after[step]]
    assert changed == [4]
    assert after[4]["time"] > after[8]["time"] > before[4]["time"]


def test_the_long_series_is_there_from_the_start() -> None:
    """In the first live run only; it goes on growing."""
    config = GrowthConfig(long_series_rows=9000, history_s=0)
    assert steps(grown(0, config=config), "dense/signal") == list(range(9001))
    assert steps(grown(1, config=config), "dense/signal")[-1] == 9001
    assert steps(grown(1, config=config, run_id=1002), "dense/signal") == []


def test_finished_runs_have_ended() -> None:
    """All of their rows are there at once, and no more come."""
    config = GrowthConfig(live_runs=0, finished_duration_s=100)
    rows = grown(0, config=config, run_id=2001)
    assert steps(rows, "train/loss") == list(range(101))
    assert rows == grown(86_400, config=config, run_id=2001)


def test_rows_can_arrive_later_than_their_time() -> None:
    """The sender's clock says when a row was logged, not when it came."""
    config = GrowthConfig(history_s=0, long_series_rows=0, arrival_delay_s=5)
    assert grown(4.9, config=config) == []
    assert grown(15, config=config) == grown(10)
    assert grown(0, config=config, run_id=2001) == grown(9, run_id=2001, config=GrowthConfig(live_runs=0, history_s=0))


def test_times_are_the_sender_s_clock() -> None:
    """Milliseconds, no zone."""
    config = GrowthConfig(start_s=Clock().now_s - 0.75, long_series_rows=0)
    times = [row["time"] for row in grown(0.25, config=config) if row["logName"] == "train/loss"]
    assert times == ["2026-05-28 20:26:39.250", "2026-05-28 20:26:40.250"]


def test_more_metrics_than_names() -> None:
    """Further ones are numbered."""
    names = {row["logName"] for row in grown(0, config=GrowthConfig(metrics=10, history_s=0, long_series_rows=0))}
    assert {"train/metric_8", "train/metric_9"} <= names


def test_plain_runs_alone() -> None:
    """Without uncommon series there are those of the metrics, and the long one where it is asked for."""
    config = GrowthConfig(metrics=2, history_s=0, long_series_rows=10, uncommon=False)
    names = [row["logName"] for row in grown(700, config=config)]
    assert set(names) == {"train/loss", "train/accuracy", "dense/signal"}
    assert {row["logName"] for row in grown(700, config=config, run_id=1002)} == {"train/loss", "train/accuracy"}


def test_when_the_late_series_appears() -> None:
    """At the moment that is set."""
    config = GrowthConfig(history_s=0, long_series_rows=0, late_s=20)
    assert steps(grown(19.9, config=config), "late/reward") == []
    assert steps(grown(21, config=config), "late/reward") == [300, 301]


def test_a_series_without_rows_yet() -> None:
    """Before its start nothing is due, and its backlog isn't either."""
    assert Series(name="m", starts_s=5, backlog=3).due(4.9) == 0
    assert Series(name="m", starts_s=5, backlog=3).due(5) == 4


async def test_a_served_stand_in_grows(clock: Clock) -> None:
    """Each query sees what is due at its own time; runs have a status."""
    standin = Standin(StandinConfig(growth=CONFIG), clock=clock)
    standin.materialise()
    before = len(standin.rows)
    clock.now_s += 1
    standin.materialise()
    assert len(standin.rows) > before
    assert standin.growth is not None
    assert [run.status for run in standin.growth.runs] == ["RUNNING", "RUNNING", "COMPLETED"]
