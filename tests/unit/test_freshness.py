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
