"""What a request's Cache-Control demands."""

import math

import pytest

from proxy.core.freshness.directives import NO_DEMAND, Demand, is_in_background, read_demand


def read(cache_control: str, pragma: str = "", *, floor_s: float = 0.0) -> Demand:
    return read_demand(cache_control, pragma, fresh_s=10, floor_s=floor_s)


@pytest.mark.parametrize(
    ("cache_control", "max_age_s"),
    [
        ("no-cache", 0),
        ("No-Cache", 0),
        ("max-age=0", 0),
        ("max-age=7", 7),
        ('max-age="7"', 7),
        ("max-age", 0),
        ("max-age=soon", 0),
        ("max-age=-1", 0),
        ("max-age=\u0661", 0),
        ("max-age=3, max-age=9", 3),
        ("max-age=7, no-cache", 0),
        ("min-fresh=4", 6),
        ("min-fresh=40", 0),
        ("max-age=2, min-fresh=4", 2),
        ("max-age=2, max-stale=3", 5),
        ("max-age=2, max-stale", math.inf),
        ("max-stale=100", math.inf),
        ("only-if-cached", math.inf),
        ("no-transform, , =, foo=bar", math.inf),
        ("no-store", 0),
    ],
)
def test_the_oldest_that_is_accepted(cache_control: str, max_age_s: float) -> None:
    """Each directive bounds the age; the strictest counts."""
    assert read(cache_control).max_age_s == max_age_s


def test_the_floor() -> None:
    """Nothing younger than the floor can be demanded; larger demands stand."""
    assert read("no-cache", floor_s=5).max_age_s == 5
    assert read("max-age=1", floor_s=5).max_age_s == 5
    assert read("max-age=8", floor_s=5).max_age_s == 8


def test_pragma_counts_only_alone() -> None:
    """RFC 9111 section 5.4: Pragma is looked at where there is no Cache-Control."""
    assert read("", "no-cache").max_age_s == 0
    assert read("max-age=8", "no-cache").max_age_s == 8
    assert read("", "other").max_age_s == math.inf


def test_flags() -> None:
    """no-store and only-if-cached are told apart from ages."""
    assert read("no-store").no_store
    assert read("only-if-cached").only_if_cached
    assert read("") is NO_DEMAND


@pytest.mark.parametrize(
    ("priority", "expected"),
    [
        ("u=7", True),
        ("i, u=7", True),
        (" U=7 ,i", True),
        ("u=6", False),
        ("", False),
        ("u=77", False),
        ("i", False),
        ("u", False),
    ],
)
def test_requests_that_nobody_waits_for(priority: str, expected: bool) -> None:
    """Those of the least urgency there is."""
    assert is_in_background(priority) is expected
