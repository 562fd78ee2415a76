"""Which questions are asked most, in bounded memory."""

import asyncio
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.deferred_counts import DeferredCounts
from proxy.tasks import end_tasks
from proxy.web.accounting.busiest import LONGEST, MOST, Busiest


@given(st.lists(st.sampled_from("abcdefgh"), max_size=300))
def test_few_questions_are_counted_exactly(asked: list[str]) -> None:
    """As long as they have room."""
    busiest = Busiest(DeferredCounts())
    for question in asked:
        busiest.note(question)
    top = busiest.top(8)
    assert dict(top) == Counter(asked)
    assert [count for _, count in top] == sorted((count for _, count in top), reverse=True)
    assert busiest.top(2) == top[:2]


def test_many_questions_take_bounded_memory_and_the_busy_ones_stay() -> None:
    """Whoever invents questions crowds nobody out who is asked again and again."""
    busiest = Busiest(DeferredCounts())
    for number in range(20 * MOST):
        busiest.note(f"invented {number}")
        if number % 10 == 0:
            busiest.note("busy")
    busiest.note("x" * (LONGEST + 1))
    assert busiest.top(1) == [("busy", 2 * MOST)]
    assert len(busiest.top(10 * MOST)) <= MOST
    assert all(len(question) <= LONGEST for question, _ in busiest.top(10 * MOST))


async def test_old_questions_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a generation they still count, after two they don't. The room itself begins new ones."""
    busiest = Busiest(DeferredCounts())
    busiest.note("early")
    busiest.turn()
    for _ in range(3):
        busiest.note("late")
    assert busiest.top(2) == [("late", 3), ("early", 1)]
    monkeypatch.setattr("proxy.web.accounting.busiest.GENERATION_S", 0)
    running = asyncio.create_task(busiest.run())
    async with asyncio.timeout(10):
        while busiest.top(2):  # noqa: ASYNC110 -- no event tells it
            await asyncio.sleep(0)
    await end_tasks([running])
