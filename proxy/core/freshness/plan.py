"""What to do about one request, by the state of the entry, the state of the upstream and what the request demands.

docs/reference/answers.md, "How fresh an answer is", has the same table as clients see it.
"""

from enum import Enum
from typing import assert_never

from proxy.core.freshness.verdict import Verdict


class Condition(Enum):
    """Whether asking the upstream has any prospect."""

    OPEN = "open"
    RESTING = "resting"
    """The upstream is in a cool-down, or the last fetch of this question failed a moment ago."""
    KEY_REFUSED = "key-refused"
    OFFLINE = "offline"
    """The upstream is never asked (upstream.offline)."""


class Plan(Enum):
    """What to do."""

    SERVE = "serve"
    SERVE_AND_REFRESH = "serve-and-refresh"
    SERVE_STALE = "serve-stale"
    """Serve the stale entry at once, since the upstream has just failed, is in a cool-down, or is never asked."""
    FETCH_BRIEFLY = "fetch-briefly"
    """Fetch; serve the stored entry if the fetch fails or takes longer than freshness.stale_wait_s."""
    FETCH = "fetch"
    """Fetch; there is no entry to fall back on."""
    UNUSABLE = "unusable"
    """Nothing usable is stored, and the request (RFC 9111 section 5.2.1.7) or the configuration forbids asking: 504."""


def decide(verdict: Verdict | None, *, satisfied: bool, only_if_cached: bool, condition: Condition) -> Plan:
    """Return the plan for a request.

    `verdict`: that on the stored entry, None where nothing is stored. `satisfied`: whether the entry is as new as the request
    demands. `only_if_cached`: whether the request forbids asking the upstream.
    """
    if condition is Condition.OFFLINE:
        return _decide_offline(verdict, satisfied=satisfied)
    if condition is Condition.KEY_REFUSED:
        # Whoever revoked the key may have meant to end all reading. So nothing stale is served; fresh entries are.
        return Plan.SERVE if verdict is Verdict.FRESH else _ask(only_if_cached)
    match verdict:
        case None | Verdict.EXPIRED:
            return _ask(only_if_cached)
        case Verdict.FRESH | Verdict.STALE_WHILE_REVALIDATE | Verdict.STALE_IF_ERROR:
            return _decide_usable(verdict, satisfied=satisfied, only_if_cached=only_if_cached, condition=condition)
        case _:
            assert_never(verdict)


def _decide_offline(verdict: Verdict | None, *, satisfied: bool) -> Plan:
    """Whatever is stored is served: there will be nothing better."""
    if verdict is None:
        return Plan.UNUSABLE
    return Plan.SERVE if verdict is Verdict.FRESH and satisfied else Plan.SERVE_STALE


def _decide_usable(verdict: Verdict, *, satisfied: bool, only_if_cached: bool, condition: Condition) -> Plan:
    if verdict is Verdict.FRESH and satisfied:
        return Plan.SERVE
    if condition is Condition.RESTING:
        return Plan.SERVE_STALE
    if verdict is Verdict.STALE_WHILE_REVALIDATE and satisfied:
        return Plan.SERVE_AND_REFRESH
    return Plan.UNUSABLE if only_if_cached else Plan.FETCH_BRIEFLY


def _ask(only_if_cached: bool) -> Plan:
    return Plan.UNUSABLE if only_if_cached else Plan.FETCH
