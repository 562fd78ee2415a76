"""Answers computed from other answers: each is what the upstream's rule says, byte for byte, or is left to the upstream."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace as changed

from proxy.core.question.query import read_query
from proxy.core.question.routes import METRICS
from proxy.core.series.answers import split
from proxy.core.series.extents import Extents, Known, no_rows
from proxy.core.series.growth import extended
from proxy.core.series.metrics_query import MetricsQuery, metrics_query
from proxy.core.series.recipes import answer, may_have_rows_of
from proxy.core.series.sampling import is_complete, sampled, sent
from tests.support.oracle import OracleRow, permitted
from tests.support.oracle_upstream import asked_of, row

NAMES = ("a", "b", "\u00e9", "\uffee", "\U0001f600", "train/loss")
GROUPS = ("", "g1", "g2")
WHOLE = MetricsQuery(run="1", project="p", name=None, group=None, limit=10_000, first=0, last=None)


def bodies(rows: Iterable[OracleRow], question: MetricsQuery) -> list[bytes]:
    """Return every answer that the upstream may give."""
    return list(permitted(rows, asked_of(question.query.values)))


def settled(extents: Extents) -> Extents:
    """Return extents of which no row came lately."""
    return replace(extents, by_name={name: changed(extent, unsettled=()) for name, extent in extents.by_name.items()})


def told(rows: Iterable[OracleRow], question: MetricsQuery = WHOLE, *, sent_at_s: float = 1000) -> Extents:
    """Return what one answer of the upstream tells."""
    return split(bodies(rows, question)[0], question, sent_at_s=sent_at_s)


def rows_of(draw: Callable[[st.SearchStrategy[Any]], Any], quoted: bool) -> list[OracleRow]:
    """Draw names with one or two groups, gaps between steps, lengths around what limits of 1 to 12 make of them."""
    rows: list[OracleRow] = []
    for name in draw(st.sets(st.sampled_from(NAMES), max_size=4)):
        groups = draw(st.lists(st.sampled_from(GROUPS), min_size=1, max_size=2, unique=True))
        steps = draw(st.lists(st.tuples(st.integers(0, 40), st.sampled_from(groups)), max_size=14, unique=True))
        rows += [row(name, step, group=group, quoted=quoted, value=step / 7) for step, group in steps]
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
    body = data.draw(st.sampled_from(bodies(rows, source)[:8]))
    computed = answer(split(body, source, sent_at_s=1000), question)
    if computed is not None:
        assert computed.body in bodies(rows, question)
        assert source.holds(question)
        assert computed.tail_asked_s == computed.full_asked_s == 1000


@given(st.data())
def test_what_can_be_computed_is(data: st.DataObject) -> None:
    """From the whole of small series without ties every question is answered, with the last step that all series have."""
    rows = rows_of(data.draw, data.draw(st.booleans()))
    rows = list({(row.name, row.step): row for row in rows}.values())
    question = data.draw(questions())
    computed = answer(told(rows), question)
    assert computed is not None
    assert [computed.body] == bodies(rows, question)
    ends: dict[str, int] = {}
    for one in rows:
        if question.name in {None, one.name} and (question.group is None or question.group in groups_of(rows, one.name)):
            ends[one.name] = max(one.step, ends.get(one.name, 0))
    assert computed.through == min(ends.values(), default=None)


def groups_of(rows: Iterable[OracleRow], name: str) -> set[str]:
    return {row.group for row in rows if row.name == name}


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


TIED = [row("a", 1, group="g1"), row("a", 1, group="g2"), row("a", 2, group="g1")]
FAR = [row("a", 2**53 - 1), row("a", 2**53)]
MIXED = [row("a", 1), row("a", 2, quoted=True)]
REORDERED = [
    row("a", 1),
    OracleRow(name="a", group="", step=2, text='{"step":2,"logName":"a","logGroup":"","value":1,"time":"t"}'),
]


@pytest.mark.parametrize("rows", [TIED, FAR, MIXED, REORDERED])
def test_what_is_never_computed(rows: list[OracleRow]) -> None:
    """Names with ties, lost digits or rows of two shapes are left to the upstream, with all that has them; others aren't."""
    others = [row("b", 1)]
    extents = told([*rows, *others])
    assert extents.by_name["a"].known is Known.UNCLEAR
    assert answer(extents, WHOLE) is None
    assert answer(extents, replace(WHOLE, name="a", limit=1)) is None
    assert answer(extents, replace(WHOLE, name="a", group="g1")) is None
    assert body_of(extents, replace(WHOLE, name="b")) == bodies(others, WHOLE)[0]
    assert body_of(extents, replace(WHOLE, name="c")) == b'{"metrics":[]}'


def body_of(extents: Extents, question: MetricsQuery) -> bytes:
    computed = answer(extents, question)
    assert computed is not None
    return computed.body


def test_unknown_fields_survive() -> None:
    """A row's bytes are handed on whatever they hold."""
    text = '{"logName":"a","logGroup":"","value":1e+21,"valueFlag":"","time":"t","step":1,"new":{"x":[1.0,"\\u00e9"]}}'
    body = f'{{"metrics":[{text}]}}'.encode()
    assert body_of(split(body, WHOLE, sent_at_s=1000), replace(WHOLE, name="a", first=1)) == body


@pytest.mark.parametrize("limit", [1, 2, 3, 9])
@pytest.mark.parametrize("group", ["g1", "g2", "g3"])
def test_a_group_among_others(group: str, limit: int) -> None:
    """The rows of a group are numbered by themselves before they are thinned out."""
    rows = [row("a", step, group=f"g{1 + step % 2}") for step in range(9)]
    rows += [row("b", 1, group="g1"), row("c", 1, group="g2")]
    question = replace(WHOLE, group=group, limit=limit, first=1)
    assert [body_of(told(rows), question)] == bodies(rows, question)


def test_the_age_is_that_of_the_oldest_part() -> None:
    """An answer is as old as the oldest series in it; one of all names as old, besides, as the knowledge of which there are."""
    known = extended(
        settled(told([row("a", 1), row("b", 1)])),
        told([row("a", 1)], replace(WHOLE, name="a", first=1), sent_at_s=1005),
        overlap_s=60,
    )
    both, one, other = (answer(known, replace(WHOLE, name=name)) for name in (None, "a", "b"))
    assert both is not None
    assert one is not None
    assert other is not None
    assert (one.tail_asked_s, one.full_asked_s) == (1005, 1000)
    assert (other.tail_asked_s, other.full_asked_s) == (1000, 1000)
    assert (both.tail_asked_s, both.full_asked_s) == (1000, 1000)


def test_what_is_empty_has_no_tail() -> None:
    """That there are no rows is as old as the last look at all of them, however lately new ones were asked for."""
    known = extended(settled(told([row("a", 1)])), told([row("a", 1)], replace(WHOLE, first=1), sent_at_s=1005), overlap_s=60)
    for empty in (replace(WHOLE, name="c"), replace(WHOLE, group="g1")):
        computed = answer(known, empty)
        assert computed is not None
        assert (computed.body, computed.tail_asked_s, computed.through) == (b'{"metrics":[]}', 1000, None)
    asked_for = replace(known, by_name={**known.by_name, "c": no_rows(1002)})
    computed = answer(asked_for, replace(WHOLE, name="c"))
    assert computed is not None
    assert (computed.tail_asked_s, computed.full_asked_s) == (1002, 1002)
    assert answer(asked_for, WHOLE) == answer(known, WHOLE)


@pytest.mark.parametrize(
    ("known", "certain"), [(Known.SOME, False), (Known.NOT_YET, False), (Known.UNCLEAR, False), (Known.NONE, True)]
)
def test_a_group_may_be_anywhere_that_is_not_known(known: Known, certain: bool) -> None:
    """A name of which not everything is known may have rows of any group: what asks for one is left to the upstream."""
    extents = told([row("a", 1, group="g1")])
    unknown = changed(no_rows(1000), known=known)
    extents = replace(extents, by_name={**extents.by_name, "b": unknown})
    assert may_have_rows_of(unknown, "g2") is not certain
    assert (answer(extents, replace(WHOLE, group="g1")) is not None) is certain


@pytest.mark.parametrize("known", Known)
def test_what_covers_other_extents(known: Known) -> None:
    """Extents cover others where they hold their window, and know every name of theirs that is known there in full."""
    extents = told([row("a", 1)])
    less = replace(extents, by_name={"a": changed(no_rows(1000), known=known)})
    assert extents.covers(extents)
    assert extents.covers(less)
    assert extents.covers(told([row("a", 5)], replace(WHOLE, first=5)))
    assert not told([row("a", 5)], replace(WHOLE, first=5)).covers(extents)
    assert less.covers(extents) is (known is Known.ALL)
    assert told([]).covers(extents)


def test_what_extents_cost() -> None:
    """Extents count their rows, and cost no less than the rows' bytes and numbers."""
    rows = [row("a", 1, group="g1"), row("a", 2, group="g2"), row("b", 1)]
    extents = told(rows)
    assert extents.rows == 3
    assert extents.size_bytes > sum(len(one.text) + 16 for one in rows)
    assert told([]).rows == 0


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


@given(rows=st.integers(0, 500), limit=st.integers(1, 60))
def test_how_many_rows_are_sent(rows: int, limit: int) -> None:
    """Their number is that of the rows that are chosen."""
    assert sent(rows, limit) == len(sampled(rows, limit))
