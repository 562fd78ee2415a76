"""Exponential means where a sum of weights would overflow, or has none."""

from array import array
from math import inf, isnan, nan

import pytest

from proxy.core.view.rows import Rows
from proxy.core.view.smoothing import states


def rows(steps: list[int], values: list[float]) -> Rows:
    return Rows(array("q", steps), values, [""] * len(steps), all(abs(value) < inf for value in values))


@pytest.mark.parametrize("first", [-(2**62), -5, 0, 5, 2**62])
@pytest.mark.parametrize("constant", [1e-300, 0.001, 1.0, 1e300])
def test_where_the_first_row_is(first: int, constant: float) -> None:
    """Its own value is the mean there, and a row as far away as the first one is from step 0 counts as any other."""
    found = states(rows([first, first + 5, first + 10], [1.0, 3.0, 3.0]), [1, 2, 3], constant)
    assert found[0].value == 1.0
    assert 2.0 <= found[1].value <= 3.0
    assert found[1].value <= found[2].value <= 3.0


def test_rows_without_a_value_come_first() -> None:
    """There is no mean before the first finite value."""
    found = states(rows([-9, -5, 1], [nan, inf, 2.0]), [1, 2, 3], 0.001)
    assert [isnan(state.value) for state in found] == [True, True, False]
    assert found[2].value == 2.0
