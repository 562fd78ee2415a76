"""What purges take, by the keys of what is kept."""

from typing import Any

import pytest

from proxy.core.freshness.entry import Entry, digest_of
from proxy.core.freshness.purge import MOST, Purge, Purges
from proxy.core.question.query import read_query
from proxy.core.question.routes import CHART_DATA
from tests.support.charts import chart

METRICS = "/api/runs/metrics?runId=5&projectName=a%26b&logName=train/loss&limit=9"
CHART = read_query(CHART_DATA, chart([7, "MMP-1"], ["a,b", "é"]).partition("?")[2]).target
TAKEN: list[tuple[dict[str, Any], str, bool]] = [
    ({}, METRICS, True),
    ({"project": "a&b"}, METRICS, True),
    ({"project": "a"}, METRICS, False),
    ({"run": "5"}, METRICS, True),
    ({"run": "6"}, METRICS, False),
    ({"run": "5", "project": "a"}, METRICS, False),
    ({"metric": "train/loss"}, METRICS, True),
    ({"metric": "loss"}, METRICS, False),
    ({"metric": "loss"}, "/api/runs/metrics?runId=5&projectName=a", True),
    ({"run": "5"}, "/api/runs/list?projectName=a", True),
    ({"project": "a"}, "/api/runs/projects", True),
    ({"run": "5"}, "/api/runs/compare?runIds=4,5&projectName=a&logName=x", True),
    ({"run": "5"}, "/api/runs/compare?runIds=4,55&projectName=a&logName=x", False),
    ({"run": "5"}, "/api/runs/details/5", True),
    ({"run": "5"}, "/api/runs/details/55", False),
    ({"project": "a"}, "/api/runs/details/55", True),
    ({"run": "5"}, "/api/runs/details/by-display-id/MMP-5?projectName=a", True),
    ({"run": "5"}, "extents of /api/runs/metrics?runId=5&projectName=a&limit=10000", True),
    ({"run": "6"}, "extents of /api/runs/metrics?runId=5&projectName=a&limit=10000", False),
    ({"metric": "x"}, "pack 0f of /api/runs/metrics?runId=5&projectName=a&logName=y&limit=10000", False),
    ({"metric": "y of z"}, "pack 0f of /api/runs/metrics?runId=5&projectName=a&logName=y%20of%20z&limit=10000", True),
    ({"project": "demo"}, CHART, True),
    ({"project": "p"}, CHART, False),
    ({"metric": "a,b"}, CHART, True),
    ({"metric": "a"}, CHART, False),
    # Its ids aren't numbers.
    ({"run": "5"}, CHART, True),
    ({"run": "5", "metric": "a"}, CHART, False),
    ({"run": "6"}, "extents are forgotten", False),
    ({"project": "a", "metric": "x"}, "extents are forgotten", False),
    ({}, "extents are forgotten", True),
]


def entry(sent_at_s: float, full_asked_s: float | None = None, *, purged: bool = False) -> Entry:
    return Entry(body=b"{}", sent_at_s=sent_at_s, digest=digest_of(b"{}"), full_asked_s=full_asked_s, purged=purged)


@pytest.mark.parametrize(("named", "key", "taken"), TAKEN)
def test_what_a_purge_takes(named: dict[str, Any], key: str, taken: bool) -> None:
    """All that may hold something of what is named, and nothing that names something else."""
    assert Purge(at_s=1.0, **named).takes(key) is taken


def test_what_remains_of_entries() -> None:
    """Hard: nothing of what was asked for until then. Soft: the answer, marked once. By the oldest part of it."""
    hard, soft = Purge(at_s=10.0, run="5"), Purge(at_s=10.0, run="5", soft=True)
    for purge in (hard, soft):
        assert purge.remains_of(METRICS, newer := entry(10.5)) is newer
        assert purge.remains_of("/api/runs/metrics?runId=6", other := entry(9)) is other
    for old in (entry(10), entry(9), entry(11, 9)):
        assert hard.remains_of(METRICS, old) is None
        marked = soft.remains_of(METRICS, old)
        assert marked is not None
        assert marked.purged
        assert soft.remains_of(METRICS, marked) is marked
        assert hard.remains_of(METRICS, marked) is None
        assert soft.remains_of(f"extents of {METRICS}", old) is None


def test_the_purges_of_the_last_while() -> None:
    """All of them count; the oldest are forgotten after a while, or count as one of everything where there are too many."""
    purges = Purges(keep_s=100.0)
    assert purges.remains_of(METRICS, old := entry(1)) is old
    purges.add(Purge(at_s=10.0, run="5", soft=True))
    purges.add(Purge(at_s=20.0, run="6"))
    assert purges.count == 2
    assert purges.was_purged(METRICS, 10.0)
    assert not purges.was_purged(METRICS, 11.0)
    marked = purges.remains_of(METRICS, entry(1))
    assert marked is not None
    assert marked.purged
    purges.add(Purge(at_s=20.5, run="5"))
    assert purges.remains_of(METRICS, entry(1)) is None
    purges.add(Purge(at_s=115.0, run="7"))
    assert not purges.was_purged(METRICS, 10.0) or purges.was_purged(METRICS, 20.5)
    purges.add(Purge(at_s=300.0, run="7"))
    assert not purges.was_purged(METRICS, 20.5)
    for number in range(MOST):
        purges.add(Purge(at_s=301.0 + number / 1000, run="8"))
    assert purges.was_purged(METRICS, 300.0)
    assert not purges.was_purged(METRICS, 300.5)
