"""The edges of what is done with long series: what doesn't fit, and what there is nothing of."""

from array import array
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace as changed

from proxy.core.pieces import finished
from proxy.core.proof.known_rows import last_known_row
from proxy.core.series.answers import split
from proxy.core.series.compacting import ChunkSizes, compacted
from proxy.core.series.evicting import chunks_of
from proxy.core.series.extents import Extents, Known
from proxy.core.series.growth import differing
from proxy.core.series.long_rows import LongRows, rows_of
from proxy.core.series.looks import Turns, due
from proxy.core.series.metrics_query import MetricsQuery
from proxy.core.series.packs import head_of, written
from proxy.core.series.rechecking import rechecking
from proxy.core.series.unpacking import read
from tests.support.oracle import permitted
from tests.support.oracle_upstream import asked_of, row

SERIES = MetricsQuery(run="1", project="p", name="a", group=None, limit=10_000, first=0, last=None)
SIZES = ChunkSizes(rows=4, open_rows=4)


def told(steps: range, question: MetricsQuery = SERIES, *, group: str = "", sent_at_s: float = 1000) -> Extents:
    """Return what an answer about one series tells."""
    rows = [row("a", step, group=group) for step in steps]
    return split(next(permitted(rows, asked_of(question.query.values))), question, sent_at_s=sent_at_s, overlap_s=0)


def test_the_last_known_row_of_an_answer() -> None:
    """There is none where nothing is known in the window, or of the name, or where the answer doesn't hold it."""
    known = told(range(20))
    assert last_known_row(told(range(5, 9), replace(SERIES, first=5, last=8)), known) == 8
    assert last_known_row(told(range(5, 8), replace(SERIES, first=5, last=8)), known) is None
    assert last_known_row(told(range(30, 33), replace(SERIES, first=30)), known) is None
    assert last_known_row(told(range(0)), known) is None
    assert last_known_row(known, told(range(0))) is None


def test_rows_of_another_group_are_a_difference() -> None:
    """Also where there are as many."""
    assert finished(differing(told(range(9)), told(range(9), group="g")))
    assert not finished(differing(told(range(9)), told(range(9))))


def test_what_is_long_overdue() -> None:
    """All of it is due, once; nothing is where the clock was set back."""
    steps, turns = array("q", range(9)), Turns(rows=4, period_s=1)
    assert [stretch.first for stretch in due(((0, 0.0),), steps, turns, now_s=1_000)] == [0, 4, 8]
    assert due(((0, 2_000.0),), steps, turns, now_s=1_000) == []


def test_a_stretch_that_does_not_go_with_the_series() -> None:
    """What is known of the series is given up where a stretch has rows of another shape, or isn't known in full."""
    extents = compacted(told(range(40)), SIZES)
    window = replace(SERIES, first=3, last=9)
    other = told(range(3, 10), window, sent_at_s=1005)
    quoted = replace(other, by_name={"a": changed(other.by_name["a"], shape=("other",))})
    some = replace(other, by_name={"a": changed(other.by_name["a"], known=Known.SOME)})
    for came, known in ((quoted, Known.NOT_YET), (some, Known.SOME)):
        looked = finished(rechecking(extents, came, overlap_s=0))
        assert (looked.changed, looked.extents.by_name["a"].known) == (True, known)


def test_a_series_that_ends_with_a_chunk() -> None:
    """Its last chunk is opened, since rows are added to open rows."""
    extents = compacted(told(range(40)), SIZES)
    extent = extents.by_name["a"]
    rows, steps = rows_of(list(chunks_of([extent])))
    ended = replace(extents, by_name={"a": changed(extent, rows=rows, steps=steps)})
    again = compacted(ended, SIZES).by_name["a"]
    assert isinstance(again.rows, LongRows)
    assert again.texts() == ended.by_name["a"].texts()


def test_chunks_that_do_not_go_with_the_rows_behind_them() -> None:
    """A head that lists chunks in another order, or without the rows behind them, is not read."""
    window, packs = written(compacted(told(range(40)), SIZES), None)
    head = msgspec.json.decode(head_of([window]))
    turned = {**head["windows"][0]["chunks"]["a"], "digests": head["windows"][0]["chunks"]["a"]["digests"][::-1]}
    spoiling: list[dict[str, Any]] = [{"packs": []}, {"chunks": {"a": turned}}]
    for change in spoiling:
        spoilt = msgspec.json.encode({**head, "windows": [{**head["windows"][0], **change}]})
        with pytest.raises(ValueError, match="chunks"):
            read(spoilt, packs, SERIES, overlap_s=0)
