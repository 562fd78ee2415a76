"""What proves that a run has ended, and how long its answers live then."""

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.run_status import (
    MOST_LISTED,
    PAGE_ROWS,
    Listing,
    Page,
    Ramp,
    RunEnd,
    Terminal,
    ended_fresh_s,
    read_ended,
    read_page,
)

RAMP = Ramp(settling_s=300, settling_failed_s=1800, ended_max_s=3600)
AT_S = 1_780_000_020.0
ENDED = RunEnd(status=Terminal.COMPLETED, at_s=AT_S)
DETAILS = {"id": 1, "status": "COMPLETED", "projectName": "p", "statusUpdated": "2026-05-28T20:27:00.000Z", "logNames": []}


def details(**fields: Any) -> bytes:
    """A run's details; a field that is ... is left out."""
    return json.dumps({name: value for name, value in (DETAILS | fields).items() if value is not ...}).encode()


def fresh(
    ended: RunEnd, *, now_s: float, happened_s: float = -math.inf, stood_s: float = math.inf, ramp: Ramp = RAMP
) -> float | None:
    return ended_fresh_s(ended, now_s=now_s, happened_s=happened_s, stood_s=stood_s, ramp=ramp)


def page(ids: Sequence[int], total: int) -> Page:
    texts = tuple(map(str, ids))
    return Page(ids=texts, running=frozenset(texts), total=total)


def listed(*pages: Page) -> Listing:
    """A list of as many of these pages as it asks for."""
    listing = Listing()
    for one in pages:
        if listing.offset is None:
            break
        listing.add(one)
    return listing


@pytest.mark.parametrize("status", ["COMPLETED", "FAILED", "TERMINATED", "CANCELLED"])
def test_a_run_that_ended(status: str) -> None:
    """A terminal status, with its time, of this run in this project."""
    assert read_ended(details(status=status), run="1", project="p") == RunEnd(status=Terminal(status), at_s=AT_S)


@pytest.mark.parametrize(
    "text",
    [
        "2026-05-28T20:27:00Z",
        "2026-05-28T20:27Z",
        "2026-05-28T20:27:00.000000000Z",
        "2026-05-28T22:27:00+02:00",
        "2026-05-28 20:27:00+0000",
        "20260528T202700Z",
    ],
)
def test_forms_of_a_time(text: str) -> None:
    """Whichever way ISO 8601 allows, as long as it names a zone."""
    assert read_ended(details(statusUpdated=text), run="1", project="p") == ENDED


@pytest.mark.parametrize(
    ("told", "written_s"),
    [
        ("2026-05-28T20:27:00.000Z", AT_S),
        ("2026-05-28T22:27:00+02:00", AT_S),
        ("2099-01-01T00:00:00Z", 4_070_908_800.0),
        ("2026-05-28 20:27:00", None),
        ("yesterday", None),
        ("", None),
        (1780000020, None),
        (None, None),
        ([{}], None),
        (..., None),
    ],
)
def test_the_last_write_to_a_run_s_record(told: object, written_s: float | None) -> None:
    """It is told in the same form; what isn't understood is as if it weren't told."""
    assert read_ended(details(updatedAt=told), run="1", project="p") == replace(ENDED, written_s=written_s)


@pytest.mark.parametrize(
    "fields",
    [
        {"status": "RUNNING"},
        {"status": "completed"},
        {"status": "Terminal"},
        {"status": " COMPLETED"},
        {"status": "PAUSED"},
        {"status": ""},
        {"status": None},
        {"status": ...},
        {"projectName": "other"},
        {"projectName": "P"},
        {"projectName": ...},
        {"id": 2},
        {"id": "1"},
        {"id": ...},
        {"statusUpdated": ...},
        {"statusUpdated": None},
        {"statusUpdated": ""},
        {"statusUpdated": "yesterday"},
        {"statusUpdated": "2026-05-28"},
        {"statusUpdated": "2026-05-28T20:27:00"},
        {"statusUpdated": "2026-05-28 20:27:00.000"},
        {"statusUpdated": "2026-13-28T20:27:00Z"},
        {"statusUpdated": "2026-05-28T25:27:00Z"},
        {"statusUpdated": 1780000020},
        {"statusUpdated": {"at": "2026-05-28T20:27:00Z"}},
    ],
)
def test_whatever_is_not_understood_counts_as_running(fields: dict[str, Any]) -> None:
    """Another word, another project, another run, no time or one that could be off by hours."""
    assert read_ended(details(**fields), run="1", project="p") is None


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"{", b"\xff", b'{"id":' + b"[" * 100_000])
def test_what_is_no_answer(body: bytes) -> None:
    """It says nothing."""
    assert read_ended(body, run="1", project="p") is None
    assert read_page(body) is None


@given(st.text())
def test_any_text_for_a_time(text: str) -> None:
    """Nothing that the upstream may write there is more than not understood."""
    read_ended(details(statusUpdated=text), run="1", project="p")


def test_a_page() -> None:
    """Who is in it, in its order; an unknown status is a running run, one that has ended was listed in error."""
    runs = [
        {"id": 3, "status": "RUNNING", "name": "a"},
        {"id": 2, "status": "COMPLETED", "name": "b"},
        {"id": 1, "status": "PAUSED", "name": "c"},
    ]
    assert read_page(json.dumps({"runs": runs, "total": 7}).encode()) == Page(
        ids=("3", "2", "1"), running=frozenset({"3", "1"}), total=7
    )


@pytest.mark.parametrize(
    ("pages", "offsets"),
    [
        ([page([], 0)], [0]),
        ([page(range(PAGE_ROWS, 0, -1), PAGE_ROWS), page([1], PAGE_ROWS)], [0, PAGE_ROWS - 1]),
        ([page(range(PAGE_ROWS + 1, 0, -1), PAGE_ROWS + 1), page([1], PAGE_ROWS + 1)], [0, PAGE_ROWS]),
        ([page([3, 2, 1], 3)], [0]),
        ([page([5, 4, 3], 5), page([3, 2, 1], 5)], [0, 2]),
        ([page([5, 4], 5), page([4, 3], 5), page([3, 2], 5), page([2, 1], 5)], [0, 1, 2, 3]),
    ],
)
def test_a_complete_list(pages: list[Page], offsets: list[int]) -> None:
    """Each page begins with the last run of the one before; with the last one there are as many as there should be."""
    listing, asked = Listing(), []
    for one in pages:
        assert not listing.is_complete
        assert listing.offset is not None
        asked.append(listing.offset)
        listing.add(one)
    assert asked == offsets
    assert listing.is_complete
    assert listing.offset is None
    assert listing.running == {run for one in pages for run in one.ids}


@pytest.mark.parametrize(
    "pages",
    [
        [page([], 1)],
        [page([], -1)],
        [page([1], -1)],
        [page([2, 1], 1)],
        [page([1], 0)],
        [page([1, 1], 2)],
        [page([1, 1], 1)],
        [page([1], MOST_LISTED + 1)],
        [page([3, 2], 3), page([3, 2], 3)],  # the offset is ignored
        [page(range(PAGE_ROWS, 0, -1), PAGE_ROWS), page([1, 0], PAGE_ROWS)],  # one that wasn't counted
        [page(range(PAGE_ROWS, 0, -1), PAGE_ROWS), page([], PAGE_ROWS)],
        [page([3, 2], 3), page([1], 3)],  # a run ended
        [page([3, 2], 3), page([2, 1], 4)],  # one began
        [page([3, 2], 3), page([2, 1], 2)],
        [page([3, 2], 3), page([2], 3)],
        [page([3, 2], 3), page([], 3)],
        [page([3, 2], 3), page([2, 3], 3)],
        [page([3, 2], 3), page([2, 1, 0], 3)],
    ],
)
def test_a_list_that_proves_nothing(pages: list[Page]) -> None:
    """It is given up at once, and who is in it is running all the same."""
    listing = listed(*pages)
    assert not listing.is_complete
    assert listing.offset is None
    assert listing.running == {run for one in pages for run in one.ids}


def test_a_page_may_be_missing() -> None:
    """A list that isn't at its end is not complete."""
    listing = listed(page([3, 2], 3))
    assert not listing.is_complete
    assert listing.offset == 1


@given(st.data())
def test_a_complete_list_has_every_run_that_ran_throughout(data: st.DataObject) -> None:
    """However runs start, end and are resumed between its pages, and whenever they are counted."""
    numbers = range(12)
    running = data.draw(st.sets(st.sampled_from(numbers)))
    rows = data.draw(st.integers(2, 5))
    throughout, listing = set(running), Listing(page_rows=rows)
    while (offset := listing.offset) is not None:
        ids = sorted(running, reverse=True)
        total = len(ids) + data.draw(st.sampled_from([0, 0, 0, 0, -1, 1]))
        listing.add(page(ids[offset : offset + rows], total))
        running ^= data.draw(st.sets(st.sampled_from(numbers), max_size=2))
        throughout &= running if listing.offset is not None else throughout
    assert not listing.is_complete or {str(run) for run in throughout} <= listing.running


def test_pages_of_hardly_any_runs() -> None:
    """An upstream whose pages are that small isn't asked for all of them."""
    listing, pages = Listing(), 0
    while (offset := listing.offset) is not None:
        listing.add(page(range(100 - offset, 98 - offset, -1), 100))
        pages += 1
    assert not listing.is_complete
    assert pages == 50


@given(st.integers(0, 900), st.integers(20, PAGE_ROWS))
def test_a_list_that_stands_still_is_complete(runs: int, page_rows: int) -> None:
    """Whatever the upstream takes for a page."""
    ids, listing = range(runs, 0, -1), Listing()
    while (offset := listing.offset) is not None:
        listing.add(page(ids[offset : offset + page_rows], runs))
    assert listing.is_complete
    assert len(listing.running) == runs


@pytest.mark.parametrize(
    ("status", "after_s", "fresh_s"),
    [
        ("COMPLETED", -3600, None),
        ("COMPLETED", 0, None),
        ("COMPLETED", 299.9, None),
        ("COMPLETED", 300, 0),
        ("COMPLETED", 500, 200),
        ("COMPLETED", 700, 300),
        ("CANCELLED", 3000, 300),
        ("TERMINATED", 3100, 310),
        ("COMPLETED", 36_000, 3600),
        ("COMPLETED", 10**9, 3600),
        ("FAILED", 1799, None),
        ("FAILED", 1800, 0),
        ("FAILED", 2200, 300),
        ("FAILED", 20_000, 2000),
    ],
)
def test_the_ramp(status: str, after_s: float, fresh_s: float | None) -> None:
    """As running while it settles, then 300 s but not longer than since then, then a tenth of the time, up to the most."""
    ended = RunEnd(status=Terminal(status), at_s=AT_S)
    assert fresh(ended, now_s=AT_S + after_s) == fresh_s


@pytest.mark.parametrize(
    ("changed_s", "fresh_s"), [(-1e6, 1000), (0, 1000), (9000, 300), (9600, 100), (9701, None), (10_001, None)]
)
def test_whatever_happens_to_a_run_begins_it_anew(changed_s: float, fresh_s: float | None) -> None:
    """The latest moment counts: rows that were seen to change, a list that had it, a write to its record."""
    assert fresh(ENDED, now_s=AT_S + 10_000, happened_s=AT_S + changed_s) == fresh_s
    assert fresh(replace(ENDED, written_s=AT_S + changed_s), now_s=AT_S + 10_000) == fresh_s


def test_bounds_of_the_ramp() -> None:
    """The 300 s are never more than the most; a time in the future has not settled, and one that is no number neither."""
    low = replace(RAMP, settling_s=0, ended_max_s=10)
    assert fresh(ENDED, now_s=AT_S + 11, ramp=low) == 10
    assert fresh(ENDED, now_s=AT_S - 0.001, ramp=low) is None
    day = replace(RAMP, ended_max_s=86_400)
    assert fresh(ENDED, now_s=AT_S + 10**7, ramp=day) == 86_400
    for strange in (float("nan"), float("inf"), float("-inf")):
        assert fresh(replace(ENDED, at_s=strange), now_s=AT_S) is None


times = st.floats(-1e10, 1e10)
spans = st.floats(0, 1e9)


@given(st.sampled_from(list(Terminal)), times, st.none() | times, st.just(-math.inf) | times, spans, spans)
def test_the_ramp_only_grows(
    status: Terminal, at_s: float, written_s: float | None, happened_s: float, since_s: float, later_s: float
) -> None:
    """A settled run's answers never live shorter as time passes, nor longer than the most, nor if anything happened later."""
    ended = RunEnd(status=status, at_s=at_s, written_s=written_s)
    latest_s = max(at_s, happened_s, at_s if written_s is None else written_s)
    now_s = latest_s + since_s
    settled_s = now_s - latest_s - (RAMP.settling_failed_s if status is Terminal.FAILED else RAMP.settling_s)
    fresh_s = fresh(ended, now_s=now_s, happened_s=happened_s)
    if settled_s < 0:
        assert fresh_s is None
        return
    assert fresh_s is not None
    assert 0 <= fresh_s <= min(3600, settled_s)
    grown_s = fresh(ended, now_s=now_s + later_s, happened_s=happened_s)
    assert grown_s is not None
    assert grown_s >= fresh_s
    assert fresh(ended, now_s=now_s, happened_s=now_s) is None
    assert fresh(replace(ended, written_s=now_s), now_s=now_s) is None


@pytest.mark.parametrize(
    ("written_ago_s", "happened_ago_s", "stood_s", "fresh_s"),
    [
        (None, math.inf, 0, 0),
        (86_399, math.inf, 0, 0),
        (86_400, math.inf, 0, 60),
        (10**8, math.inf, 0, 60),
        (10**8, 86_399, 0, 0),
        (10**8, 86_400, 12, 60),
        (10**8, math.inf, 72, 66),
    ],
)
def test_a_record_that_was_not_written_for_a_day(
    written_ago_s: float | None, happened_ago_s: float, stood_s: float, fresh_s: float
) -> None:
    """The run is looked at again after a minute, if the upstream tells that and nothing else is known to have happened."""
    now_s = AT_S + 10**9
    ended = replace(ENDED, written_s=None if written_ago_s is None else now_s - written_ago_s)
    assert fresh(ended, now_s=now_s, happened_s=now_s - happened_ago_s, stood_s=stood_s) == fresh_s


@given(st.floats(0, 1e9), st.floats(0, 1e9))
def test_nothing_is_believed_that_was_not_looked_at_for_long(first_s: float, second_s: float) -> None:
    """An answer lives for eleven times as long as its series had been looked at when it was asked for, however old the run."""
    asked_s = AT_S + 10**9
    shorter_s, longer_s = sorted((first_s, second_s))
    for age_s in (0.0, 1.0, 11 * shorter_s, 11 * shorter_s + 1, longer_s):
        lifetime_s = fresh(ENDED, now_s=asked_s + age_s, stood_s=shorter_s + age_s)
        assert lifetime_s is not None
        if age_s < lifetime_s:
            assert age_s < 11 * shorter_s + 1e-3
        assert lifetime_s == pytest.approx(min(3600, (shorter_s + age_s) * 11 / 12))
    assert fresh(ENDED, now_s=asked_s, stood_s=0) == 0
    # It never makes settling take longer, nor shorter.
    assert fresh(ENDED, now_s=AT_S + 200, stood_s=longer_s) is None
    assert (fresh(ENDED, now_s=AT_S + 1000, stood_s=shorter_s) or 0) <= (fresh(ENDED, now_s=AT_S + 1000, stood_s=longer_s) or 0)
