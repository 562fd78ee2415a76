"""When stretches of a long series were last looked at, and which take their turn."""

from array import array

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.series.looks import Looks, Turns, due, joined_looks, looked_at, oldest_look

STEPS = 40
windows = st.tuples(st.integers(0, STEPS), st.none() | st.integers(0, STEPS)).map(
    lambda one: one if one[1] is None else (min(one[0], one[1]), max(one[0], one[1]))
)
histories = st.lists(st.tuples(windows, st.integers(1, 50)), max_size=8)


def after(history: list[tuple[tuple[int, int | None], int]]) -> tuple[Looks, list[float]]:
    """Return looks after a history that begins with one at everything at 0, and when each step was looked at."""
    looks: Looks = ((0, 0.0),)
    by_step = [0.0] * (STEPS + 2)
    for (first, last), at_s in history:
        looks = looked_at(looks, first, last, at_s)
        for step in range(first, len(by_step) if last is None else last + 1):
            by_step[step] = at_s
    return looks, by_step


@given(histories, windows)
def test_the_age_of_any_window(history: list[tuple[tuple[int, int | None], int]], window: tuple[int, int | None]) -> None:
    """It is that of the oldest of its steps."""
    looks, by_step = after(history)
    first, last = window
    assert oldest_look(looks, first, last) == min(by_step[first : None if last is None else last + 1])
    assert [step for step, _ in looks] == sorted({step for step, _ in looks})


@given(histories, histories, st.integers(0, STEPS), windows)
def test_the_ages_of_what_is_joined(
    left: list[tuple[tuple[int, int | None], int]],
    right: list[tuple[tuple[int, int | None], int]],
    border: int,
    window: tuple[int, int | None],
) -> None:
    """On either side of the border each step is as old as it was there."""
    (looks, by_step), (others, by_step_there) = after(left), after(right)
    joined = joined_looks(looks, others, border)
    ages = [*by_step[:border], *by_step_there[border:]]
    first, last = window
    assert oldest_look(joined, first, last) == min(ages[first : None if last is None else last + 1])


@given(
    steps=st.sets(st.integers(0, 200), min_size=1, max_size=60).map(sorted),
    rows=st.integers(1, 30),
    tick_s=st.floats(1, 9),
    grows_each=st.integers(3, 300),
    data=st.data(),
)
def test_all_of_it_takes_turns(steps: list[int], rows: int, tick_s: float, grows_each: int, data: st.DataObject) -> None:
    """Whatever was loaded when, and however the series grows: no row's age exceeds the period by more than some ticks.

    No stretch has more rows than it may, and in a period there are hardly more looks than windows.
    """
    turns = Turns(rows=rows, period_s=100)
    looks: Looks = ((0, 0.0),)
    for first in data.draw(st.lists(st.integers(1, 200), max_size=5, unique=True).map(sorted)):
        looks = joined_looks(looks, ((0, data.draw(st.floats(0, 5))),), first)
    known, now_s, counts = array("q", steps), 10.0, list[int]()
    while now_s < 400:
        stretches = due(looks, known, turns, now_s=now_s)
        counts.append(len(stretches))
        for stretch in stretches:
            last = known[-1] if stretch.last is None else stretch.last
            assert sum(stretch.first <= step <= last for step in known) <= rows
            looks = looked_at(looks, stretch.first, stretch.last, now_s)
        windows_now = -(-len(known) // rows)
        oldest_s = now_s - oldest_look(looks, 0, known[-1])
        assert oldest_s <= 100 + tick_s + 300 / windows_now
        if len(counts) % grows_each == 0:
            known.append(known[-1] + 1)
        now_s += tick_s
    periods = (now_s - 10) / 100
    assert sum(counts) <= (-(-len(known) // rows) + 8) * (periods + 1)


def test_what_is_late_goes_at_once() -> None:
    """What wasn't looked at for too long doesn't wait for its turn."""
    turns = Turns(rows=10, period_s=100)
    steps = array("q", range(100))
    young: Looks = ((0, 1_000.0),)
    assert due(young, steps, turns, now_s=1_009) == []
    assert len(due(young, steps, turns, now_s=1_010)) == 1
    half = joined_looks(((0, 870.0),), young, 50)
    assert [one.first for one in due(half, steps, turns, now_s=1_001)] == [0, 10, 20, 30, 40, 50, 60, 70]
