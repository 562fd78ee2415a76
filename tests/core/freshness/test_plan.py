"""The table of what to do about a request."""

from itertools import product

import pytest

from proxy.core.freshness.plan import Condition, Plan, decide
from proxy.core.freshness.verdict import Verdict

FRESH, REVALIDATE, ON_ERROR, EXPIRED = Verdict
OPEN, RESTING, REFUSED, OFFLINE = Condition


@pytest.mark.parametrize(
    ("verdict", "condition", "satisfied", "plan"),
    [
        (None, OPEN, False, Plan.FETCH),
        (None, RESTING, False, Plan.FETCH),
        (None, REFUSED, False, Plan.FETCH),
        (EXPIRED, OPEN, True, Plan.FETCH),
        (EXPIRED, RESTING, True, Plan.FETCH),
        (EXPIRED, REFUSED, True, Plan.FETCH),
        (FRESH, OPEN, True, Plan.SERVE),
        (FRESH, RESTING, True, Plan.SERVE),
        (FRESH, REFUSED, True, Plan.SERVE),
        (FRESH, OPEN, False, Plan.FETCH_BRIEFLY),
        (FRESH, RESTING, False, Plan.SERVE_STALE),
        (FRESH, REFUSED, False, Plan.SERVE),
        (REVALIDATE, OPEN, True, Plan.SERVE_AND_REFRESH),
        (REVALIDATE, OPEN, False, Plan.FETCH_BRIEFLY),
        (REVALIDATE, RESTING, True, Plan.SERVE_STALE),
        (REVALIDATE, RESTING, False, Plan.SERVE_STALE),
        (REVALIDATE, REFUSED, True, Plan.FETCH),
        (ON_ERROR, OPEN, True, Plan.FETCH_BRIEFLY),
        (ON_ERROR, OPEN, False, Plan.FETCH_BRIEFLY),
        (ON_ERROR, RESTING, True, Plan.SERVE_STALE),
        (ON_ERROR, REFUSED, True, Plan.FETCH),
        (None, OFFLINE, False, Plan.UNUSABLE),
        (FRESH, OFFLINE, True, Plan.SERVE),
        (FRESH, OFFLINE, False, Plan.SERVE_STALE),
        (REVALIDATE, OFFLINE, True, Plan.SERVE_STALE),
        (ON_ERROR, OFFLINE, True, Plan.SERVE_STALE),
        (EXPIRED, OFFLINE, True, Plan.SERVE_STALE),
    ],
)
def test_decide(verdict: Verdict | None, condition: Condition, satisfied: bool, plan: Plan) -> None:
    """What is done for an ordinary request."""
    assert decide(verdict, satisfied=satisfied, only_if_cached=False, condition=condition) is plan


def test_only_if_cached_never_asks() -> None:
    """Where an ordinary request would wait for the upstream, only-if-cached is told that nothing usable is stored."""
    for verdict, condition, satisfied in product((None, *Verdict), Condition, (True, False)):
        ordinary = decide(verdict, satisfied=satisfied, only_if_cached=False, condition=condition)
        cached = decide(verdict, satisfied=satisfied, only_if_cached=True, condition=condition)
        asks = ordinary in {Plan.FETCH, Plan.FETCH_BRIEFLY}
        assert cached is (Plan.UNUSABLE if asks else ordinary)
