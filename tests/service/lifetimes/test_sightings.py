"""Since when series were seen to stand still."""

from collections.abc import Mapping

import pytest

from proxy.core.question.query import read_query
from proxy.core.question.routes import METRICS
from proxy.core.series.metrics_query import metrics_query
from proxy.service.lifetimes.sightings import Sightings
from tests.support.world import ManualClock


def values(raw: str) -> Mapping[str, str]:
    return read_query(METRICS, f"runId=1&projectName=p&{raw}").values


def sightings_at(raw: str, clock: ManualClock, *, most: int = 100) -> Sightings:
    sightings = Sightings(clock, most=most)
    sightings.note("n", values(raw), clock.now_s(), confirms=False)
    clock.advance(60)
    return sightings


@pytest.mark.parametrize(
    ("looked", "asked"),
    [
        ("", ""),
        ("", "logName=a"),
        ("", "logName=a&logGroup=g&stepMin=3&limit=7"),
        ("logName=a", "logName=a&limit=3"),
        ("logName=a", "logName=a&stepMax=7"),
        ("logName=a", "logName=a&logGroup=g"),
        ("logGroup=g", "logName=a&logGroup=g"),
        ("logGroup=g", "logGroup=g"),
        ("logName=a&logGroup=g", "logName=a&logGroup=g&stepMax=9"),
        ("logName=a&stepMin=0", "logName=a"),
        ("logName=a&stepMin=3&stepMax=9&limit=3", "logName=a&stepMax=9.0&stepMin=3"),
    ],
)
def test_a_look_at_a_question_s_series(looked: str, asked: str) -> None:
    """At all of a run's, at those of the name, of the group, or at the very window, of however many rows."""
    sightings = sightings_at(looked, clock := ManualClock())
    assert sightings.stood_s("n", values(asked)) == 60
    metrics = metrics_query(read_query(METRICS, f"runId=1&projectName=p&{asked}"))
    assert metrics is not None
    assert sightings.stood_s("n", metrics.values) == 60
    clock.advance(-100)
    assert sightings.stood_s("n", values(asked)) == 0


@pytest.mark.parametrize(
    ("looked", "asked"),
    [
        ("logName=a", ""),
        ("logName=a", "logName=b"),
        ("logName=a", "logGroup=g"),
        ("logName=a&logGroup=g", "logName=a"),
        ("logName=a&logGroup=g", "logName=b&logGroup=g"),
        ("logName=a&logGroup=g", "logGroup=g"),
        ("logGroup=g", "logName=a&logGroup=h"),
        ("logName=a&stepMin=3", "logName=a"),
        ("logName=a&stepMin=3", "logName=a&stepMin=3&stepMax=9"),
        ("logName=a&stepMax=9", "logName=a&stepMax=8"),
    ],
)
def test_a_look_at_others(looked: str, asked: str) -> None:
    """At another name, or at less than what is asked for."""
    assert sightings_at(looked, ManualClock()).stood_s("n", values(asked)) == 0


def test_runs_projects_and_namespaces_are_apart() -> None:
    """What was looked at in one says nothing of another."""
    sightings = sightings_at("", ManualClock())
    assert sightings.stood_s("n", {"runId": "1", "projectName": "p"}) == 60
    assert sightings.stood_s("n", {"runId": "2", "projectName": "p"}) == 0
    assert sightings.stood_s("n", {"runId": "1", "projectName": "q"}) == 0
    assert sightings.stood_s("m", {"runId": "1", "projectName": "p"}) == 0


def test_only_what_is_confirmed_counts_from_before() -> None:
    """A look that brings the same goes on from the first one, or from an earlier one that was stored; another one begins."""
    sightings, asked = sightings_at("logName=a", clock := ManualClock()), values("logName=a")
    sightings.note("n", asked, clock.now_s(), confirms=True)
    assert sightings.stood_s("n", asked) == 60
    sightings.note("n", asked, clock.now_s() - 100, confirms=True)
    assert sightings.stood_s("n", asked) == 100
    sightings.note("n", asked, clock.now_s() - 1, confirms=False)
    assert sightings.stood_s("n", asked) == 1


def test_memory_is_bounded() -> None:
    """What was looked at first is forgotten first."""
    sightings = sightings_at("logName=0", clock := ManualClock(), most=10)
    for number in range(1, 11):
        sightings.note("n", values(f"logName={number}"), clock.now_s() - 1, confirms=False)
    assert [sightings.stood_s("n", values(f"logName={number}")) for number in range(11)] == [0] + [1] * 10
