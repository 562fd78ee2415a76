"""What proves an answer whole, against an upstream that silently keeps to smaller limits."""

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.proof.known_rows import as_of_known_end, lacks_known_steps, shows_no_gap
from proxy.core.proof.probes import is_probed_by, probe_limits, proven_lengths, proven_names
from proxy.core.proof.sizes import FEW_ROWS, Size, size_of, thinned_of
from proxy.core.series.answers import split
from proxy.core.series.extents import Extents
from proxy.core.series.metrics_query import MetricsQuery
from tests.support.oracle import Asked, Cap, How, Of, OracleRow, permitted
from tests.support.oracle_upstream import row

QUESTION = MetricsQuery(run="1", project="p", name=None, group=None, limit=10_000, first=0, last=None)
CAPS = st.builds(Cap, of=st.sampled_from(Of), how=st.sampled_from(How), size=st.integers(4, 90))
LENGTHS = st.lists(st.integers(1, 60), min_size=1, max_size=4)
MANY_LENGTHS = LENGTHS | st.lists(st.integers(1, 9), min_size=1, max_size=25)


def rows_of(lengths: list[int]) -> list[OracleRow]:
    return [row(f"n{number}", step) for number, length in enumerate(lengths) for step in range(length)]


def told(rows: list[OracleRow], cap: Cap | None, limit: int = 10_000) -> bytes:
    return next(permitted(rows, Asked(limit=limit), cap))


def by_name(body: bytes) -> dict[str, list[bytes]]:
    extents = split(body, QUESTION, sent_at_s=0)
    return {name: extent.texts() for name, extent in extents.by_name.items()}


def size(body: bytes) -> Size:
    return size_of(split(body, QUESTION, sent_at_s=0), len(body))


@given(total=st.integers(4, 5_000), cap=st.integers(3, 1_000), limit=st.integers(1, 64))
@settings(max_examples=2_000)
def test_a_probe_differs_where_rows_are_left_out(total: int, cap: int, limit: int) -> None:
    """Where some of a name's rows came, the answer to a probe that is chosen for their number is not what is computed."""

    def sent(rows: int, most: int) -> list[int]:
        every = 1 if rows <= most else -(-rows // most)
        return sorted({*range(0, rows, every), rows - 1})

    came = sent(total, cap)
    if len(came) < total and is_probed_by(len(came), limit):
        assert sent(total, min(limit, cap)) != [came[place] for place in sent(len(came), limit)]


@given(lengths=LENGTHS, cap=CAPS)
@settings(max_examples=600)
def test_what_probes_confirm_is_whole(lengths: list[int], cap: Cap) -> None:
    """No name of which rows are missing is confirmed, whatever the upstream keeps to, as long as it sends three rows."""
    rows = rows_of(lengths)
    body = told(rows, cap)
    extents = split(body, QUESTION, sent_at_s=0)
    for limit in probe_limits(len(extent.rows) for extent in extents.by_name.values()):
        said = told(rows, cap, limit)
        if size(said).is_whole_beside(size(body)) and by_name(said).keys() == extents.by_name.keys():
            for name in proven_names(extents, limit, by_name(said)):
                assert len(extents.by_name[name].rows) == lengths[int(name[1:])]


def proven_of(lengths: list[int]) -> int:
    """Return how many names of an answer that nothing is missing of the probes prove: two small ones at most."""
    extents = split(told(rows_of(lengths), None), QUESTION, sent_at_s=0)
    limits = probe_limits(lengths)
    assert len(limits) <= 2
    assert max(limits) <= 64
    return len(set().union(*(proven_names(extents, limit, by_name(told(rows_of(lengths), None, limit))) for limit in limits)))


@given(lengths=st.lists(st.integers(13, 400), min_size=1, max_size=3))
@settings(max_examples=300)
def test_most_answers_can_be_proven(lengths: list[int]) -> None:
    """Probes prove names of two lengths, all but one at least."""
    assert len(set(lengths)) > 2 or proven_of(lengths) >= len(lengths) - 1


@given(length=st.integers(9, 400), names=st.integers(1, 4))
def test_names_of_equal_length_can_be_proven(length: int, names: int) -> None:
    """Probes prove all names of equal length."""
    assert proven_of([length] * names) == names


def test_which_short_names_cannot_be_proven() -> None:
    """Of few rows there are not enough limits to choose from: these are the only lengths of which two names stay unproven."""
    short = range(9, 30)
    unproven = [lengths for one in short for other in short if proven_of(lengths := [one, other, other]) < 2]
    assert unproven == [[9, 10, 10], [9, 12, 12], [10, 12, 12], [11, 12, 12]]


@given(seen=MANY_LENGTHS, lengths=MANY_LENGTHS, cap=CAPS)
@settings(max_examples=3_000)
def test_what_is_half_of_what_was_seen_is_whole(seen: list[int], lengths: list[int], cap: Cap) -> None:
    """An answer at most half as large, in every respect, as one that the upstream sent lacks nothing."""
    before, now = told(rows_of(seen), cap), told(rows_of(lengths), cap)
    if size(before).holds(size(now).doubled) or size(now).rows <= FEW_ROWS:
        assert now == told(rows_of(lengths), None)


@given(seen=MANY_LENGTHS, lengths=MANY_LENGTHS, size_of_cap=st.integers(4, 90), of=st.sampled_from(Of))
@settings(max_examples=3_000)
def test_what_is_exceeded_by_what_was_seen_is_not_cut(seen: list[int], lengths: list[int], size_of_cap: int, of: Of) -> None:
    """An answer that is smaller, in every respect, than one that the upstream sent lacks nothing at its end."""
    cap = Cap(of=of, how=How.FIRST, size=size_of_cap)
    before, now = told(rows_of(seen), cap), told(rows_of(lengths), cap)
    if size(before).holds(size(now).exceeded):
        assert now == told(rows_of(lengths), None)


def test_many_names_show_no_more_rows_than_are_sent() -> None:
    """Where all rows together are sampled by one stride, more come of many names than of two."""
    cap = Cap(of=Of.ALL, how=How.STRIDE, size=100)
    before, now = told(rows_of([600] + [20] * 20), cap), told(rows_of([55, 55]), cap)
    assert now != told(rows_of([55, 55]), None)
    assert not size(before).holds(size(now).doubled)
    # Nor where two are joined, one of them with many names.
    assert not size(before).holds(size(now).doubled.joined(Size(names=21, most=1, rows=21, bytes=1)))


@pytest.mark.parametrize("limit", [0, 1])
def test_a_limit_of_one_proves_nothing(limit: int) -> None:
    """It shows the first and the last row only."""
    assert not any(is_probed_by(rows, limit) for rows in range(1, 100))


def test_lengths_proven_along_with_a_longer_one() -> None:
    """Where all rows are sent of one name, half as many of another are all of them."""
    assert proven_lengths({10, 3, 1}, 7) == {10, 3, 1}
    assert proven_lengths({3, 1}, 7) == set()
    assert proven_lengths({10, 6, 5}, 7) == {10, 5}


def test_nothing_to_probe() -> None:
    """Names of one or two rows, and none at all, have no probe."""
    assert [probe_limits(lengths) for lengths in ([], [1, 2, 2], [4])] == [[], [], []]
    assert probe_limits([3]) == [2]


def test_known_rows_show_what_lies_between() -> None:
    """Three known rows at the beginning of what came do; two don't, nor where something lies between or before them."""
    known = split(told(rows_of([10]), None), QUESTION, sent_at_s=0).by_name["n0"]

    def came(steps: list[int]) -> bool:
        body = told([row("n0", step) for step in steps], None)
        return shows_no_gap(known, split(body, QUESTION, sent_at_s=0).by_name["n0"], steps[0])

    assert came([7, 8, 9])
    assert came([0, 1, 2, 3, 4])
    assert not came([8, 9, 10])
    assert not came([4, 6, 8])
    assert not came([10, 11, 12])


def test_lost_rows() -> None:
    """Steps that are known within the window must be there again; others may have come between and behind them."""
    known = split(told(rows_of([5]), None), QUESTION, sent_at_s=0).by_name["n0"]

    def came(steps: list[int], first: int = 0, last: int | None = None) -> bool:
        body = told([row("n0", step) for step in steps], None)
        return lacks_known_steps(known, split(body, QUESTION, sent_at_s=0).by_name.get("n0"), first, last)

    assert not came([0, 1, 2, 3, 4, 5])
    assert not came([3, 4], first=3)
    assert not came([0, 1], last=1)
    assert not came([], first=5)
    assert came([0, 1, 3, 4, 5])
    assert came([0, 1, 2, 3])
    assert came([])


@given(lengths=LENGTHS.filter(bool), longest=st.integers(0, 300))
def test_what_comes_at_least_with_a_smaller_limit(lengths: list[int], longest: int) -> None:
    """So much is sent of the same names, if not more."""
    lengths = [*lengths, longest]
    extents = split(told(rows_of(lengths), None), QUESTION, sent_at_s=0)
    for limit, most, rows in thinned_of(extents):
        came = size(told(rows_of(lengths), None, limit))
        assert limit < max(lengths)
        assert came.most >= most
        assert came.rows >= rows
    assert thinned_of(split(b'{"metrics":[]}', QUESTION, sent_at_s=0)) == ()


@pytest.mark.parametrize("respect", ["most", "rows", "bytes"])
def test_as_much_as_was_seen_may_be_cut(respect: str) -> None:
    """Only what is less in every respect was not."""
    came = Size(names=2, most=5, rows=8, bytes=800)
    seen = Size(names=2, most=6, rows=9, bytes=1_200)
    assert seen.holds(came.exceeded)
    assert not replace(seen, **{respect: getattr(came, respect)}).holds(came.exceeded)


@given(
    seen=st.integers(1, 60), now=st.integers(1, 60), long=st.integers(1, 20), room=st.integers(0, 36), how=st.sampled_from(How)
)
@settings(max_examples=1_500)
def test_few_long_rows_may_be_as_much_as_many_short_ones(seen: int, now: int, long: int, room: int, how: How) -> None:
    """Where bytes are capped, an answer of half the rows is whole only if it has half the bytes too."""
    rows = [row("n0", step, further="x" * 30 * long) for step in range(now)]
    three = math.ceil(3 * len(rows[0].text) / 150)  # an upstream that sends fewer than three rows is out of reach
    limit = Cap(of=Of.BYTES, how=how, size=three + room)
    before, after = told(rows_of([seen]), limit), told(rows, limit)
    if size(before).holds(size(after).doubled):
        assert after == told(rows, None)


def test_an_answer_reaches_as_far_as_what_is_known() -> None:
    """One that holds the last row that another call brought is whole as of then; what came later may be cut off."""

    def part(steps: range, at_s: float, name: str = "n0", first: int = 0, last: int | None = None) -> Extents:
        question = replace(QUESTION, first=first, last=last)
        return split(told([row(name, step) for step in steps], None), question, sent_at_s=at_s)

    came, end = part(range(9), 20), part(range(5, 8), 12, first=5)
    reached = as_of_known_end(came, [end, part(range(3), 5)], 10)
    assert reached is not None
    assert (reached.tail_asked_s, reached.by_name["n0"].tail_asked_s, reached.full_asked_s) == (12, 12, 20)
    assert as_of_known_end(came, [end], 13) is None
    assert as_of_known_end(came, [part(range(5, 11), 12, first=5)], 10) is None
    assert as_of_known_end(came, [part(range(5, 8), 12, first=5, last=7)], 10) is None
    assert as_of_known_end(came, [part(range(5), 12, name="n1")], 10) is None
    assert as_of_known_end(part(range(0), 20), [end], 10) is None
