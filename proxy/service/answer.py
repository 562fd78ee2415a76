"""An answer: an entry to hand out, and what the response says of it."""

from dataclasses import dataclass
from typing import assert_never

from proxy.core.freshness.entry import Entry
from proxy.core.freshness.outcome import Forward, Made, Outcome
from proxy.core.freshness.verdict import Lifetimes, Verdict, age_s, stale_s
from proxy.service.series.wanted import ObtainedAnswer
from proxy.service.tenancy import Tenant


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An entry to hand out, its age in seconds at that moment, and how it came about.

    `tenant` is whose it is. `upstream_s` is how many seconds the upstream took, None where it wasn't asked for this answer.
    """

    tenant: Tenant
    entry: Entry
    age_s: float
    outcome: Outcome
    upstream_s: float | None = None

    @property
    def whole_age_s(self) -> float | None:
        """How many seconds ago all of it was asked for, where only what was new has been asked for since; None elsewhere."""
        full_asked_s = self.entry.full_asked_s
        return None if full_asked_s is None else self.age_s + self.entry.sent_at_s - full_asked_s


def hit(
    tenant: Tenant,
    entry: Entry,
    lifetimes: Lifetimes,
    now_s: float,
    *,
    made: Made | None = None,
    stale: str | None = None,
    detail: str | None = None,
) -> Answer:
    """Return an answer that the upstream wasn't asked for; `made`, `stale`, `detail` as in `Outcome`."""
    # How long a remembered 4xx is kept counts from when it was told, not from when it was asked for.
    ttl_s = -stale_s(entry, now_s, lifetimes) if entry.status == 200 else None
    outcome = Outcome(hit=True, ttl_s=ttl_s, made=made, stale=stale, detail=detail)
    return Answer(tenant=tenant, entry=entry, age_s=age_s(entry, now_s), outcome=outcome)


def forwarded(obtained: ObtainedAnswer, lifetimes: Lifetimes, now_s: float, *, verdict: Verdict | None) -> Answer:
    """Return an answer that the upstream was asked for; `verdict` is on what there was before, None where there was nothing."""
    fetched = obtained.fetched
    outcome = Outcome(
        forward=_forward(verdict),
        forward_status=fetched.entry.status,
        stored=fetched.stored,
        collapsed=obtained.collapsed,
        ttl_s=-stale_s(fetched.entry, now_s, lifetimes) if fetched.stored else None,
        made=obtained.made,
    )
    age = age_s(fetched.entry, now_s)
    return Answer(tenant=fetched.tenant, entry=fetched.entry, age_s=age, outcome=outcome, upstream_s=fetched.elapsed_s)


def _forward(verdict: Verdict | None) -> Forward:
    match verdict:
        case None:
            return Forward.URI_MISS
        case Verdict.FRESH:
            return Forward.REQUEST
        case Verdict.STALE_WHILE_REVALIDATE | Verdict.STALE_IF_ERROR | Verdict.EXPIRED:
            return Forward.STALE
        case _:
            assert_never(verdict)
