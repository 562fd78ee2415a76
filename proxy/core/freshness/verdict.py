"""How old an answer is, and what may be done with it at that age."""

import math
from dataclasses import dataclass, replace
from enum import Enum

from proxy.core.freshness.entry import Entry

# The clocks of two machines, or one clock before and after a restart, may differ by so much.
CLOCK_SKEW_S = 1.0
# Dashboards ask for metrics that ended runs never had. The upstream should not be asked for these as often as of live runs.
_SCANT_ENDED_S = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifetimes:
    """How long answers may be used, in seconds. Each stale window begins at the end of the freshness lifetime.

    `fresh_s`: the freshness lifetime, in which an answer is served without asking the upstream.
    `stale_while_revalidate_s`: for how long it is then served at once while one refresh runs (RFC 5861 section 3).
    `stale_if_error_s`: for how long it is then served where the upstream fails (RFC 5861 section 4); 0 is never.
    `negative_s`: how long a 4xx of the upstream, or a failure, is remembered.
    `rewrite_check_s`: the freshness lifetime of those rows of a series that come before its newest ones, where it is longer.
    `scant_s`: the freshness lifetime of a list that is empty, or was shorter than the one before it, where it is shorter.
    """

    fresh_s: float
    stale_while_revalidate_s: float
    stale_if_error_s: float
    negative_s: float
    rewrite_check_s: float = 0.0
    scant_s: float = math.inf

    @property
    def usable_s(self) -> float:
        """The greatest age in seconds at which an answer is still of use."""
        return self.fresh_s + max(self.stale_while_revalidate_s, self.stale_if_error_s)

    def bounded(self, *, fresh_s: float, max_age_s: float = math.inf) -> "Lifetimes":
        """Return these lifetimes with another freshness lifetime, cut so that no answer older than `max_age_s` is served."""
        fresh_s = min(fresh_s, max_age_s)
        rest_s = max_age_s - fresh_s
        return replace(
            self,
            fresh_s=fresh_s,
            stale_while_revalidate_s=min(self.stale_while_revalidate_s, rest_s),
            stale_if_error_s=min(self.stale_if_error_s, rest_s),
        )

    def ended(self, fresh_s: float, *, stale_if_error_s: float) -> "Lifetimes":
        """Return the lifetimes for a run that has ended, which hardly changes any more; rows that it lacks may still come."""
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
    """Return the seconds since the request to the upstream was sent; at least 0 (RFC 9111 section 4.2.3)."""
    return max(0.0, now_s - entry.sent_at_s)


def stale_s(entry: Entry, now_s: float, lifetimes: Lifetimes) -> float:
    """Return for how many seconds an entry has been stale by either of its ages; negative while it is fresh by both."""
    fresh_s = min(lifetimes.fresh_s, lifetimes.scant_s) if entry.scant else lifetimes.fresh_s
    by_tail_s = age_s(entry, now_s) - fresh_s
    if entry.full_asked_s is None:
        return by_tail_s
    return max(by_tail_s, now_s - entry.full_asked_s - max(fresh_s, lifetimes.rewrite_check_s))


def judge(entry: Entry, now_s: float, lifetimes: Lifetimes) -> Verdict:
    """Return what may be done with an entry at `now_s` (wall time).

    An entry from the future is expired: the clock was set back between two runs, so that its age is unknown. A softly purged
    entry is served only where the upstream fails.
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
