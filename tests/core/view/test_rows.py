"""Rows as they are read for charts: however they are held, and whatever stands in them."""

import math
from array import array

import pytest

from proxy.core.pieces import finished
from proxy.core.series.chunks import ChunkAbsentError, chunk_of
from proxy.core.series.compacting import ChunkSizes
from proxy.core.series.long_rows import LongRows
from proxy.core.view.rows import Rows, read_block, read_rows, reading_body, seconds
from tests.core.view.extents import SIZES, evicted, extent_of, extents_of
from tests.support.oracle import OracleRow, permitted
from tests.support.oracle_upstream import asked_of, row


def same(one: Rows, other: Rows) -> bool:
    values = array("d", one.values).tobytes() == array("d", other.values).tobytes()
    return values and (one.steps, list(one.times), one.finite) == (other.steps, list(other.times), other.finite)


@pytest.mark.parametrize(
    "rows",
    [
        [row("a", step, value=step / 7) for step in range(20)],
        [row("a", step, value=0.5) for step in range(20)],
        [row("a", step, value=10.0 ** (step % 17)) for step in range(20)],
        [row("a", step, value=0, valueFlag=("", "NaN", "Inf", "-Inf")[step % 4]) for step in range(20)],
        [row("a", step, value=0, valueFlag="NaN") for step in range(20)],
        [row("a", step * step, value=-step, quoted=True) for step in range(20)],
        [row("a", step, value=step, time=f"2026-01-01 00:00:{step:02d}") for step in range(20)],
        [row("a", step, value=step, unit="50%") for step in range(20)],
        [row("a", step, value=step, time="50%") for step in range(20)],
        [row("a", step, value=step, time='a\\"b') for step in range(20)],
    ],
    ids=["usual", "alike", "of all lengths", "flags", "one flag", "quoted", "times", "later field", "percent", "quotes"],
)
def test_a_chunk_is_read_as_its_rows_are(rows: list[OracleRow]) -> None:
    """By its columns or row by row."""
    plain, long = extent_of(rows, None), extent_of(rows, SIZES)
    assert isinstance(long.rows, LongRows)
    expected = read_rows(plain.head, plain.rows, array("q", plain.steps))
    begin, found = 0, []
    for part in long.rows.parts.all:
        found.append(read_block(long, begin, begin + part.count))
        begin += part.count
    together = Rows(
        array("q", [step for one in found for step in one.steps]),
        [value for one in found for value in one.values],
        [time for one in found for time in one.times],
        all(one.finite for one in found),
    )
    assert same(together, expected)


def test_rows_on_disk_alone() -> None:
    """They can't be read, by columns either."""
    known = evicted(extents_of([row("a", step) for step in range(20)], ChunkSizes(rows=5, open_rows=4)))
    with pytest.raises(ChunkAbsentError):
        read_block(known.by_name["a"], 0, 5)
    absent = chunk_of([b"{}"], array("q", [1])).let_go()
    with pytest.raises(ChunkAbsentError):
        absent.texts(0, 1)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("1970-01-01 00:00:01.250", 1.25),
        ("1970-01-01T01:00:00+01:00", 0.0),
        ("yesterday", None),
        ("", None),
        (17, None),
        (None, None),
        ("0001-01-01 00:00:00", -62_135_596_800.0),
    ],
)
def test_times(told: object, expected: float | None) -> None:
    """A time without a zone is UTC; what can't be read is none."""
    found = seconds(told)
    assert math.isnan(found) if expected is None else found == expected


def test_a_sample() -> None:
    """Its rows may come in another order, with steps beyond what is exact, and without a value."""
    rows = [
        row("a", 7, value=1),
        row("a", 10**30, value=2),
        row("a", 3, quoted=True, valueFlag="?"),
        row("a", -(10**30), value=4),
    ]
    texts = [one.text.encode() for one in rows] + [b'{"step":8,"value":null}']
    found = finished(reading_body(b'{"metrics":[' + b",".join(texts) + b"]}"))
    assert found.steps.tolist() == [1 - 2**63, 3, 7, 8, 2**63 - 1]
    assert found.values[:3] == [4, 1, 1]
    assert math.isnan(found.values[3])
    assert not found.finite
    assert finished(reading_body(next(permitted([], asked_of({}))))).values == []


@pytest.mark.parametrize("body", [b"", b"[]", b'{"metrics":[1]}', b'{"metrics":[{"step":"x"}]}', b'{"metrics":[{"step":1.5}]}'])
def test_what_is_no_sample(body: bytes) -> None:
    """It is refused."""
    with pytest.raises(ValueError, match=r"."):
        finished(reading_body(body))
