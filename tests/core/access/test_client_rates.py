"""The rate of each client, as properties: never more than rate and burst, and never less for who keeps to them."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.access.client_rates import ClientRates

GAPS = st.lists(st.floats(min_value=0, max_value=3), max_size=60)


@given(gaps=GAPS, rate=st.sampled_from([0.5, 1.0, 7.0]), burst=st.integers(1, 5), patience=st.sampled_from([0.0, 1.0, 10.0]))
def test_no_more_than_rate_and_burst(gaps: list[float], rate: float, burst: int, patience: float) -> None:
    """In any stretch of time no more go than the burst and what the rate gives, and nobody waits longer than they have."""
    rates, now_s, gone = ClientRates(rate_per_s=rate, burst=burst), 100.0, list[float]()
    for gap in gaps:
        now_s += gap
        told_s = rates.wait_s("a", now_s)
        wait_s = rates.take("a", now_s, patience_s=patience)
        assert wait_s == (told_s if told_s <= patience else None)
        if wait_s is not None:
            gone.append(now_s + wait_s)
    assert gone == sorted(gone)
    for first in range(len(gone)):
        for last in range(first, len(gone)):
            assert last - first + 1 <= burst + rate * (gone[last] - gone[first]) + 1e-6


@given(gaps=st.lists(st.floats(min_value=0.5, max_value=3), max_size=30))
def test_who_keeps_to_the_rate_never_waits(gaps: list[float]) -> None:
    """And what others do is no matter."""
    rates, now_s = ClientRates(rate_per_s=2.0, burst=1), 0.0
    for gap in gaps:
        now_s += gap
        rates.take("greedy", now_s, patience_s=1e9)
        assert (rates.take("a", now_s, patience_s=0.0) or 0.0) <= 1e-9


def test_so_many_clients_at_most() -> None:
    """The least recent one is forgotten."""
    rates = ClientRates(rate_per_s=1.0, burst=1, most=3)
    for number in range(10):
        assert rates.take(str(number), 0.0, patience_s=0.0) == 0.0
    assert len(rates) == 3
    assert rates.take("9", 0.0, patience_s=0.0) is None
    assert rates.take("0", 0.0, patience_s=0.0) == 0.0
