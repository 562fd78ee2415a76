"""What came together of a long series: put together and mended exactly, and never accepted where it isn't what there is."""

import itertools
from collections.abc import Sequence
from dataclasses import replace

from hypothesis import assume, given
from hypothesis import strategies as st

from proxy.core.proof.loaded import (
    Check,
    checkable,
    checks,
    differing_from,
    only_extent,
    overlapping,
    pieces_of,
    spliced,
    without_last,
)
from proxy.core.proof.probes import is_probed_by
from proxy.core.series.answers import split
from proxy.core.series.extents import Extents, Known
from proxy.core.series.joining import merged
from proxy.core.series.metrics_query import MetricsQuery
from proxy.core.series.sampling import stride
from tests.support.oracle import OracleRow, permitted
from tests.support.oracle_upstream import asked_of, row

ONE = MetricsQuery(run="1", project="p", name="a", group=None, limit=10_000, first=0, last=None)
STEPS = st.lists(st.integers(0, 400), min_size=8, max_size=120, unique=True).map(sorted)


def rows_of(steps: Sequence[int], value: float = 1) -> list[OracleRow]:
    return [row("a", step, value=value) for step in steps]


def told(rows: Sequence[OracleRow], question: MetricsQuery = ONE) -> Extents:
    """Return what the upstream tells of a window."""
    body = next(permitted(rows, asked_of(replace(question, limit=10_000).query.values)))
    return replace(split(body, replace(question, limit=10_000), sent_at_s=1000), question=question)


def said(rows: Sequence[OracleRow], question: MetricsQuery) -> list[bytes]:
    """Return the rows of the upstream's answer."""
    body = next(permitted(rows, asked_of(question.query.values)))
    return split_rows(body)


def split_rows(body: bytes) -> list[bytes]:
    texts = body.removeprefix(b'{"metrics":[').removesuffix(b"]}")
    return [b"{" + text.removeprefix(b"{") for text in texts.replace(b"},{", b"}\n{").split(b"\n")] if texts else []


def texts(extents: Extents | None) -> list[bytes]:
    extent = None if extents is None else only_extent(extents)
    return [] if extent is None else extent.texts()


def check_of(extents: Extents) -> Check | None:
    return next(checks(replace(extents, question=replace(extents.question, limit=100))), None)


@given(STEPS, st.data())
def test_the_last_window_is_dropped(steps: list[int], data: st.DataObject) -> None:
    """The rows from its first step on are; nothing is left of a single window."""
    first = data.draw(st.integers(0, 410))
    left = without_last(told(rows_of(steps)), first)
    kept = [step for step in steps if step < first]
    if not kept:
        assert left is None
        return
    assert left is not None
    assert left.question.last == kept[-1]
    assert texts(left) == [one.text.encode() for one in rows_of(kept)]
    assert overlapping(left, first) == kept[-min(3, len(kept))]
    # What was dropped comes again, with the last rows of what was kept.
    again = told(rows_of(steps), replace(ONE, first=overlapping(left, first)))
    assert texts(merged(left, again)) == texts(told(rows_of(steps)))


def test_nothing_to_overlap() -> None:
    """The first window begins where it is asked for."""
    assert overlapping(None, 7) == 7
    assert overlapping(told([]), 7) == 7
    assert without_last(told([]), 7) is None
    assert len(list(checks(told(rows_of(range(13)))))) > 1
    assert list(checks(told([]))) == []
    check = Check(question=replace(ONE, limit=2), rows=3)
    assert differing_from(told([]), check, []) is None
    assert pieces_of(told([]), check, 0) == []


@given(STEPS)
def test_what_is_right_passes(steps: list[int]) -> None:
    """The check of what there is finds no difference, and would find any sample out."""
    whole = told(rows_of(steps))
    check = check_of(whole)
    assume(check is not None)
    assert check is not None
    assert is_probed_by(check.rows, check.question.limit)
    assert differing_from(whole, check, said(rows_of(steps), check.question)) is None


@given(st.integers(20, 400), st.integers(2, 7))
def test_a_sample_is_found_out(rows: int, apart: int) -> None:
    """What came together of windows that all were samples with one stride isn't what the check says."""
    steps = range(rows * apart)
    sample = [step for step in steps if step % apart == 0 or step == steps[-1]]
    whole = told(rows_of(sample))
    check = check_of(whole)
    assert check is not None
    assert differing_from(whole, check, said(rows_of(steps), check.question)) is not None


@given(STEPS, st.sets(st.integers(0, 400), max_size=4), st.sets(st.integers(0, 400), max_size=3))
def test_torn_loads_are_mended(steps: list[int], came: set[int], changed: set[int]) -> None:
    """After some checks either all that is sampled agrees, or the load is given up: what passes has the rows of each sample.

    Where rows only came and were few, what passes is what there is.
    """
    now = [row("a", step, value=2 if step in changed else 1) for step in sorted({*steps, *came} - {401})]
    whole: Extents | None = told(rows_of(steps))
    for _ in range(30):
        assert whole is not None
        check = check_of(whole)
        if check is None:
            return
        answer = said(now, check.question)
        since = differing_from(whole, check, answer)
        if since is None:
            # Up to the last row that the stride meets; behind it the last row comes in any case.
            extent, every = whole.by_name["a"], stride(check.rows, check.question.limit)
            place = (check.rows - 1) // every * every
            if not changed:
                assert sum(one.step <= extent.steps[place] for one in now) == place + 1
            return
        assert 0 <= since < check.rows
        for piece in pieces_of(replace(whole, question=replace(whole.question, limit=30)), check, since):
            assert piece.last is not None
            whole = spliced(whole, told(now, replace(ONE, first=piece.first, last=piece.last)))
            if whole is None:
                return


@given(STEPS, st.data())
def test_a_piece_takes_the_place_of_its_window(steps: list[int], data: st.DataObject) -> None:
    """Exactly: the rows before and behind it stay, and both ages."""
    first = data.draw(st.integers(0, 400))
    last = data.draw(st.integers(first, 400))
    now = [row("a", step, value=3) for step in sorted({*steps, first})]
    whole = told(rows_of(steps))
    mended = spliced(whole, replace(told(now, replace(ONE, first=first, last=last)), full_asked_s=2000, tail_asked_s=2000))
    expected = [row("a", step, value=3 if first <= step <= last else 1) for step in sorted({*steps, first})]
    assert texts(mended) == [one.text.encode() for one in expected]
    assert mended is not None
    assert (mended.full_asked_s, mended.tail_asked_s, mended.question) == (1000, 1000, ONE)


def test_pieces_that_do_not_go_together() -> None:
    """Of another shape, without a last step, or without rows."""
    whole = told(rows_of(range(50)))
    closed = replace(ONE, first=10, last=20)
    quoted = [row("a", step, quoted=True) for step in range(50)]
    assert spliced(whole, told(quoted, closed)) is None
    assert spliced(whole, told(rows_of(range(50)), replace(ONE, first=10))) is None
    assert spliced(whole, told([], closed)) is None


def test_the_unsettled_end_is_left_out() -> None:
    """Rows still come there, and deltas look for them."""
    early = [row("a", step, time="2026-01-01 00:00:00.000") for step in range(90)]
    late = [row("a", step, time="2026-01-01 01:00:00.000") for step in range(90, 100)]
    check = check_of(told([*early, *late]))
    assert check is not None
    assert check.rows <= 90
    assert check_of(told(early)) is not None


def test_pieces_reach_to_the_next_row_of_the_sample() -> None:
    """They begin with rows that the check has shown, or the ones before these, and follow each other."""
    whole = told(rows_of(range(100)))
    small = replace(whole, question=replace(ONE, limit=30))
    pieces = pieces_of(small, Check(question=replace(ONE, limit=4), rows=99), 25)
    assert pieces[0].first == 23
    assert pieces[-1].last is not None
    assert pieces[-1].last >= 50
    assert all(one.last is not None and other.first <= one.last for one, other in itertools.pairwise(pieces))
    assert pieces_of(small, Check(question=replace(ONE, limit=50), rows=99), 0)[0].first == 0
    assert only_extent(whole) is not None
    assert whole.by_name["a"].known is Known.ALL


@given(st.integers(10_001, 2_000_000))
def test_checks_in_earnest_leave_no_gap(rows: int) -> None:
    """They end with a row that the stride meets, leave hardly any rows out, and are of 1,800 rows at least."""
    checked, limit = next(checkable(rows, 2_000))
    every = stride(checked, limit)
    assert (checked - 1) % every == 0
    assert rows - checked < every
    assert 1_800 <= limit <= 2_000
    assert is_probed_by(checked, limit)
