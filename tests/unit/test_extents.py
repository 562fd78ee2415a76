"""Answers computed from other answers: each is what the upstream's rule says, byte for byte, or is left to the upstream."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.extents import answer, split
from proxy.core.metrics_query import MetricsQuery, metrics_query
from proxy.core.query import read_query
from proxy.core.routes import METRICS
from proxy.core.sampling import is_complete, sampled
from tests.oracle import Asked, OracleRow, permitted, printed

NAMES = ("a", "b", "\u00e9", "\uffee", "\U0001f600", "train/loss")
GROUPS = ("", "g1", "g2")
WHOLE = MetricsQuery(run="1", project="p", name=None, group=None, limit=10_000, first=0, last=None)


def row(name: str, group: str, step: int, *, quoted: bool = False, value: float = 1) -> OracleRow:
    fields = {
        "logName": name,
        "logGroup": group,
        "value": value,
        "valueFlag": "",
        "time": "t",
        "step": str(step) if quoted else step,
    }
    return OracleRow(name=name, group=group, step=step, text=printed(fields))


def asked(question: MetricsQuery) -> Asked:
    return Asked(name=question.name, group=question.group, limit=question.limit, first=question.first, last=question.last)


def rows_of(draw: Callable[[st.SearchStrategy[Any]], Any], quoted: bool) -> list[OracleRow]:
    """Draw names with one or two groups, gaps between steps, lengths around what limits of 1 to 12 make of them."""
    rows: list[OracleRow] = []
    for name in draw(st.sets(st.sampled_from(NAMES), max_size=4)):
        groups = draw(st.lists(st.sampled_from(GROUPS), min_size=1, max_size=2, unique=True))
        steps = draw(st.lists(st.tuples(st.integers(0, 40), st.sampled_from(groups)), max_size=14, unique=True))
        rows += [row(name, group, step, quoted=quoted, value=step / 7) for step, group in steps]
    return rows


@st.composite
def questions(draw: st.DrawFn) -> MetricsQuery:
    first = draw(st.just(0) | st.integers(0, 45))
    return MetricsQuery(
        run="1",
        project="p",
        name=draw(st.none() | st.sampled_from(NAMES)),
        group=draw(st.none() | st.sampled_from(GROUPS[1:])),
        limit=draw(st.integers(1, 30)),
        first=first,
        last=draw(st.none() | st.integers(0, 45)),
    )


def narrower(draw: Callable[[st.SearchStrategy[Any]], Any], source: MetricsQuery) -> MetricsQuery:
    """Draw a question that another one holds."""
    question: MetricsQuery = draw(questions())
    last = [step for step in (source.last, question.last) if step is not None]
    return replace(
        question,
        name=source.name or question.name,
        group=source.group or question.group,
        first=max(source.first, question.first),
        last=min(last) if last else None,
    )


@given(st.data())
def test_what_is_computed_is_permitted(data: st.DataObject) -> None:
    """Whatever one answer is made of, other questions' answers made of it are ones that the upstream may give."""
    rows = rows_of(data.draw, data.draw(st.booleans()))
    source = data.draw(questions())
    question = narrower(data.draw, source) if data.draw(st.booleans()) else data.draw(questions())
    body = data.draw(st.sampled_from(list(permitted(rows, asked(source)))[:8]))
    computed = answer(split(body, source), question)
    if computed is not None:
        assert computed in set(permitted(rows, asked(question)))
        assert source.holds(question)


@given(st.data())
def test_what_can_be_computed_is(data: st.DataObject) -> None:
    """From the whole of small series without ties every question is answered."""
    rows = rows_of(data.draw, data.draw(st.booleans()))
    rows = list({(row.name, row.step): row for row in rows}.values())
    question = data.draw(questions())
    (body,) = permitted(rows, asked(WHOLE))
    assert [answer(split(body, WHOLE), question)] == list(permitted(rows, asked(question)))


@given(st.integers(0, 300), st.integers(1, 40))
def test_the_proof(total: int, limit: int) -> None:
    """A partition counts as complete only where nothing was left out, and always up to half the limit."""
    chosen = sampled(total, limit)
    assert chosen == [
        number - 1 for number in range(1, total + 1) if total <= limit or number % -(-total // limit) == 1 or number == total
    ]
    assert len(chosen) <= limit + 1
    if is_complete(len(chosen), limit):
        assert len(chosen) == total
    if 2 * total <= limit:
        assert is_complete(len(chosen), limit)


TIED = [row("a", "g1", 1), row("a", "g2", 1), row("a", "g1", 2)]
FAR = [row("a", "", 2**53 - 1), row("a", "", 2**53)]
MIXED = [row("a", "", 1), row("a", "", 2, quoted=True)]
REORDERED = [
    row("a", "", 1),
    OracleRow(name="a", group="", step=2, text='{"step":2,"logName":"a","logGroup":"","value":1,"time":"t"}'),
]


@pytest.mark.parametrize("rows", [TIED, FAR, MIXED, REORDERED])
def test_what_is_never_computed(rows: list[OracleRow]) -> None:
    """Names with ties, lost digits or rows of two shapes are left to the upstream, with all that has them; others aren't."""
    others = [row("b", "", 1)]
    body = next(permitted([*rows, *others], asked(WHOLE)))
    extents = split(body, WHOLE)
    assert extents.size_bytes > 16 * len(rows)
    assert answer(extents, WHOLE) is None
    assert answer(extents, replace(WHOLE, name="a", limit=1)) is None
    assert answer(extents, replace(WHOLE, name="a", group="g1")) is None
    assert answer(extents, replace(WHOLE, name="b")) == next(permitted(others, asked(WHOLE)))
    assert answer(extents, replace(WHOLE, name="c")) == b'{"metrics":[]}'


def test_unknown_fields_survive() -> None:
    """A row's bytes are handed on whatever they hold."""
    text = '{"logName":"a","logGroup":"","value":1e+21,"valueFlag":"","time":"t","step":1,"new":{"x":[1.0,"\\u00e9"]}}'
    body = f'{{"metrics":[{text}]}}'.encode()
    assert answer(split(body, WHOLE), replace(WHOLE, name="a", first=1)) == body


@pytest.mark.parametrize(
    "body",
    [
        b'{"metrics": []}',
        b'{"metrics":[],"more":1}',
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
        split(body, WHOLE)


def test_windows_hold_what_lies_in_them() -> None:
    """Both ends of a window are inclusive; another run, project, name, group or a wider window isn't held."""
    window = replace(WHOLE, first=5, last=9)
    assert window.holds(replace(window, first=5, last=9, limit=1))
    for other in (
        replace(window, first=4),
        replace(window, last=10),
        replace(window, last=None),
        replace(window, run="2"),
        replace(window, project="q"),
    ):
        assert not window.holds(other)
    named = replace(WHOLE, name="a", group="g1")
    assert WHOLE.holds(named)
    for other in (WHOLE, replace(named, name="b"), replace(named, group="g2"), replace(named, group=None)):
        assert not named.holds(other)


@pytest.mark.parametrize(
    "raw",
    [
        "runId=1&projectName=p",
        "runId=1&projectName=p&logName=a&logGroup=g&limit=7&stepMin=3&stepMax=0x10",
        "runId=1&projectName=p&stepMin=0&stepMax=0",
    ],
)
def test_a_query_and_back(raw: str) -> None:
    """Taking a question apart and putting it together again gives the same question."""
    query = read_query(METRICS, raw)
    taken = metrics_query(query)
    assert taken is not None
    assert taken.query == query


@pytest.mark.parametrize(
    "raw",
    [
        "projectName=p",
        "runId=1&projectName=p&smooth=3",
        "runId=1&projectName=p&stepMin=9007199254740992",
        "runId=1&projectName=p&stepMax=1e16",
    ],
)
def test_questions_that_are_not_taken_apart(raw: str) -> None:
    """Nothing is computed for questions without a run, with parameters that only the upstream knows, or with inexact steps."""
    assert metrics_query(read_query(METRICS, raw, extra=("smooth",))) is None
