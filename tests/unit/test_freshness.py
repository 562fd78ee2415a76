"""What may be done with an entry at its age."""

import pytest

from proxy.core.entry import Entry, digest_of
from proxy.core.freshness import Lifetimes, Verdict, age_s, judge

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
    entry = Entry(body=b"", sent_at_s=999, digest=digest_of(b""), whole_at_s=1000 - whole_ago_s)
    lifetimes = Lifetimes(fresh_s=5, stale_while_revalidate_s=3, stale_if_error_s=60, negative_s=5, rewrite_check_s=30)
    assert judge(entry, 1000, lifetimes) is verdict
    ended = lifetimes.ended(300, stale_if_error_s=86_400)
    assert judge(entry, 1000, ended) is Verdict.FRESH


def test_ended_runs_never_live_shorter() -> None:
    """What holds for a run that has ended is at least what holds for one that runs."""
    assert LIFETIMES.ended(1, stale_if_error_s=1) == LIFETIMES
    assert LIFETIMES.ended(300, stale_if_error_s=100).usable_s == 400
