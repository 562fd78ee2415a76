"""How old an answer is, and what may be done with it at that age. The time comes in as an argument."""

import math
from dataclasses import dataclass, replace
from enum import Enum

from proxy.core.freshness.entry import Entry

# Two machines' clocks, or one clock before and after a restart, may disagree by this much without anything being wrong.
CLOCK_SKEW_S = 1.0
# A dashboard asks runs for metrics that they never had; asking for all of these as if they ran would cost more than it brings.
_SCANT_ENDED_S = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifetimes:
    """How long answers may be used, in seconds; each stale window is counted from the end of the freshness lifetime.

    `fresh_s`: served without asking. `stale_while_revalidate_s`: served at once while one refresh runs (RFC 5861 section 3).
    `stale_if_error_s`: served where the upstream fails (RFC 5861 section 4); 0 is never. `negative_s`: how long an
    upstream's 4xx or a failure is remembered. `rewrite_check_s`: how long what lies behind the newest rows of a series is
    served without having been looked at, where that is more than `fresh_s`. `scant_s`: how long an empty list, or one that was
    shorter than the one before it, is served without asking, where that is less than `fresh_s`.
    """

    fresh_s: float
    stale_while_revalidate_s: float
    stale_if_error_s: float
    negative_s: float
    rewrite_check_s: float = 0.0
    scant_s: float = math.inf

    @property
    def usable_s(self) -> float:
        """How old an answer can be at most and still be of use."""
        return self.fresh_s + max(self.stale_while_revalidate_s, self.stale_if_error_s)

    def bounded(self, *, fresh_s: float, max_age_s: float = math.inf) -> "Lifetimes":
        """Return these windows around another freshness lifetime, with nothing served that is older than `max_age_s`."""
        fresh_s = min(fresh_s, max_age_s)
        rest_s = max_age_s - fresh_s
        return replace(
            self,
            fresh_s=fresh_s,
            stale_while_revalidate_s=min(self.stale_while_revalidate_s, rest_s),
            stale_if_error_s=min(self.stale_if_error_s, rest_s),
        )

    def ended(self, fresh_s: float, *, stale_if_error_s: float) -> "Lifetimes":
        """Return what holds for a run that has ended: it hardly changes any more. What it doesn't have may still come."""
        return replace(
            self,
            fresh_s=max(self.fresh_s, fresh_s),
            stale_if_error_s=max(self.stale_if_error_s, stale_if_error_s),
            scant_s=max(self.scant_s, _SCANT_ENDED_S),
        )


class Verdict(Enum):
    """What may be done with an entry at its age."""

    FRESH = "fresh"
    STALE_WHILE_REVALIDATE = "stale-while-revalidate"
    STALE_IF_ERROR = "stale-if-error"
    EXPIRED = "expired"


def age_s(entry: Entry, now_s: float) -> float:
    """Return the seconds since the upstream request was sent; at least 0 (RFC 9111 section 4.2.3)."""
    return max(0.0, now_s - entry.sent_at_s)


def stale_s(entry: Entry, now_s: float, lifetimes: Lifetimes) -> float:
    """Return for how many seconds an entry has been stale by one of its ages; negative while it is fresh by both."""
    fresh_s = min(lifetimes.fresh_s, lifetimes.scant_s) if entry.scant else lifetimes.fresh_s
    by_tail_s = age_s(entry, now_s) - fresh_s
    if entry.full_asked_s is None:
        return by_tail_s
    return max(by_tail_s, now_s - entry.full_asked_s - max(fresh_s, lifetimes.rewrite_check_s))


def judge(entry: Entry, now_s: float, lifetimes: Lifetimes) -> Verdict:
    """Say what may be done with an entry at `now_s`.

    An entry from the future has an age that nobody knows (the clock was set back between two runs): it is expired. One that was
    purged softly is only there for when the upstream fails.
    """
    if entry.sent_at_s > now_s + CLOCK_SKEW_S:
        return Verdict.EXPIRED
    since_s = stale_s(entry, now_s, lifetimes)
    if since_s < 0 and not entry.purged:
        return Verdict.FRESH
    if since_s < lifetimes.stale_while_revalidate_s and not entry.purged:
        return Verdict.STALE_WHILE_REVALIDATE
    if since_s < lifetimes.stale_if_error_s:
        return Verdict.STALE_IF_ERROR
    return Verdict.EXPIRED
