"""Which calls bring series up to date: whatever they are, they leave nothing out, and no simpler plan costs less."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace as changed

from proxy.core.question.routes import MAX_LIMIT
from proxy.core.series.answers import split
from proxy.core.series.deltas import deltas
from proxy.core.series.extents import Extents, Known, no_rows
from proxy.core.series.growth import extended, overlap_from
from proxy.core.series.joining import replaced
from proxy.core.series.metrics_query import MetricsQuery
from proxy.core.series.sampling import is_complete
from tests.support.oracle import OracleRow, permitted
from tests.support.oracle_upstream import asked_of, row

NAMES = tuple("abcdefghijklmnop")
WHOLE = MetricsQuery(run="1", project="p", name=None, group=None, limit=10_000, first=0, last=None)
NOW_S, OVERLAP_S = 2000.0, 60.0


def body_of(rows: Iterable[OracleRow], question: MetricsQuery) -> bytes:
    return next(permitted(rows, asked_of(question.query.values)))


def told(rows: Iterable[OracleRow], question: MetricsQuery = WHOLE, *, sent_at_s: float = 1000) -> Extents:
    """Return what one answer of the upstream tells."""
    return split(body_of(rows, question), question, sent_at_s=sent_at_s, overlap_s=OVERLAP_S)


def planned(
    extents: Extents, names: Collection[str], *, all_names: bool = False, call_cost_rows: int = 20
) -> list[MetricsQuery]:
    return deltas(extents, names, all_names=all_names, call_cost_rows=call_cost_rows)


def begins_of(extents: Extents, names: Collection[str]) -> Mapping[str, int]:
    """Return from which step on each name is to be asked for."""
    return {name: overlap_from(extents.by_name[name]) for name in names if extents.by_name[name].known is Known.ALL}


def cost_of(extents: Extents, questions: Iterable[MetricsQuery], call_cost_rows: int) -> int:
    """Return what questions cost: each call, and each row that is known to come, one more of each name that is sampled."""
    cost = 0
    for question in questions:
        asked = [extent for name, extent in extents.by_name.items() if question.name in {None, name}]
        rows = [sum(step >= question.first for step in extent.steps) for extent in asked]
        cost += call_cost_rows + sum(min(count, question.limit + 1) for count in rows)
    return cost


@st.composite
def known(draw: st.DrawFn) -> Extents:
    """Draw what is known of a run: series of other lengths and paces, some of them settled and some not known in full."""
    first = draw(st.sampled_from([0, 0, 30]))
    rows: list[OracleRow] = []
    for name in draw(st.sets(st.sampled_from(NAMES), min_size=draw(st.sampled_from([0, 3, 12])), max_size=16)):
        pace, length = draw(st.sampled_from([1, 1, 2, 10])), draw(st.integers(1, 40))
        rows += [row(name, first + pace * number) for number in range(length)]
    extents = told(rows, replace(WHOLE, first=first))
    by_name = dict(extents.by_name)
    for name, extent in extents.by_name.items():
        begin = draw(st.sampled_from(extent.steps))
        marks = [(), ((NOW_S - 1, begin),), ((NOW_S - 2, begin), (NOW_S - 1, extent.steps[-1]))]
        state = draw(st.sampled_from([Known.ALL, Known.ALL, Known.ALL, Known.NOT_YET]))
        unknown = changed(no_rows(1000), known=state)
        by_name[name] = changed(extent, unsettled=draw(st.sampled_from(marks))) if state is Known.ALL else unknown
    return replace(extents, by_name=by_name)


@st.composite
def some(draw: st.DrawFn, extents: Extents) -> set[str]:
    """Draw names of which something is known, few or most of them."""
    every = sorted(extents.by_name)
    return draw(st.sets(st.sampled_from(every), min_size=draw(st.integers(0, len(every))))) if every else set()


@given(known(), st.data(), st.booleans(), st.sampled_from([0, 1, 20, 500]))
def test_nothing_is_left_out_and_nothing_simpler_costs_less(
    extents: Extents, data: st.DataObject, all_names: bool, call_cost_rows: int
) -> None:
    """Each name is asked for from where its late rows may begin, at no more cost than with one call for all or one each."""
    names = data.draw(some(extents))
    empty = data.draw(st.sets(st.sampled_from([None, "q", "r"])))
    questions = deltas(extents, names, all_names=all_names, call_cost_rows=call_cost_rows, empty=empty)
    begins = begins_of(extents, names)
    needed: dict[str | None, int] = dict.fromkeys(empty, extents.question.first)
    needed.update(begins)
    for name, first in needed.items():
        assert any(question.name in {None, name} and is_told(extents, question, name, first) for question in questions)
    nameless = [question for question in questions if question.name is None]
    assert nameless or not (all_names or None in empty)
    assert len({(question.name, question.first) for question in questions}) == len(questions)
    for question in questions:
        assert question == replace(extents.question, name=question.name, first=question.first, limit=question.limit)
        assert question.limit == MAX_LIMIT or question.name is None
        assert question.first >= extents.question.first
        assert question.name in {None, *needed}
    if not needed:
        assert len(questions) == all_names
        return
    # A limit is chosen greater than needed where that costs no more than this.
    cost = cost_of(extents, questions, call_cost_rows) - 200 * len(nameless)
    together = [replace(WHOLE, first=min(needed.values()))]
    assert cost <= cost_of(extents, together, call_cost_rows)
    if not all_names and None not in empty:
        singly = [replace(WHOLE, name=name, first=first) for name, first in needed.items()]
        assert cost <= cost_of(extents, singly, call_cost_rows)


def is_told(extents: Extents, question: MetricsQuery, name: str | None, first: int) -> bool:
    """Tell whether the answer to a question holds all of a name's rows from a step on, and as many again."""
    extent = None if name is None else extents.by_name.get(name)
    rows = 0 if extent is None else sum(step >= question.first for step in extent.steps)
    return question.first <= first and is_complete(min(2 * rows + 3, MAX_LIMIT // 2), question.limit)


def test_a_slow_series_beside_fast_ones() -> None:
    """A series whose last row is far back is asked for by itself; all others with one call, from where they need it."""
    rows = [row(name, step) for name in NAMES[1:] for step in range(500)]
    extents = settled(told([row("a", 3), *rows]))
    apart = [replace(WHOLE, name="a", first=3), replace(WHOLE, first=499)]
    assert planned(extents, NAMES) == apart
    assert planned(extents, NAMES, all_names=True) == apart
    assert planned(extents, ["a"]) == [replace(WHOLE, name="a", first=3)]


def test_several_slow_series_beside_fast_ones() -> None:
    """Those whose last rows are far back share a call with a limit so small that little of the others comes along."""
    slow = [row(name, step) for name, step in (("a", 3), ("b", 8), ("c", 90), ("d", 480))]
    extents = settled(told([*slow, *(row(name, step) for name in NAMES[4:] for step in range(500))]))
    thin, dense = planned(extents, NAMES, call_cost_rows=300)
    assert (thin.first, dense) == (3, replace(WHOLE, first=499))
    assert thin.limit < 100
    # Nor does a series of very many rows come along with them.
    long = replace(WHOLE, name="long")
    extents = replaced(extents, told([row("long", step) for step in range(4_000)], long))
    limits = [(question.first, question.limit) for question in planned(settled(extents), [*NAMES, "long"], call_cost_rows=300)]
    assert [first for first, _ in limits] == [3, 499, 3_999]
    assert all(limit < 300 for _, limit in limits[:2])


def test_a_run_of_any_number_of_names() -> None:
    """Where a run has far more names than are known, these are asked for one by one."""
    extents = settled(told([row(name, step) for name in "abc" for step in range(10)]))
    questions = deltas(extents, "abc", all_names=False, call_cost_rows=2_000, others=10**9)
    assert questions == [replace(WHOLE, name=name, first=9) for name in "abc"]


@pytest.mark.parametrize("call_cost_rows", [10, 2_000])
def test_series_without_rows(call_cost_rows: int) -> None:
    """One call from the first step on shows that they still have none; where it costs too much, each is asked for by itself."""
    extents = settled(told([row(name, step) for name in NAMES[:8] for step in range(100)]))
    questions = deltas(extents, NAMES[:8], all_names=False, call_cost_rows=call_cost_rows, empty=["q", "r"])
    if call_cost_rows == 10:
        assert questions == [*(replace(WHOLE, name=name) for name in ("q", "r")), replace(WHOLE, first=99)]
    else:
        assert [(question.name, question.first) for question in questions] == [(None, 0)]
    (alone,) = deltas(extents, [], all_names=True, call_cost_rows=10, empty=[None])
    assert (alone.name, alone.first) == (None, 0)


def settled(extents: Extents) -> Extents:
    """Return extents of which no row came lately."""
    return replace(extents, by_name={name: changed(extent, unsettled=()) for name, extent in extents.by_name.items()})


@pytest.mark.parametrize("all_names", [False, True])
def test_one_series_alone(all_names: bool) -> None:
    """What is known of one name or one group is asked for with the same filters, within the same window."""
    for question in (replace(WHOLE, name="a", first=2, limit=9), replace(WHOLE, group="g", first=2, limit=9)):
        extents = settled(told([row("a", step, group="g") for step in range(1, 5)], question))
        asked = replace(question, name=question.name or (None if all_names else "a"), limit=MAX_LIMIT, first=4)
        assert [replace(one, name=asked.name) for one in planned(extents, ["a"], all_names=all_names)] == [asked]


def test_new_names_alone() -> None:
    """Where nothing is known in full, new names are looked for behind all that is there, within the window."""
    extents = told([row("a", step) for step in range(50)], replace(WHOLE, limit=20, first=10))
    assert extents.by_name["a"].known is Known.SOME
    (question,) = planned(extents, ["a"], all_names=True)
    assert (question.name, question.first, question.limit) == (None, 49, MAX_LIMIT)
    (question,) = planned(told([], replace(WHOLE, first=10)), [], all_names=True)
    assert (question.name, question.first) == (None, 10)
    assert planned(extents, ["a"]) == []
    assert planned(extents, []) == []


@st.composite
def grown(draw: st.DrawFn, extents: Extents) -> list[OracleRow]:
    """Draw what a run has become when nothing but rows behind the last ones came, and new names."""
    rows: list[OracleRow] = []
    ends: Mapping[str, int] = {name: extent.steps[-1] for name, extent in extents.by_name.items() if extent.rows}
    for name, extent in extents.by_name.items():
        rows += [row(name, step) for step in extent.steps]
    for name in draw(st.sets(st.sampled_from(NAMES), min_size=draw(st.sampled_from([0, 10])))):
        begin = ends.get(name, extents.question.first - 1) + 1
        rows += [row(name, step) for step in draw(st.sets(st.integers(begin, begin + 60), max_size=5))]
    return rows


@given(known(), st.data(), st.booleans(), st.sampled_from([1, 20, 500]))
def test_a_plan_carried_out(extents: Extents, data: st.DataObject, all_names: bool, call_cost_rows: int) -> None:
    """In whatever order the answers come, the names asked for are up to date, and no other name has rows left out."""
    extents = replace(extents, by_name={name: one for name, one in extents.by_name.items() if one.known is Known.ALL})
    names = data.draw(some(extents))
    now = data.draw(grown(extents))
    questions = planned(extents, names, all_names=all_names, call_cost_rows=call_cost_rows)
    answers = [told(now, question, sent_at_s=NOW_S + number) for number, question in enumerate(questions)]
    new = extents
    for came in data.draw(st.permutations(answers)):
        if came.question.name is not None and came.question.first <= new.question.first:
            new = replaced(new, came)
        else:
            new = extended(new, came, overlap_s=OVERLAP_S)
    for name in names:
        assert new.by_name[name].known is Known.ALL
        assert new.by_name[name].tail_asked_s >= NOW_S
    for name, extent in new.by_name.items():
        if extent.known is Known.ALL:
            before = tuple(extents.by_name[name].texts()) if name in extents.by_name else ()
            mine = tuple(
                one.text.encode()
                for one in sorted(now, key=lambda one: one.step)
                if one.name == name and one.step >= extents.question.first
            )
            assert tuple(extent.texts()) == (mine if extent.tail_asked_s >= NOW_S else before)
