"""A look at a stretch of a long series: its rows are as they came, all others as they were, and so are their ages."""

from hypothesis import example, given
from hypothesis import strategies as st

from proxy.core.pieces import finished
from proxy.core.series.answers import split
from proxy.core.series.compacting import ChunkSizes, compacted
from proxy.core.series.evicting import chunks_of, with_chunks, without_chunks
from proxy.core.series.extents import Extents, Known
from proxy.core.series.metrics_query import MetricsQuery
from proxy.core.series.rechecking import rechecking
from tests.support.oracle import OracleRow, permitted
from tests.support.oracle_upstream import asked_of, row

SERIES = MetricsQuery(run="1", project="p", name="a", group=None, limit=10_000, first=0, last=None)
STEPS = 40
# The first rows and the last ones are enough for chunks.
SIZES = ChunkSizes(rows=3, open_rows=2)
Window = tuple[int, int | None]
windows = st.tuples(st.integers(0, STEPS), st.none() | st.integers(0, STEPS)).map(
    lambda one: one if one[1] is None else (min(one[0], one[1]), max(one[0], one[1]))
)
# What becomes of some steps: a row with a value, or none.
changes = st.dictionaries(st.integers(0, STEPS), st.none() | st.integers(2, 9), max_size=6)


def told(rows: dict[int, OracleRow], window: Window, sent_at_s: float) -> Extents:
    """Return what the upstream's answer to a question for a window tells."""
    question = MetricsQuery(run="1", project="p", name="a", group=None, limit=10_000, first=window[0], last=window[1])
    return split(next(permitted(rows.values(), asked_of(question.query.values))), question, sent_at_s=sent_at_s, overlap_s=0)


def is_within(step: int, window: Window) -> bool:
    return window[0] <= step and (window[1] is None or step <= window[1])


@given(st.sets(st.integers(0, STEPS), min_size=1), st.lists(st.tuples(changes, windows), min_size=1, max_size=5))
@example({0, 2, 4, 6, 8, 10, 12, 14, 16, 18}, [({5: 3}, (5, 5))])
@example({0, 2, 4, 6, 8, 10, 12, 14, 16, 18}, [({5: 3}, (0, 5))])
@example({0, 2, 4, 6, 8, 10, 12, 14, 16, 18}, [({4: None, 6: None}, (3, 7)), ({5: 3}, (3, 7))])
def test_looks_at_stretches(begins_with: set[int], looks: list[tuple[dict[int, int | None], Window]]) -> None:
    """Whatever has changed where, with chunks in memory only of the stretch that is looked at."""
    upstream = {step: row("a", step) for step in begins_with}
    extents = compacted(told(upstream, (0, None), 0), SIZES)
    known, asked_s = dict(upstream), [0.0] * (STEPS + 2)
    for at_s, (changing, window) in enumerate(looks, 1):
        upstream |= {step: row("a", step, value=value) for step, value in changing.items() if value is not None}
        upstream = {step: one for step, one in upstream.items() if changing.get(step, 0) is not None}
        before = {step: one for step, one in known.items() if is_within(step, window)}
        now = {step: one for step, one in upstream.items() if is_within(step, window)}
        known = {step: one for step, one in known.items() if step not in before} | now
        all_chunks = {chunk.digest: chunk for chunk in chunks_of(extents.by_name.values())}
        present = {chunk.digest for chunk in chunks_of(extents.by_name.values(), *window)}
        looked = finished(
            rechecking(
                without_chunks(extents, all_chunks.keys() - present), told(upstream, window, at_s), overlap_s=0, again_s=0.25
            )
        )
        new = [step for step in now if step not in before]
        grown = window[1] is None and all(step > max(before, default=-1) for step in new) and before.items() <= now.items()
        assert looked.changed is (before != now and not grown)
        extents = compacted(with_chunks(looked.extents, all_chunks), SIZES)
        extent = extents.by_name["a"]
        if not known:
            assert extent.known is Known.NOT_YET
            return
        assert list(extent.steps) == sorted(known)
        assert extent.texts() == [known[step].text.encode() for step in sorted(known)]
        for step in range(window[0], len(asked_s) if window[1] is None else window[1] + 1):
            asked_s[step] = at_s - (0.25 if looked.changed else 0)
        assert [extent.full_asked_between_s(step, step) for step in range(STEPS + 2)] == asked_s
        assert extent.full_asked_s == extents.full_asked_s == min(asked_s)
