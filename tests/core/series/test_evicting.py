"""Chunks that leave memory and come back: the series stays the same, and is told from any other."""

from dataclasses import replace

import pytest
from msgspec.structs import replace as changed

from proxy.core.series.answers import split
from proxy.core.series.compacting import ChunkSizes, compacted
from proxy.core.series.evicting import absent_of, are_twins, chunks_of, with_chunks, without_chunks
from proxy.core.series.extents import Extents
from proxy.core.series.metrics_query import MetricsQuery
from tests.support.oracle import permitted
from tests.support.oracle_upstream import asked_of, row

SERIES = MetricsQuery(run="1", project="p", name="a", group=None, limit=10_000, first=0, last=None)
SIZES = ChunkSizes(rows=5, open_rows=4)


def series(rows: int = 40, *, sent_at_s: float = 1000, odd: int | None = None, first: int = 0) -> Extents:
    """Return a series in chunks, from step `first` on; the row at step `odd` is another one."""
    question = MetricsQuery(run="1", project="p", name="a", group=None, limit=10_000, first=first, last=None)
    every = [row("a", 2 * number, value=7 if 2 * number == odd else 1) for number in range(rows)]
    body = next(permitted(every, asked_of(question.query.values)))
    return compacted(split(body, question, sent_at_s=sent_at_s, overlap_s=0), SIZES)


def test_a_series_and_its_twin() -> None:
    """Whichever chunks are in memory, it is the same series."""
    known = series()
    chunks = {chunk.digest: chunk for chunk in chunks_of(known.by_name.values())}
    some = without_chunks(known, list(chunks)[::2])
    none = without_chunks(known, chunks)
    for one in (known, some, none):
        assert all(are_twins(one, other) for other in (known, some, none))
    assert absent_of(with_chunks(none, chunks).by_name.values()) == []
    assert are_twins(with_chunks(none, chunks), some)
    # Another window that shares the series itself.
    assert are_twins(replace(some, by_name=dict(some.by_name)), some)


@pytest.mark.parametrize(
    "other",
    [series(39), series(41), series(odd=8), series(odd=78), series(sent_at_s=1001), series(first=1), series(0), series(3)],
)
def test_others_are_no_twins(other: Extents) -> None:
    """A row more or less, another row in a chunk or behind the chunks, other ages or another window."""
    assert not are_twins(series(), other)
    assert not are_twins(other, series())


@pytest.mark.parametrize("alter", [{"looks": ((0, 1.0), (9, 2.0))}, {"unsettled": ((1.0, 3),)}, {"tail_asked_s": 999.0}])
def test_another_age_is_another_series(alter: dict[str, object]) -> None:
    """The rows are the same, but not what is known of their ages."""
    known = series()
    other = series()
    by_name = {"a": changed(other.by_name["a"], **alter)}
    assert not are_twins(known, Extents(question=SERIES, by_name=by_name, tail_asked_s=1000, full_asked_s=1000))


def test_what_a_window_without_rows_needs() -> None:
    """Rows that come there would divide a chunk."""
    known = series()
    (chunk,) = chunks_of(known.by_name.values(), 3, 3)
    assert chunk.first < 3 < chunk.last
    assert not list(chunks_of(known.by_name.values(), 100, 110))
