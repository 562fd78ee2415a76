"""When a long series is worth loading."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.series.load_costs import SEEN_S, Prices, pays

PRICES = Prices(call_cost_rows=2_000, limit=10_000)
ASKED = st.lists(st.tuples(st.floats(0, SEEN_S), st.integers(0, 12_000)), max_size=50)
EVERY = st.none() | st.floats(1, 300)


def panels(count: int, *, seconds: float = 0, every_s: float = 5, limit: int = 2_000) -> list[tuple[float, int]]:
    """Return what so many panels have asked that have been watched for so many seconds."""
    times = [every_s * number for number in range(int(seconds / every_s) + 1)]
    return [(at_s, PRICES.question(limit)) for at_s in times for _ in range(count)]


def test_what_a_load_costs() -> None:
    """The windows, a probe and a check, and the rows."""
    assert PRICES.load(25_000) == 5 * 2_000 + 25_000
    assert PRICES.load(1_000_000) == 102 * 2_000 + 1_000_000
    assert PRICES.question(500) == 2_500


def test_live_series_that_are_watched_pay_at_once() -> None:
    """Two panels on a series of 25,000 rows, twenty on one of a million; with small limits within a minute."""
    assert pays(PRICES.load(25_000), panels(2), PRICES, every_s=5)
    assert pays(PRICES.load(1_000_000), panels(20), PRICES, every_s=5)
    assert any(
        pays(PRICES.load(1_000_000), panels(20, seconds=seconds, limit=300), PRICES, every_s=5) for seconds in range(0, 60, 5)
    )


def test_what_does_not_pay() -> None:
    """One look, a panel that costs no more than a delta would, a panel that is looked at now and then, a series too long."""
    assert not pays(PRICES.load(25_000), panels(1), PRICES, every_s=5)
    assert not pays(PRICES.load(25_000), panels(1, seconds=300, limit=10), PRICES, every_s=5)
    assert not pays(PRICES.load(25_000), panels(1, seconds=300, every_s=60), PRICES, every_s=5)
    assert not pays(PRICES.load(1_000_000), panels(2, seconds=60), PRICES, every_s=5)


def test_ever_new_questions_about_a_live_series_pay() -> None:
    """Where none is asked again before an hour has gone, what they have cost counts: 64 zooms for 100,000 rows."""
    zooms = [(number / 4, PRICES.question(0)) for number in range(64)]
    assert pays(PRICES.load(100_000), zooms, PRICES, every_s=3600)
    assert not pays(PRICES.load(100_000), zooms[1:], PRICES, every_s=3600)


@given(ASKED, st.integers(0, 200_000))
def test_ended_runs_pay_by_what_was_asked(asked: list[tuple[float, int]], load: int) -> None:
    """What the questions have cost must reach what the load costs: never is more than twice the least paid."""
    assert pays(load, asked, PRICES, every_s=None) == (sum(cost for _, cost in asked) >= load)


@given(ASKED, st.integers(0, 200_000), st.integers(0, 200_000), EVERY)
def test_a_smaller_load_pays_sooner(asked: list[tuple[float, int]], load: int, more: int, every_s: float | None) -> None:
    """What pays for a long series pays for a shorter one."""
    assert pays(load, asked, PRICES, every_s=every_s) or not pays(load + more, asked, PRICES, every_s=every_s)


@given(ASKED.filter(len), st.integers(1, 200_000), EVERY, st.integers(0, 12_000))
def test_another_question_does_not_speak_against_it(
    asked: list[tuple[float, int]], load: int, every_s: float | None, cost: int
) -> None:
    """A question that comes now adds to what is saved."""
    more = [*asked, (0.0, cost)]
    assert pays(load, more, PRICES, every_s=every_s) or not pays(load, asked, PRICES, every_s=every_s)
