"""Views asked of a running proxy, and compared with the oracle's."""

import json
import math
from collections.abc import Iterable
from typing import Any

import pytest

from tests.support import view_oracle as oracle
from tests.support.oracle import OracleRow
from tests.support.view_oracle import Point
from tests.support.world import Reply, World

VIEW = "/view/series?project=p&run=1"
_VALUES = {"": None, "NaN": math.nan, "Inf": math.inf, "-Inf": -math.inf}


def points_of(rows: Iterable[OracleRow], name: str = "loss") -> list[Point]:
    """Return the rows of a series, as the oracle of views has them. Their times are left out."""
    found = []
    for row in sorted((row for row in rows if row.name == name), key=lambda row: row.step):
        told = json.loads(row.text)
        flagged = _VALUES[told["valueFlag"]]
        found.append(Point(row.step, told["value"] if flagged is None else flagged))
    return found


async def seen(running: World, raw: str = "metric=loss", **headers: str) -> list[dict[str, Any]]:
    """Return the series of a view of run 1."""
    reply = await running.get(f"{VIEW}&{raw}", **headers)
    assert reply.status == 200, reply.body
    return series_of(reply)


def series_of(reply: Reply) -> list[dict[str, Any]]:
    """Return the series of an answer, whose JSON has no constants that aren't JSON."""
    told: list[dict[str, Any]] = json.loads(reply.body, parse_constant=_refuse)["series"]
    return told


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")


def check_series(
    told: dict[str, Any], points: list[Point], *, most: int = 1_000, first: int = 0, last: int | None = None, smooth: float = 0
) -> None:
    """See to it that a series of an answer is the oracle's."""
    inside = oracle.within(points, first, last)
    width = oracle.width_of(inside, most)
    assert (told["rows"], told["width"]) == (len(inside), width)
    columns, expected = told["columns"], oracle.buckets(inside, width)
    ours = {"min": "least", "max": "greatest"}
    for name in ("step", "count", "min", "max", "first", "last", "nan", "inf", "neg_inf"):
        assert columns[name] == [getattr(bucket, ours.get(name, name)) for bucket in expected], name
    for mean, bucket in zip(columns["mean"], expected, strict=True):
        assert mean == (None if bucket.mean is None else pytest.approx(float(bucket.mean), rel=1e-9))
    if smooth:
        courses = [oracle.smoothed(points, end, smooth) for end in oracle.ends(inside, width)]
        assert columns["smoothed"] == [None if course is None else pytest.approx(course, rel=1e-9) for course in courses]
    else:
        assert "smoothed" not in columns
