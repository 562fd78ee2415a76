"""Answers of the upstream taken apart: what they prove is taken for certain, and nothing else."""

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.pieces import finished
from proxy.core.series.answers import split, splitting
from proxy.core.series.extents import Known, decided
from proxy.core.series.metrics_query import MetricsQuery
from proxy.core.series.recipes import answer
from tests.support.oracle import OracleRow, permitted
from tests.support.oracle_upstream import asked_of, row

WHOLE = MetricsQuery(run="1", project="p", name=None, group=None, limit=10_000, first=0, last=None)
NAMES = ("a", "b", "\u00e9", "\uffee", "\U0001f600")
BEGUN = datetime(2026, 1, 1)  # noqa: DTZ001 -- the upstream's times have no zone
FIELDS = {"logName": "a", "logGroup": "", "value": 1, "valueFlag": "", "time": "t", "step": 1}


def body_of(rows: Iterable[OracleRow], question: MetricsQuery = WHOLE) -> bytes:
    return next(permitted(rows, asked_of(question.query.values)))


def later(rows: Iterable[tuple[int, float]]) -> list[OracleRow]:
    """Return rows of one name with so many seconds as their times."""
    return [row("a", step, time=f"{BEGUN + timedelta(seconds=after_s)}") for step, after_s in rows]


@given(
    st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(["", "g"]), st.integers(0, 30)), unique=True, max_size=40),
    st.integers(1, 40),
)
def test_what_is_known_of_a_name(keys: list[tuple[str, str, int]], limit: int) -> None:
    """A name is known in full where an answer holds all of its rows and proves that, in one order."""
    rows = [row(name, step, group=group) for name, group, step in keys]
    question = replace(WHOLE, limit=limit)
    extents = split(body_of(rows, question), question, sent_at_s=1000)
    assert (extents.question, extents.tail_asked_s, extents.full_asked_s) == (question, 1000, 1000)
    assert list(extents.by_name) == sorted({name for name, _, _ in keys}, key=str.encode)
    for name, extent in extents.by_name.items():
        mine = sorted((row for row in rows if row.name == name), key=lambda row: row.step)
        came = [json.loads(row.text) for row in mine]
        tied = len({row.step for row in mine}) < len(mine)
        assert (extent.tail_asked_s, extent.full_asked_s) == (1000, 1000)
        if tied or 2 * len(mine) > limit:
            # Of what was sampled the ties may be gone.
            assert extent.known in ({Known.UNCLEAR, Known.SOME} if tied else {Known.SOME})
            assert (extent.rows, extent.row_bytes, extent.groups) == ((), 0, None)
            continue
        assert extent.known is Known.ALL
        assert extent.texts() == [row.text.encode() for row in mine]
        assert extent.row_bytes == sum(map(len, extent.rows))
        assert list(extent.steps) == [row.step for row in mine]
        assert list(extent.groups or [extent.group] * len(mine)) == [row.group for row in mine]
        assert (extent.groups is None) == (len({row.group for row in mine}) == 1)
        assert extent.shape == (int, *came[0])


@given(st.lists(st.tuples(st.integers(1, 9), st.floats(0, 30)), min_size=1, max_size=12), st.sampled_from([10.0, 60.0]))
def test_where_gaps_may_still_be_filled(distances: list[tuple[int, float]], overlap_s: float) -> None:
    """There may be gaps behind the last row that was logged longer before the newest one than rows come out of order."""
    rows: list[tuple[int, float]] = []
    step, after_s = 10, 0.0
    for further, later_s in distances:
        step, after_s = step + further, round(after_s + later_s, 3)
        rows.append((step, after_s))
    marks = split(body_of(later(rows)), WHOLE, sent_at_s=1000, overlap_s=overlap_s).by_name["a"].unsettled
    for later_s in (0, 1, overlap_s / 3, overlap_s * 0.9):
        mark = min([step for seen_s, step in marks if seen_s > 1000 + later_s - overlap_s], default=rows[-1][0])
        settled = [step for step, logged_s in rows[:-1] if round(after_s - logged_s, 3) + later_s >= overlap_s]
        # A row may be missing right behind the last one that is settled.
        assert mark <= max(settled, default=-1) + 1
        # The next sixth of the time has not settled yet.
        nearly = [step for step, logged_s in rows[:-1] if round(after_s - logged_s, 3) + later_s >= overlap_s * 7 / 6 + 0.001]
        assert mark >= max(nearly, default=0)


@pytest.mark.parametrize("time", ["", "t", 7, None, "0001-01-01 00:00:00.000"])
def test_a_time_that_says_nothing(time: Any) -> None:
    """Where the last row's time cannot be read, gaps may be anywhere."""
    rows = [row("a", 3, time="2026-01-01 00:00:00.000"), row("a", 5, time=time)]
    assert split(body_of(rows), WHOLE, sent_at_s=1000).by_name["a"].unsettled == ((1000, 0),)


def test_times_that_cannot_be_compared() -> None:
    """A row without a time may have been logged a moment ago; zones are not looked at."""
    rows = [row("a", 1, time="2026-01-01 00:00:00.000"), row("a", 2, time="?")]
    rows += [row("a", 3, time="2026-01-01 00:00:01.000"), row("a", 4, time="2026-01-01T00:00:02.000+01:00")]
    marks = split(body_of(rows), WHOLE, sent_at_s=1000).by_name["a"].unsettled
    assert min(step for _, step in marks) == 0


@pytest.mark.parametrize("unreadable", [row("\ufffd", 1), row("a", 1, group="g\ufffd")])
def test_names_that_look_alike(unreadable: OracleRow) -> None:
    """Names and groups with bytes that aren't UTF-8 cannot be told from others."""
    (extent,) = split(body_of([unreadable]), WHOLE, sent_at_s=1000).by_name.values()
    assert extent.known is Known.UNCLEAR


@pytest.mark.parametrize("step", [-1, 2**53, 2**70, -(2**70)])
def test_steps_that_are_not_exact(step: int) -> None:
    """Steps below 0 or with lost digits are left to the upstream."""
    row_ = row("a", step).text
    (extent,) = split(f'{{"metrics":[{row_}]}}'.encode(), WHOLE, sent_at_s=1000).by_name.values()
    assert extent.known is Known.UNCLEAR


@pytest.mark.parametrize(
    "body",
    [
        b'{"metrics": []}',
        b'{"metrics":[],"more":1}',
        b'{"more":1,"metrics":[]}',
        b'{"metrics":[]} ',
        b'{"metrics":[{}]}',
        b'{"metrics":[1]}',
        b'{"metrics":[{"logName":"a","logGroup":"","step":1} ,{"logName":"a","logGroup":"","step":2}]}',
        b'{"metrics":[{"logName":"a","logGroup":"","step":2},{"logName":"a","logGroup":"","step":1}]}',
        b'{"metrics":[{"logName":"b","logGroup":"","step":2},{"logName":"a","logGroup":"","step":1}]}',
        b'{"metrics":[{"logName":"a","logGroup":"","step":1},{"logName":"b","logGroup":"","step":1},{"logName":"a","logGroup":"","step":2}]}',
        b"not JSON",
    ],
)
def test_answers_that_prove_nothing(body: bytes) -> None:
    """An answer that isn't laid out as the upstream's are is nothing to compute from."""
    with pytest.raises(ValueError, match=r"row|names|steps"):
        split(body, WHOLE, sent_at_s=1000)


@pytest.mark.parametrize(
    "fields",
    [
        *({name: value for name, value in FIELDS.items() if name != left_out} for left_out in ("logName", "logGroup", "step")),
        *({**FIELDS, "logName": odd} for odd in (None, 1, ["a"])),
        *({**FIELDS, "logGroup": odd} for odd in (None, 1, ["g"])),
        *({**FIELDS, "step": odd} for odd in (None, 1.5, "x", "1_0", "1.5", True, [1])),
    ],
)
def test_rows_that_are_not_the_upstreams(fields: dict[str, Any]) -> None:
    """A row without a name, a group or a whole number as its step, or with something else there, is not understood."""
    text = json.dumps(fields, separators=(",", ":"))
    with pytest.raises(ValueError):  # noqa: PT011 -- whatever it says
        split(f'{{"metrics":[{text}]}}'.encode(), WHOLE, sent_at_s=1000)


def test_a_row_too_deep_to_read() -> None:
    """A row that is nested too deep to be read is not understood."""
    deep = "[" * 100_000 + "]" * 100_000
    with pytest.raises(ValueError):  # noqa: PT011 -- whatever it says
        split(f'{{"metrics":[{{"logName":"a","logGroup":"","step":1,"more":{deep}}}]}}'.encode(), WHOLE, sent_at_s=1000)


@given(st.lists(st.integers(0, 60), unique=True, min_size=1, max_size=50), st.integers(1, 40))
def test_what_is_presumed(steps: list[int], limit: int) -> None:
    """Rows that may be a sample are held where that is wanted; nothing is computed from them until they are decided on."""
    rows = [row("a", step) for step in sorted(steps)]
    question = replace(WHOLE, limit=limit)
    body = body_of(rows, question)
    usual = split(body, question, sent_at_s=1000)
    extents = finished(splitting(body, question, sent_at_s=1000, presume=True))
    sent = len(usual.by_name["a"].steps)
    presumed = limit < 2 * sent <= 2 * limit
    assert extents.is_presumed == presumed
    assert (extents.by_name["a"].known is Known.PRESUMED) == presumed
    assert decided(extents, Known.SOME) == usual
    whole = decided(extents, Known.ALL)
    if presumed:
        assert answer(extents, question) is None
        assert extents.complete == {}
        computed = answer(whole, question)
        assert computed is not None
        assert computed.body == body
    else:
        assert whole == extents == usual


def test_what_is_unclear_is_not_presumed() -> None:
    """Rows that share a step stay with the upstream."""
    rows = [row("a", step) for step in range(6)] + [row("a", 3, group="g")]
    question = replace(WHOLE, limit=8)
    extents = finished(splitting(body_of(rows, question), question, sent_at_s=1000, presume=True))
    assert extents.by_name["a"].known is Known.UNCLEAR
    assert not extents.is_presumed
