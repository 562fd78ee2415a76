"""Large answers cut into small ones: together they are the answer, and what is read in them is what it says."""

import json
from dataclasses import replace
from functools import partial
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.pieces import Work, finished, pieces
from proxy.core.question.shapes import check_metrics, check_raw
from proxy.core.series import answers, recipes
from proxy.core.series.answers import split
from proxy.core.series.extents import Extents
from proxy.core.series.metrics_query import MetricsQuery
from proxy.core.series.packs import head_of, written
from proxy.core.series.recipes import answer
from proxy.core.series.unpacking import read
from tests.support.oracle import OracleRow, permitted
from tests.support.oracle_upstream import asked_of, row

WHOLE = MetricsQuery(run="1", project="p", name=None, group=None, limit=10_000, first=0, last=None)
# What would be mistaken for the end of a row, in a text and as rows of its own.
ODD: tuple[Any, ...] = (
    '},{"logName":"',
    "},{",
    '"',
    "\\",
    "]}",
    "é\U0001f600",
    [{"logName": "b"}, {"logName": "c"}],
    [[]],
    {"logName": "d"},
    None,
    1.5,
)


def printed(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have everything done in the smallest pieces."""
    monkeypatch.setattr(answers, "pieces", partial(pieces, least_bytes=1))
    monkeypatch.setattr(recipes, "_MOST_AT_ONCE", 3)


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """Draw answers like the upstream's, and some that aren't quite: fields left out, further ones, rows within rows."""
    fields = ["logName", "logGroup", "value", "time", "step"]
    kept = draw(st.sampled_from([fields, fields, fields, fields[1:], [*fields, "more"]]))
    rows = [
        {
            name: {"logName": draw(st.sampled_from(["a", '},{"logName":"'])), "logGroup": "", "value": 1.5, "time": "t"}.get(
                name, number
            )
            for name in kept
        }
        | draw(st.just({}) | st.builds(lambda odd: {"further": odd}, st.sampled_from(ODD)))
        | draw(st.just({}) | st.builds(lambda odd: {"value": odd}, st.sampled_from(ODD)))
        for number in range(draw(st.integers(0, 6)))
    ]
    further: dict[str, Any] = draw(st.sampled_from([{}, {}, {"truncated": False}, {"list": [1]}, {"list": [{"logName": "x"}]}]))
    told = {"metrics": rows, **further}
    return printed(told) if draw(st.booleans()) else json.dumps(told).encode()


@given(bodies() | st.builds(lambda body, end: body[:end], bodies(), st.integers(0, 200)), st.integers(1, 80))
def test_what_is_right_in_pieces_is_right(body: bytes, least_bytes: int) -> None:
    """Where every piece has the documented shape the whole has it, with the rows of all pieces one after the other."""
    cut = list(pieces(body, least_bytes=least_bytes))
    try:
        for piece in cut:
            check_metrics(piece)
    except ValueError:
        return
    check_metrics(body)
    together = [one for piece in cut for one in json.loads(piece)["metrics"]]
    assert together == json.loads(body)["metrics"]


@given(st.integers(0, 40), st.integers(1, 500))
def test_answers_of_the_upstream_are_cut(rows: int, least_bytes: int) -> None:
    """An answer as the upstream gives it can always be cut, into pieces of the size that was asked for and a row."""
    body = b'{"metrics":[' + b",".join(row("a", step).text.encode() for step in range(rows)) + b"]}"
    cut = list(pieces(body, least_bytes=least_bytes))
    longest = max(len(row("a", step).text) for step in range(41))
    assert all(len(piece) <= least_bytes + longest + len(b'{"metrics":[]}') + 1 for piece in cut)
    assert b",".join(piece[len(b'{"metrics":[') : -2] for piece in cut) == body[len(b'{"metrics":[') : -2]
    for piece in cut:
        check_metrics(piece)


def test_what_follows_the_rows() -> None:
    """What an answer says beside its rows stands in every piece."""
    rows = [{"step": step, "time": "t", "value": 1} for step in range(5)]
    body = printed({"rows": rows, "truncated": True})
    cut = list(pieces(body, least_bytes=1))
    assert [json.loads(piece) for piece in cut] == [{"rows": [one], "truncated": True} for one in rows]
    for piece in cut:
        check_raw(piece)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not JSON",
        b'{"metrics":[]}',
        b'{"metrics": [{"logName":"a"},{"logName":"b"}]}',
        b'[{"logName":"a"},{"logName":"b"}]',
        b'{"metrics":[{"logName":"a"},{"logName":"b"}],"more":"' + b"x" * 2_000 + b'"}',
    ],
)
def test_what_cannot_be_cut(body: bytes) -> None:
    """Anything else is one piece."""
    assert list(pieces(body, least_bytes=1)) == [body]


@st.composite
def kept(draw: st.DrawFn) -> list[OracleRow]:
    """Draw rows of some names, of several groups, perhaps with one step twice or of other shapes."""
    rows: list[OracleRow] = []
    for name in draw(st.sets(st.sampled_from(("a", "b", "é", "\U0001f600")), max_size=4)):
        steps = draw(st.lists(st.tuples(st.integers(0, 30), st.sampled_from(["", "g"])), max_size=12, unique=True))
        further = draw(st.sampled_from([{}, {}, {"more": '},{"logName":"'}]))
        rows += [
            row(name, step, group=group, quoted=draw(st.sampled_from([False] * 9 + [True])), **further)  # type: ignore[arg-type]  # drawn
            for step, group in steps
        ]
    return rows


def told(body: bytes, least_bytes: int) -> Extents | str:
    with patch.object(answers, "pieces", partial(pieces, least_bytes=least_bytes)):
        try:
            return split(body, WHOLE, sent_at_s=1000)
        except ValueError as exc:
            return str(exc)


@given(kept(), st.integers(1, 300), st.permutations(range(8)))
def test_taken_apart_in_pieces(rows: list[OracleRow], least_bytes: int, order: list[int]) -> None:
    """Wherever an answer is cut, the same is known afterwards; what is not in order isn't in pieces either."""
    body = next(permitted(rows, asked_of(WHOLE.query.values)))
    assert told(body, least_bytes) == told(body, 10**9)
    if len(rows) > 1:
        shuffled = b'{"metrics":[' + b",".join(rows[place % len(rows)].text.encode() for place in order) + b"]}"
        assert told(shuffled, least_bytes) == told(shuffled, 10**9)


@pytest.mark.usefixtures("small")
def test_small_pieces_all_the_way() -> None:
    """Taken apart, written, read and answered a few rows at a time: the answer is the one that came."""
    rows = [row(name, step, group=group) for name in "ab" for group in ("", "g") for step in range(len(group), 20, 2)]
    body = next(permitted(rows, asked_of(WHOLE.query.values)))
    came = split(body, WHOLE, sent_at_s=1000)
    window, packs = written(came, None)
    (again,) = read(head_of([window]), packs, WHOLE, overlap_s=60)
    for question in (WHOLE, replace(WHOLE, name="a"), replace(WHOLE, group="g", first=3, last=11), replace(WHOLE, name="c")):
        expected = next(permitted(rows, asked_of(question.query.values)))
        for known in (came, again.extents):
            computed = answer(known, question)
            assert computed is not None
            assert computed.body == expected


@pytest.mark.parametrize(
    "fields",
    [
        {"value": None},
        {"value": "1"},
        {"value": True},
        {"time": None},
        {"time": 7},
        {"step": "-1"},
        {"step": "-0"},
        {"value": ...},
        {"time": ...},
    ],
)
def test_rows_that_are_not_documented(fields: dict[str, Any]) -> None:
    """Where what is taken apart has to have the documented shape, it has it as `core.question.shapes` says."""
    all_fields = {"logName": "a", "logGroup": "", "value": 1, "time": "t", "step": 1, **fields}
    right = printed({"metrics": [{"logName": "a", "logGroup": "", "value": 1.5, "time": "t", "step": 1}]})
    wrong = printed({"metrics": [{name: value for name, value in all_fields.items() if value is not ...}]})
    assert finished(answers.splitting(right, WHOLE, sent_at_s=1000, documented=True)).by_name.keys() == {"a"}
    with pytest.raises(ValueError, match="documented"):
        finished(answers.splitting(wrong, WHOLE, sent_at_s=1000, documented=True))
    with pytest.raises(ValueError):  # noqa: PT011 -- the library's own words
        check_metrics(wrong)


def test_work_without_a_break() -> None:
    """Work is given what it wants put together, and its result is returned."""

    def work() -> Work[bytes]:
        yield None
        whole = yield [b"a", b"b"]
        return whole + b"c"

    assert finished(work()) == b"abc"
