"""Plots in a terminal."""

import math

from hypothesis import given
from hypothesis import strategies as st

from proxy.cli.plot import plot

POINTS = st.lists(st.tuples(st.floats(0, 2**53), st.floats()), max_size=50)


@given(points=POINTS, columns=st.integers(40, 200), rows=st.integers(5, 40), braille=st.booleans())
def test_it_fits(points: list[tuple[float, float]], columns: int, rows: int, braille: bool) -> None:
    """No line is wider than it may be, and there are as many as were asked for, whatever the numbers are."""
    lines = plot(points, columns=columns, rows=rows, braille=braille)
    if not any(math.isfinite(value) for _, value in points):
        assert lines == []
        return
    assert len(lines) == rows
    assert max(map(len, lines)) <= columns
    assert braille or all(line.isascii() for line in lines)


def test_a_rising_line() -> None:
    """It goes from the lower left to the upper right, with the bounds at the sides."""
    lines = plot([(step, 2.0 * step) for step in range(11)], columns=25, rows=6, braille=False)
    assert [line.split("|")[0].strip() for line in lines[:-1]] == ["20", "", "", "", "0"]
    assert lines[-1].split() == ["0", "10"]
    assert lines[0].rstrip().endswith("*")
    assert lines[4].partition("|")[2].startswith("*")


def test_one_value() -> None:
    """A line in the middle, and one step's name."""
    lines = plot([(7, 3.0)], columns=40, rows=6, braille=False)
    assert sum(line.count("*") for line in lines) == 1
    assert lines[-1].split() == ["7"]


def test_gaps_are_crossed() -> None:
    """Two points far apart are joined: each row between them has a mark."""
    lines = plot([(0, 0.0), (1, 100.0)], columns=40, rows=20, braille=True)
    assert all(any(ord(character) > 0x2800 for character in line) for line in lines[:-1])
