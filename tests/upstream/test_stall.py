"""When a body that comes in has come to a standstill."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.upstream.stall import Progress


@given(
    pieces=st.lists(st.integers(min_value=0, max_value=30), max_size=60),
    looks=st.integers(min_value=1, max_value=12),
    least=st.integers(min_value=1, max_value=100),
)
def test_any_period_with_too_little_is_a_standstill(pieces: list[int], looks: int, least: int) -> None:
    """It is told at the first look at which the last period, wherever it began, brought too little; not before a whole one."""
    progress = Progress(looks=looks, least_bytes=least)
    for number in range(1, len(pieces) + 1):
        told = progress.stands_still(sum(pieces[:number]))
        assert told == (number >= looks and sum(pieces[number - looks : number]) < least)
