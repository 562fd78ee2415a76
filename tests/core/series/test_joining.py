"""Windows of a series that are put together keep their ages."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.series.answers import split
from proxy.core.series.joining import merged
from proxy.core.series.metrics_query import MetricsQuery
from tests.support.oracle import permitted
from tests.support.oracle_upstream import asked_of, row

STEPS = 40
ROWS = [row("a", step) for step in range(0, STEPS, 2)]


@given(
    borders=st.sets(st.integers(1, STEPS - 1), max_size=6).map(sorted),
    overlap=st.integers(0, 3),
    ages_s=st.lists(st.integers(1, 50), min_size=7, max_size=7),
)
def test_the_ages_of_windows_that_were_put_together(borders: list[int], overlap: int, ages_s: list[int]) -> None:
    """Each row is as old as the window that told it, the earlier one where two did."""
    windows = list(pairwise([0, *borders, STEPS]))
    whole = None
    by_step: list[float] = []
    for (begin, end), at_s in zip(windows, ages_s, strict=False):
        question = MetricsQuery(
            run="1",
            project="p",
            name="a",
            group=None,
            limit=10_000,
            first=max(0, begin - overlap),
            last=None if end == STEPS else end - 1,
        )
        body = next(permitted(ROWS, asked_of(question.query.values)))
        window = split(body, question, sent_at_s=at_s, overlap_s=0)
        whole = window if whole is None else merged(whole, window)
        assert whole is not None
        by_step += [at_s] * (end - begin)
    assert whole is not None
    extent = whole.by_name["a"]
    assert list(extent.steps) == [one.step for one in ROWS]
    assert all(extent.full_asked_between_s(step, step) == by_step[step] for step in range(STEPS))
    assert extent.full_asked_s == whole.full_asked_s == min(by_step)
