"""What may be done with an entry at its age."""

from dataclasses import replace

import pytest

from proxy.core.freshness.entry import Entry, digest_of, is_scant
from proxy.core.freshness.verdict import Lifetimes, Verdict, age_s, judge, stale_s

LIFETIMES = Lifetimes(fresh_s=5, stale_while_revalidate_s=3, stale_if_error_s=60, negative_s=5)
SENT_S = 1_000.0
ENTRY = Entry(body=b"{}", sent_at_s=SENT_S, digest=digest_of(b"{}"))


@pytest.mark.parametrize(
    ("after_s", "verdict"),
    [
        (0, Verdict.FRESH),
        (4.999, Verdict.FRESH),
        (5, Verdict.STALE_WHILE_REVALIDATE),
        (7.999, Verdict.STALE_WHILE_REVALIDATE),
        (8, Verdict.STALE_IF_ERROR),
        (64.999, Verdict.STALE_IF_ERROR),
        (65, Verdict.EXPIRED),
        (-0.5, Verdict.FRESH),
        (-1.5, Verdict.EXPIRED),
    ],
)
def test_judge(after_s: float, verdict: Verdict) -> None:
    """Each window begins where the one before it ends; an entry from the future has expired."""
    assert judge(ENTRY, SENT_S + after_s, LIFETIMES) is verdict


def test_no_stale_on_error() -> None:
    """`stale_if_error_s = 0` means never."""
    never = Lifetimes(fresh_s=5, stale_while_revalidate_s=0, stale_if_error_s=0, negative_s=5)
    assert judge(ENTRY, SENT_S + 5, never) is Verdict.EXPIRED


@pytest.mark.parametrize(
    ("scant_s", "after_s", "verdict"),
    [
        (2, 1.9, Verdict.FRESH),
        (2, 2, Verdict.STALE_WHILE_REVALIDATE),
        (2, 5, Verdict.STALE_IF_ERROR),
        (2, 62, Verdict.EXPIRED),
        (7, 4.9, Verdict.FRESH),
        (7, 5, Verdict.STALE_WHILE_REVALIDATE),
    ],
)
def test_a_scant_answer(scant_s: float, after_s: float, verdict: Verdict) -> None:
    """It has a lifetime of its own, where that is shorter; the windows after it begin with its end."""
    lifetimes = replace(LIFETIMES, scant_s=scant_s)
    assert judge(replace(ENTRY, scant=True), SENT_S + after_s, lifetimes) is verdict
    assert judge(ENTRY, SENT_S + after_s, lifetimes) is judge(ENTRY, SENT_S + after_s, LIFETIMES)


def test_a_scant_answer_of_a_run_that_ended() -> None:
    """It lives for 5 minutes at most, or as long as it lives while a run is running."""
    for running_s, ended_s, expected_s in ((5, 3600, 300), (5, 30, 30), (1000, 3600, 1000)):
        lifetimes = replace(LIFETIMES, fresh_s=running_s, scant_s=running_s).ended(ended_s, stale_if_error_s=0)
        assert stale_s(replace(ENTRY, scant=True), SENT_S, lifetimes) == -expected_s
        whole = replace(ENTRY, scant=True, full_asked_s=SENT_S - 10)
        assert stale_s(whole, SENT_S, replace(lifetimes, rewrite_check_s=0)) == 10 - expected_s
        assert stale_s(ENTRY, SENT_S, lifetimes) == -max(running_s, ended_s)


@pytest.mark.parametrize(
    ("elements", "before", "scant"),
    [
        (0, None, True),
        (0, 0, True),
        (0, 3, True),
        (2, 3, True),
        (3, 3, False),
        (4, 3, False),
        (3, None, False),
        (None, 3, False),
    ],
)
def test_what_is_scant(elements: int | None, before: int | None, scant: bool) -> None:
    """An empty list, and one that is shorter than before; what nobody has counted is not."""
    assert is_scant(elements, before) is scant


def test_age_is_never_negative() -> None:
    """Clocks that disagree a little give no negative age."""
    assert age_s(ENTRY, SENT_S - 0.5) == 0
    assert age_s(ENTRY, SENT_S + 2) == 2


@pytest.mark.parametrize(
    ("whole_ago_s", "verdict"),
    [
        (4, Verdict.FRESH),
        (29.9, Verdict.FRESH),
        (30, Verdict.STALE_WHILE_REVALIDATE),
        (33, Verdict.STALE_IF_ERROR),
        (90, Verdict.EXPIRED),
    ],
)
def test_what_lies_behind_the_newest_rows_is_looked_at_again(whole_ago_s: float, verdict: Verdict) -> None:
    """However new the tail is: an answer is stale once all of it was asked for longer ago than rewrite_check_s."""
    entry = Entry(body=b"", sent_at_s=999, digest=digest_of(b""), full_asked_s=1000 - whole_ago_s)
    lifetimes = Lifetimes(fresh_s=5, stale_while_revalidate_s=3, stale_if_error_s=60, negative_s=5, rewrite_check_s=30)
    assert judge(entry, 1000, lifetimes) is verdict
    ended = lifetimes.ended(300, stale_if_error_s=86_400)
    assert judge(entry, 1000, ended) is Verdict.FRESH


def test_ended_runs_never_live_shorter() -> None:
    """What holds for a run that has ended is at least what holds for one that runs."""
    assert LIFETIMES.ended(1, stale_if_error_s=1) == LIFETIMES
    assert LIFETIMES.ended(300, stale_if_error_s=100).usable_s == 400
