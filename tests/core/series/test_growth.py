"""What later answers add to extents: nothing is put together that contradicts itself, and no row is passed over."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace as changed

from proxy.core.series import metrics_query
from proxy.core.series.answers import split
from proxy.core.series.extents import Extent, Extents, Known, no_rows
from proxy.core.series.growth import extended, overlap_from
from proxy.core.series.joining import merged, replaced
from proxy.core.series.metrics_query import MetricsQuery
from proxy.core.series.recipes import answer
from proxy.core.series.sampling import is_complete
from tests.support.oracle import OracleRow, permitted
from tests.support.oracle_upstream import asked_of, row

# The last two are in another order where they are compared by UTF-16.
NAMES = ("a", "b", "\uffee", "\U0001f600")
GROUPS = ("", "g1", "g2")
WHOLE = MetricsQuery(run="1", project="p", name=None, group=None, limit=10_000, first=0, last=None)
OVERLAP_S = 60.0
Draw = Callable[[st.SearchStrategy[Any]], Any]
Key = tuple[str, str, int]


def body_of(rows: Iterable[OracleRow], question: MetricsQuery) -> bytes:
    return next(permitted(rows, asked_of(question.query.values)))


def told(rows: Iterable[OracleRow], question: MetricsQuery = WHOLE, *, sent_at_s: float = 1000) -> Extents:
    """Return what one answer of the upstream tells."""
    return split(body_of(rows, question), question, sent_at_s=sent_at_s, overlap_s=OVERLAP_S)


def within(rows: Iterable[OracleRow], name: str, question: MetricsQuery, first: int = 0) -> list[OracleRow]:
    """Return the rows of a name that a question selects, from some step on, in order."""
    last = 10**9 if question.last is None else question.last
    return sorted(
        (
            row
            for row in rows
            if row.name == name
            and question.group in {None, row.group}
            and max(first, question.first) <= row.step <= last
            and question.name in {None, name}
        ),
        key=lambda row: row.step,
    )


def texts(rows: Iterable[OracleRow]) -> tuple[bytes, ...]:
    return tuple(row.text.encode() for row in rows)


def shapes(rows: Iterable[OracleRow]) -> set[tuple[object, ...]]:
    """Return of which shapes rows are: the type of their steps, and their fields in order."""
    read = [json.loads(row.text) for row in rows]
    return {(type(fields["step"]), *fields) for fields in read}


def is_clear(rows: list[OracleRow], limit: int) -> bool:
    """Tell whether one answer with this limit says all of some rows, in one order and of one shape."""
    return is_complete(len(rows), limit) and len({row.step for row in rows}) == len(rows) and len(shapes(rows)) <= 1


@st.composite
def states(draw: st.DrawFn) -> tuple[list[OracleRow], list[OracleRow]]:
    """Draw a run's rows, and what became of them: rows came, late and at the end, were logged again, vanished."""
    before: dict[Key, OracleRow] = {}
    for name in draw(st.sets(st.sampled_from(NAMES), max_size=3)):
        groups = draw(st.sampled_from([("",), ("g1",), ("g1", "g2")]))
        for step in draw(st.sets(st.integers(0, 20), max_size=8)):
            group = draw(st.sampled_from(groups))
            before[name, group, step] = row(name, step, group=group)
    after = dict(before)
    for key in draw(st.sets(st.sampled_from(sorted(before)), max_size=2)) if before else ():
        change = draw(st.sampled_from(["again", "gone", "quoted", "more"]))
        name, group, step = key
        match change:
            case "again":
                after[key] = row(name, step, group=group, value=2)
            case "gone":
                del after[key]
            case "quoted":
                after |= {one: row(one[0], one[2], group=one[1], quoted=True) for one in after if one[0] == name}
            case "more":
                after[key] = row(name, step, group=group, more=1)
    for name in draw(st.sets(st.sampled_from(NAMES), max_size=3)):
        group, quoted = draw(st.sampled_from(GROUPS)), draw(st.sampled_from([False, False, False, True]))
        for step in draw(st.sets(st.integers(0, 30), max_size=8)):
            after.setdefault((name, group, step), row(name, step, group=group, quoted=quoted))
    return list(before.values()), list(after.values())


@st.composite
def questions(draw: st.DrawFn) -> MetricsQuery:
    """Draw a question that is open at its end."""
    return replace(
        WHOLE,
        name=draw(st.none() | st.sampled_from(NAMES)),
        group=draw(st.sampled_from([None, None, "g1"])),
        first=draw(st.sampled_from([0, 0, 5])),
        limit=draw(st.sampled_from([6, 12, 10_000])),
    )


@given(states(), questions(), st.data())
def test_what_a_delta_adds(
    states: tuple[list[OracleRow], list[OracleRow]], question: MetricsQuery, data: st.DataObject
) -> None:
    """A name is known after a delta where that holds all that was known from its first step on, and proves itself complete."""
    before, after = states
    first = data.draw(st.integers(question.first + 1, 30))
    name = data.draw(st.sampled_from([question.name, question.name or "a"]))
    delta = told(
        after, replace(question, name=name, first=first, limit=data.draw(st.sampled_from([6, 10_000]))), sent_at_s=1005
    )
    known = told(before, question)
    asked_for = {other: no_rows(1001) for other in data.draw(st.sets(st.sampled_from(NAMES))) - set(known.by_name)}
    settled = {} if data.draw(st.booleans()) else {name: changed(one, unsettled=()) for name, one in known.by_name.items()}
    known = replace(known, by_name={**known.by_name, **settled, **(asked_for if question.name is None else {})})
    new = extended(known, delta, overlap_s=OVERLAP_S)
    told_of = {name} if name is not None else set(NAMES)
    assert (new.question, new.full_asked_s) == (known.question, 1000)
    assert new.tail_asked_s == (1005 if name == question.name else 1000)
    for other in NAMES:
        old, extent = known.by_name.get(other), new.by_name.get(other)
        came = within(after, other, delta.question)
        if other not in told_of:
            assert extent == old
        elif old is None or old.known is Known.NONE:
            assert extent is old if not came else (extent is not None and extent.known in still(came, delta.question))
        elif old.known is not Known.ALL:
            assert extent == old
        elif overlap_from(old) < first:
            assert extent is not None
            assert extent == old or extent.known is not Known.ALL
        elif name is None and 2 * len(old.steps) > delta.question.limit and extent == old:
            assert 2 * len(came) > delta.question.limit  # a sample of a long series tells nothing
        else:
            assert extent is not None
            if extent != old or is_complete(len(came), delta.question.limit):
                check_grown(extent, within(before, other, question), came, delta.question)


def still(came: list[OracleRow], question: MetricsQuery) -> set[Known]:
    """Return what may be known of a name that a delta told of, but not in full: where that was clear, it can be asked for."""
    return {Known.NOT_YET} if is_clear(came, question.limit) else {Known.NOT_YET, Known.SOME, Known.UNCLEAR}


def is_held(known: list[OracleRow], came: list[OracleRow]) -> bool:
    """Tell whether known rows are among those that came, behind the first three perhaps written again."""
    if set(texts(known)) <= set(texts(came)):
        return True
    places = {(row.step, row.group) for row in known} <= {(row.step, row.group) for row in came}
    return places and len(known) >= 3 and texts(known[:3]) == texts(came[:3])


def check_grown(extent: Extent, known: list[OracleRow], came: list[OracleRow], question: MetricsQuery) -> None:
    """Hold a name that was known, with all that there was of it, to what a delta told of it."""
    first = question.first
    fits = is_held([row for row in known if row.step >= first], came)
    fits = fits and is_clear(came, question.limit) and len(shapes([*known, *came])) == 1
    assert (extent.known is Known.ALL) == fits
    assert extent.full_asked_s == 1000
    if not fits:
        assert extent.known in still(came, question)
        assert (extent.rows, list(extent.steps), extent.tail_asked_s) == ((), [], 1000)
        return
    rows = [*(row for row in known if row.step < first), *came]
    assert tuple(extent.texts()) == texts(rows)
    assert extent.row_bytes == sum(map(len, extent.rows))
    assert list(extent.steps) == [row.step for row in rows]
    assert list(extent.groups or [extent.group] * len(rows)) == [row.group for row in rows]
    assert extent.tail_asked_s == 1005


@given(states(), questions(), st.integers(1, 30), st.data())
def test_overtaken_deltas(
    states: tuple[list[OracleRow], list[OracleRow]], question: MetricsQuery, first: int, data: st.DataObject
) -> None:
    """A delta that was asked for before what is known changes nothing that is known."""
    before, after = states
    known = told(after, question)
    late = told(before, replace(question, name=data.draw(st.sampled_from([question.name, "a"])), first=question.first + first))
    new = extended(known, replace(late, tail_asked_s=990, full_asked_s=990), overlap_s=OVERLAP_S)
    assert (new.tail_asked_s, new.full_asked_s) == (1000, 1000)
    assert {name: new.by_name[name] for name in known.by_name} == dict(known.by_name)
    assert all(new.by_name[name].known is not Known.ALL for name in set(new.by_name) - set(known.by_name))


@pytest.mark.parametrize("asked_for", [None, "a"])
def test_a_delta_that_begins_behind_the_end_tells_nothing(asked_for: str | None) -> None:
    """Between the last row that is known and the first one that was asked for there may be others."""
    known = told([row("a", 1), row("b", 9)])
    now = [row("a", step) for step in range(1, 12)]
    new = extended(
        known, told([*now, row("b", 9)], replace(WHOLE, name=asked_for, first=9), sent_at_s=1005), overlap_s=OVERLAP_S
    )
    assert new.by_name["a"].known is not Known.ALL or new.by_name["a"] == known.by_name["a"]


def test_a_delta_for_others_tells_of_a_new_group() -> None:
    """Of a group in which a name had no rows nothing is known any more once it has some."""
    known = told([row("a", 1), row("b", 1)])
    came = [row("a", 9), row("b", 9, group="g")]
    new = extended(known, told(came, replace(WHOLE, first=9), sent_at_s=1005), overlap_s=OVERLAP_S)
    assert new.by_name["a"] == known.by_name["a"]
    assert new.by_name["b"].known is Known.NOT_YET


def test_a_delta_that_begins_behind_a_mark_leaves_it() -> None:
    """Where late rows may come, they are still asked for after a delta that did not ask for them."""
    known = told([row("a", 5), row("a", 8)])
    assert overlap_from(known.by_name["a"]) <= 5
    new = extended(known, told([row("a", 5), row("a", 8)], replace(WHOLE, first=8), sent_at_s=1061), overlap_s=OVERLAP_S)
    assert overlap_from(new.by_name["a"]) <= 5


@dataclass(frozen=True)
class Logged:
    """A row that was logged at a time and can be seen some time later, both in seconds."""

    row: OracleRow
    seen_s: float


def logged(name: str, step: int, logged_s: int, late_s: int) -> Logged:
    minutes, seconds = divmod(logged_s, 60)
    return Logged(row(name, step, time=f"2026-01-01 00:{minutes:02}:{seconds:02}.000"), logged_s + late_s)


@st.composite
def growing(draw: st.DrawFn) -> list[Logged]:
    """Draw rows that were logged one after the other and become visible out of order, a little less than OVERLAP_S later."""
    rows: list[Logged] = []
    step, logged_s = -1, 0
    for further in draw(st.lists(st.integers(1, 3), max_size=15)):
        step, logged_s = step + further, logged_s + draw(st.sampled_from([0, 1, 20, 100]))
        rows.append(logged("a", step, logged_s, draw(st.sampled_from([0, 2, 59]))))
    return rows


@given(growing(), st.lists(st.sampled_from([0.5, 5, 30, 200]), min_size=1, max_size=12))
@example([logged("a", 0, 0, 0), logged("a", 1, 119, 4), logged("a", 2, 120, 0)], [121, 5])  # right before the unsettled ones
@example([logged("a", 0, 0, 0), logged("a", 1, 99, 2), logged("a", 2, 99, 0)], [1, 99, 5])  # right before those that came
@example([logged("a", 0, 0, 0), logged("a", 1, 0, 59), logged("a", 2, 0, 0)], [1, 70])  # nobody asked for a while
def test_no_row_is_passed_over(rows: list[Logged], pauses: list[float]) -> None:
    """Rows that come out of order, as late as may be, are all there after each delta, however long nobody asked."""
    now_s = pauses[0]
    known = told(visible(rows, now_s), sent_at_s=now_s)
    for pause_s in pauses[1:]:
        now_s += pause_s
        if "a" not in known.by_name:
            known = told(visible(rows, now_s), sent_at_s=now_s)
            continue
        first = overlap_from(known.by_name["a"])
        delta = told(visible(rows, now_s), replace(WHOLE, name="a", first=first), sent_at_s=now_s)
        known = extended(known, delta, overlap_s=OVERLAP_S)
        assert tuple(known.by_name["a"].texts()) == texts(visible(rows, now_s))


def visible(rows: list[Logged], now_s: float) -> list[OracleRow]:
    return [logged.row for logged in rows if logged.seen_s <= now_s]


def test_old_rows_are_not_asked_for_again() -> None:
    """What came longer ago than rows come out of order, and was asked for again since, is left out of the next delta."""
    known = told([row("a", step) for step in range(10)])
    assert overlap_from(known.by_name["a"]) == 0
    for sent_at_s in (1005, 1070):
        first = overlap_from(known.by_name["a"])
        delta = told([row("a", step) for step in range(10)], replace(WHOLE, name="a", first=first), sent_at_s=sent_at_s)
        known = extended(known, delta, overlap_s=OVERLAP_S)
    assert overlap_from(known.by_name["a"]) == 9


@given(states(), questions(), st.sampled_from(NAMES), st.sampled_from([990.0, 1000.0, 1005.0]), st.booleans())
def test_a_name_in_full(
    states: tuple[list[OracleRow], list[OracleRow]], question: MetricsQuery, name: str, sent_at_s: float, wider: bool
) -> None:
    """A name that was asked for in full takes the place of what was known of it, and of nothing else, unless it is older."""
    before, after = states
    question = replace(question, name=None)
    known = told(before, question)
    single = told(after, replace(question, name=name, first=0 if wider else question.first), sent_at_s=sent_at_s)
    new = replaced(known, single)
    assert (new.question, new.tail_asked_s, new.full_asked_s) == (question, 1000, 1000)
    assert list(new.by_name) == sorted(new.by_name, key=str.encode)
    assert {other: extent for other, extent in new.by_name.items() if other != name} == {
        other: extent for other, extent in known.by_name.items() if other != name
    }
    if sent_at_s < 1000:
        assert new.by_name.get(name) == known.by_name.get(name)
        return
    extent = new.by_name[name]
    assert (extent.tail_asked_s, extent.full_asked_s) == (sent_at_s, sent_at_s)
    for limit in (3, 10_000):
        asked = replace(question, name=name, limit=limit)
        computed = answer(new, asked)
        if computed is not None:
            assert computed.body in set(permitted(after, asked_of(asked.query.values)))
    if not within(after, name, single.question):
        assert extent.known is Known.NONE


@st.composite
def windows(draw: st.DrawFn) -> tuple[MetricsQuery, MetricsQuery]:
    """Draw two windows of one scope, the left one first."""
    group = draw(st.sampled_from([None, None, "g1"]))
    limit = draw(st.sampled_from([6, 12, 10_000]))
    begin = draw(st.integers(0, 10))
    end = draw(st.none() | st.integers(begin, 20))
    first = draw(st.integers(begin, 22))
    last = draw(st.none() | st.integers(first, 30))
    left = replace(WHOLE, group=group, limit=limit, first=begin, last=end)
    return left, replace(left, first=first, last=last)


def touch(left: MetricsQuery, right: MetricsQuery) -> bool:
    """Tell whether the right window begins within the left one or right behind it, and ends behind it."""
    return left.last is not None and right.first <= left.last + 1 and (right.last is None or right.last > left.last)


@given(states(), windows(), st.data())
def test_two_windows_of_one_moment(
    states: tuple[list[OracleRow], list[OracleRow]], pair: tuple[MetricsQuery, MetricsQuery], data: st.DataObject
) -> None:
    """Two windows that touch are one, of which as much is known as of the two; others aren't."""
    rows = states[1]
    left, right = (told(rows, question, sent_at_s=1000 + number) for number, question in enumerate(pair))
    joined = merged(*data.draw(st.permutations([left, right])))
    if left.question.first < right.question.first:
        assert (joined is None) <= (not touch(*pair) or any(len(shapes(within(rows, name, WHOLE))) > 1 for name in NAMES))
    if joined is None:
        return
    assert touch(*pair) or touch(*reversed(pair))
    assert (joined.question.first, joined.question.last) == (left.question.first, right.question.last) or pair[0].first == pair[
        1
    ].first
    assert (joined.tail_asked_s, joined.full_asked_s) == (1000, 1000)
    assert list(joined.by_name) == sorted({*left.by_name, *right.by_name}, key=str.encode)
    for name, extent in joined.by_name.items():
        sides = [side.by_name[name].known for side in (left, right) if name in side.by_name]
        assert (extent.known is Known.ALL) == (set(sides) == {Known.ALL})
        assert extent.known in sides
        assert (extent.tail_asked_s, extent.full_asked_s) == (1000, 1000)
        if extent.known is Known.ALL:
            mine = within(rows, name, joined.question)
            assert tuple(extent.texts()) == texts(mine)
            assert extent.row_bytes == sum(map(len, extent.rows))
            assert list(extent.steps) == [row.step for row in mine]
            assert list(extent.groups or [extent.group] * len(mine)) == [row.group for row in mine]
        else:
            assert (extent.rows, list(extent.steps)) == ((), [])


@given(states(), windows())
def test_two_windows_of_two_moments(
    states: tuple[list[OracleRow], list[OracleRow]], pair: tuple[MetricsQuery, MetricsQuery]
) -> None:
    """Windows that say other things of the steps that both hold are not put together; what is has rows that one of them had."""
    left, right = (told(rows, question) for rows, question in zip(states, pair, strict=True))
    joined = merged(left, right)
    if joined is None or pair[0].first == pair[1].first:
        return
    for name, extent in joined.by_name.items():
        sides = [side.by_name[name].known for side in (left, right) if name in side.by_name]
        if set(sides) != {Known.ALL}:
            assert extent.known is not Known.ALL
            continue
        ours = within(states[0], name, pair[0])
        theirs = within(states[1], name, pair[1])
        both = range(pair[1].first, (pair[0].last or 0) + 1)
        assert [row for row in ours if row.step in both] == [row for row in theirs if row.step in both]
        assert tuple(extent.texts()) == texts([*(row for row in ours if row.step < pair[1].first), *theirs])


LEFT, RIGHT = replace(WHOLE, last=9), replace(WHOLE, first=5)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([row("a", 1), row("a", 7)], [row("a", 12)]),
        ([row("a", 7)], []),
        ([], [row("a", 7)]),
        ([row("a", 7)], [row("a", 7, value=2)]),
        ([row("a", 1)], [row("a", 12, more=1)]),
        ([row("a", 1)], [row("a", 12, quoted=True)]),
    ],
)
def test_windows_that_contradict_each_other(before: list[OracleRow], after: list[OracleRow]) -> None:
    """A row that only one of two windows has, or that differs, or is of another shape cannot be explained."""
    assert merged(told(before, LEFT), told(after, RIGHT)) is None
    assert merged(told(after, RIGHT), told(before, LEFT)) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((0, None), (5, None)),
        ((0, 9), (11, 20)),
        ((0, 9), (5, 9)),
        ((0, 9), (3, 5)),
    ],
)
def test_windows_that_are_not_put_together(one: tuple[int, int | None], other: tuple[int, int | None]) -> None:
    """Between two windows no step may be missing, and nothing is to be put together where one holds the other."""
    questions = [replace(WHOLE, first=first, last=last) for first, last in (one, other)]
    left, right = (told([row("a", 4)], question) for question in questions)
    assert merged(left, right) is None
    assert merged(right, left) is None


@pytest.mark.parametrize(
    ("one", "other", "known"),
    [
        (Known.SOME, Known.ALL, Known.SOME),
        (Known.ALL, Known.UNCLEAR, Known.UNCLEAR),
        (Known.UNCLEAR, Known.SOME, Known.UNCLEAR),
        (Known.SOME, Known.NOT_YET, Known.NOT_YET),
        (Known.NOT_YET, Known.UNCLEAR, Known.NOT_YET),
        (Known.NONE, Known.SOME, Known.SOME),
        (Known.NONE, Known.ALL, Known.ALL),
        (Known.ALL, Known.NONE, Known.ALL),
        (Known.NONE, Known.NONE, None),
    ],
)
def test_what_is_known_of_two_windows(one: Known, other: Known, known: Known | None) -> None:
    """Of two windows together no more is known of a name than of either; one without rows takes nothing away."""
    left, right = told([row("a", 1)], LEFT), told([row("a", 12)], RIGHT)
    left, right = (with_known(side, side_known) for side, side_known in ((left, one), (right, other)))
    joined = merged(left, right)
    assert joined is not None
    assert (joined.by_name["a"].known if "a" in joined.by_name else None) is known
    assert {extent.known is Known.ALL: len(extent.rows) > 0 for extent in joined.by_name.values()} in (
        [{}] if known is None else [{True: True}] if known is Known.ALL else [{False: False}]
    )


def test_the_order_of_the_names_of_two_windows() -> None:
    """It is that of their UTF-8 bytes, whichever window they are of; by UTF-16 the last would come first."""
    left, right = told([row("\uffee", 1)], LEFT), told([row("\U0001f600", 12), row("b", 12)], RIGHT)
    joined = merged(left, right)
    assert joined is not None
    assert list(joined.by_name) == ["b", "\uffee", "\U0001f600"]


def with_known(extents: Extents, known: Known) -> Extents:
    """Return extents of which that is known of the name `a`."""
    if known is Known.ALL:
        return extents
    return replace(extents, by_name={**extents.by_name, "a": changed(no_rows(1000), known=known)})


@given(st.lists(st.floats(0, 100), min_size=8, max_size=8))
def test_two_windows_are_as_old_as_the_older(ages: list[float]) -> None:
    """What was put together has the ages of its oldest part."""
    left, right = told([row("a", 1), row("b", 1)], LEFT), told([row("a", 12)], RIGHT)
    left = aged(left, ages[0], ages[1], {"a": (ages[2], ages[3])})
    right = aged(right, ages[4], ages[5], {"a": (ages[6], ages[7])})
    joined = merged(left, right)
    assert joined is not None
    assert (joined.tail_asked_s, joined.full_asked_s) == (min(ages[0], ages[4]), min(ages[1], ages[5]))
    extent = joined.by_name["a"]
    assert (extent.tail_asked_s, extent.full_asked_s) == (min(ages[0::2]), min(ages[1::2]))
    assert extent.unsettled == (*left.by_name["a"].unsettled, *right.by_name["a"].unsettled)


def aged(extents: Extents, tail_asked_s: float, full_asked_s: float, ages: Mapping[str, tuple[float, float]]) -> Extents:
    by_name = {
        name: changed(extent, tail_asked_s=ages.get(name, (1000, 1000))[0], full_asked_s=ages.get(name, (1000, 1000))[1])
        for name, extent in extents.by_name.items()
    }
    return replace(extents, by_name=by_name, tail_asked_s=tail_asked_s, full_asked_s=full_asked_s)


@pytest.mark.parametrize(
    "rows",
    [
        [row("a", 3), row("a", 12)],
        [row("a", 3)],
        [row("a", 3, group="g"), row("a", 12), row("a", 13, group="g")],
    ],
)
def test_windows_after_a_name_in_full(rows: list[OracleRow]) -> None:
    """A name asked for from before a window has each row once after that window was put beside another one."""
    right = replaced(told(rows, replace(WHOLE, first=10)), told(rows, replace(WHOLE, name="a"), sent_at_s=1005))
    joined = merged(told(rows, LEFT), right)
    assert joined is not None
    assert tuple(joined.by_name["a"].texts()) == texts(rows)


KNOWN = [row("a", 1), row("a", 5, group="g"), row("a", 9)]


@pytest.mark.parametrize(
    ("came", "known"),
    [
        (KNOWN[1:], Known.ALL),
        ([*KNOWN[1:], row("a", 12, group="g")], Known.ALL),
        ([KNOWN[1], row("a", 7), KNOWN[2]], Known.ALL),
        ([], Known.NOT_YET),
        (KNOWN[2:], Known.NOT_YET),
        ([KNOWN[1], row("a", 9, value=2)], Known.NOT_YET),
        ([row("a", 5, group="g", quoted=True), row("a", 9, quoted=True)], Known.NOT_YET),
        ([*KNOWN[1:], row("a", 9, group="g")], Known.UNCLEAR),
        ([*KNOWN[1:], row("a", 12, more=1)], Known.UNCLEAR),
    ],
)
def test_what_fits(came: list[OracleRow], known: Known) -> None:
    """What a delta tells is added where all that was known is in it as it was; else there is no telling what is so now."""
    extents = told(KNOWN)
    extents = replace(extents, by_name={"a": changed(extents.by_name["a"], unsettled=())})
    extent = extended(extents, told(came, replace(WHOLE, first=5, limit=10), sent_at_s=1005), overlap_s=OVERLAP_S).by_name["a"]
    assert extent.known is known
    assert tuple(extent.texts()) == (texts([KNOWN[0], *came]) if known is Known.ALL else ())


SETTLED = [row("a", step) for step in range(6)]


@pytest.mark.parametrize(
    ("came", "fits"),
    [
        ([*SETTLED[1:5], row("a", 5, value=2)], True),
        ([*SETTLED[1:4], row("a", 4, value=2), SETTLED[5], row("a", 6)], True),
        ([*SETTLED[1:3], row("a", 3, value=2), *SETTLED[4:]], False),
        ([row("a", 1, value=2), *SETTLED[2:]], False),
        ([*SETTLED[1:4], row("a", 5, value=2)], False),
        ([*SETTLED[1:4], row("a", 4, value=2, group="g"), SETTLED[5]], False),
        ([*SETTLED[1:4], row("a", 4, value=2, more=1), SETTLED[5]], False),
    ],
)
def test_rows_that_were_written_again(came: list[OracleRow], fits: bool) -> None:
    """They are taken over where the first known rows are as they were, and none has gone."""
    extents = told(SETTLED)
    extents = replace(extents, by_name={"a": changed(extents.by_name["a"], unsettled=((1000.0, 1),))})
    extent = extended(extents, told(came, replace(WHOLE, first=1), sent_at_s=1005), overlap_s=OVERLAP_S).by_name["a"]
    assert (extent.known is Known.ALL) == fits
    assert tuple(extent.texts()) == (texts([SETTLED[0], *came]) if fits else ())
    assert (extent.tail_asked_s, extent.full_asked_s) == ((1005, 1000) if fits else (1000, 1000))


@pytest.mark.parametrize("first", [0, 2, 9])
def test_a_sample_tells_nothing_of_a_name(first: int) -> None:
    """A name of which a small limit left rows out stays as it was; one that had no rows, or none in a group, is asked for."""
    known = replaced(told([row("a", step) for step in range(5)]), told([], replace(WHOLE, name="c")))
    now = [row(name, step) for name in "abc" for step in range(20)]
    delta = told(now, replace(WHOLE, first=first, limit=9), sent_at_s=1005)
    new = extended(known, delta, overlap_s=OVERLAP_S)
    assert new.by_name["a"] == known.by_name["a"]
    assert {new.by_name[name].known for name in "bc"} == {Known.NOT_YET}
    assert (new.tail_asked_s, new.full_asked_s) == (1005, 1000 if first else 1005)
    grouped = told([row("a", step, group="g") for step in range(20)], delta.question, sent_at_s=1005)
    assert extended(known, grouped, overlap_s=OVERLAP_S).by_name["a"].known is Known.NOT_YET


@given(states(), st.sampled_from([4, 6, 12, 10_000]), st.sampled_from([990.0, 1005.0]))
def test_a_delta_from_the_beginning(states: tuple[list[OracleRow], list[OracleRow]], limit: int, sent_at_s: float) -> None:
    """It tells all of the names that it doesn't hold as samples, unless what is known is newer."""
    before, after = states
    known, delta = told(before), told(after, replace(WHOLE, limit=limit), sent_at_s=sent_at_s)
    new = extended(known, delta, overlap_s=OVERLAP_S)
    assert list(new.by_name) == sorted({*known.by_name, *delta.by_name}, key=str.encode)
    assert (new.tail_asked_s, new.full_asked_s) == (max(1000, sent_at_s), max(1000, sent_at_s))
    for name, extent in new.by_name.items():
        came = within(after, name, WHOLE)
        if name in known.by_name and sent_at_s < 1000:
            assert extent == known.by_name[name]
        elif is_clear(came, limit):
            assert extent.known is (Known.ALL if came else Known.NONE)
            assert tuple(extent.texts()) == texts(came)
            assert (extent.tail_asked_s, extent.full_asked_s) == (sent_at_s, sent_at_s)
        else:
            assert extent == known.by_name.get(name) or extent.known is not Known.ALL


def test_a_sample_of_a_long_series() -> None:
    """A delta for all names from far behind leaves a long series as it was, and as old; one for that name alone does not."""
    rows = [row("a", step) for step in range(30)]
    known = told(rows)
    known = replace(known, by_name={"a": changed(known.by_name["a"], unsettled=())})
    for name, expected in ((None, Known.ALL), ("a", Known.SOME)):
        question = replace(WHOLE, name=name, first=5, limit=10)
        with patch.object(metrics_query, "MAX_LIMIT", 10):
            new = extended(known, told(rows, question, sent_at_s=1005), overlap_s=OVERLAP_S)
        assert new.by_name["a"].known is expected
        assert (new.by_name["a"] == known.by_name["a"]) is (name is None)
        assert new.tail_asked_s == (1005 if name is None else 1000)


def test_a_name_that_is_overtaken() -> None:
    """A name asked for before what is known of it changes nothing."""
    known = told([row("a", 1)])
    assert replaced(known, told([row("a", 2)], replace(WHOLE, name="a"), sent_at_s=999)) is known
    assert tuple(replaced(known, told([row("a", 2)], replace(WHOLE, name="a"), sent_at_s=1001)).by_name["a"].texts()) == texts(
        [row("a", 2)]
    )


def test_names_that_are_new() -> None:
    """A name that was not there, or had no rows, is in its place among the others, and is still to be asked for."""
    known = told([row("a", 1), row("\U0001f600", 1)])
    known = replaced(known, told([], replace(WHOLE, name="\uffee")))
    for name in ("b", "\uffee"):
        new = extended(known, told([row(name, 9)], replace(WHOLE, name=name, first=5), sent_at_s=1005), overlap_s=OVERLAP_S)
        assert list(new.by_name) == sorted({*known.by_name, name}, key=str.encode)
        assert (new.by_name[name].known, new.by_name[name].tail_asked_s, new.tail_asked_s) == (Known.NOT_YET, 1005, 1000)
    unclear = told([row("b", 6), row("b", 6, group="g")], replace(WHOLE, name="b", first=5), sent_at_s=1005)
    assert extended(known, unclear, overlap_s=OVERLAP_S).by_name["b"].known is Known.UNCLEAR


def test_what_is_not_known_stays_so() -> None:
    """A delta makes no more of a name than was known of it before."""
    known = told([row("a", step) for step in range(9)], replace(WHOLE, limit=2))
    assert known.by_name["a"].known is Known.SOME
    new = extended(known, told([row("a", 8)], replace(WHOLE, first=8), sent_at_s=1005), overlap_s=OVERLAP_S)
    assert (new.by_name, new.tail_asked_s) == (known.by_name, 1005)
    named = told([row("b", 8)], replace(WHOLE, name="b", first=8), sent_at_s=1005)
    other = told([row("a", 1)], replace(WHOLE, name="a"))
    assert extended(other, named, overlap_s=OVERLAP_S) == other


@pytest.mark.parametrize("groups", [("", ""), ("g", ""), ("", "g")])
def test_groups_of_two_windows(groups: tuple[str, str]) -> None:
    """Each row keeps its group in what was put together."""
    rows = [row("a", 1, group=groups[0]), row("a", 12, group=groups[1]), row("a", 13, group=groups[1])]
    joined = merged(told(rows, LEFT), told(rows, RIGHT))
    assert joined is not None
    for group in ("", "g"):
        computed = answer(joined, replace(WHOLE, group=group or None))
        assert computed is not None
        assert computed.body == body_of(rows, replace(WHOLE, group=group or None))


@pytest.mark.parametrize("first", [0, 1, 3])
def test_an_older_delta_that_fits(first: int) -> None:
    """Nor does one that brings the very rows that are known, or lacks those that came since, make them any older."""
    known = told([row("a", 1), row("a", 3), row("b", 3)])
    for rows in ([row("a", 1), row("a", 3), row("b", 3)], [row("a", 1), row("b", 3)]):
        new = extended(known, told(rows, replace(WHOLE, first=first), sent_at_s=990), overlap_s=OVERLAP_S)
        assert new == known
