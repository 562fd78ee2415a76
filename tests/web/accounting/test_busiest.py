"""Which questions are asked most, in bounded memory."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from proxy.web.accounting.busiest import GENERATION_S, LONGEST, MOST, Busiest
from tests.support.world import ManualClock


@given(st.lists(st.sampled_from("abcdefgh"), max_size=300))
def test_few_questions_are_counted_exactly(asked: list[str]) -> None:
    """As long as they have room."""
    busiest = Busiest(ManualClock())
    for question in asked:
        busiest.note(question)
    top = busiest.top(8)
    assert dict(top) == Counter(asked)
    assert [count for _, count in top] == sorted((count for _, count in top), reverse=True)
    assert busiest.top(2) == top[:2]


def test_many_questions_take_bounded_memory_and_the_busy_ones_stay() -> None:
    """Whoever invents questions crowds nobody out who is asked again and again."""
    busiest = Busiest(ManualClock())
    for number in range(20 * MOST):
        busiest.note(f"invented {number}")
        if number % 10 == 0:
            busiest.note("busy")
    busiest.note("x" * (LONGEST + 1))
    assert busiest.top(1) == [("busy", 2 * MOST)]
    assert len(busiest.top(10 * MOST)) <= MOST
    assert all(len(question) <= LONGEST for question, _ in busiest.top(10 * MOST))


def test_old_questions_are_forgotten() -> None:
    """After a generation they still count, after two they don't; so too where nobody looked meanwhile."""
    clock = ManualClock()
    busiest = Busiest(clock)
    busiest.note("early")
    clock.advance(GENERATION_S)
    for _ in range(1_000):
        busiest.note("late")
    assert dict(busiest.top(2)) == {"early": 1, "late": 1_000}
    clock.advance(GENERATION_S)
    assert "early" not in dict(busiest.top(2))
    clock.advance(2 * GENERATION_S)
    assert busiest.top(2) == []
