"""A part of a series on which the sampling rule can be checked, though the series grows or one answer cannot hold it."""

from dataclasses import replace

from proxy.core.series.extents import Extents, Known, window_of
from proxy.core.series.long_rows import Steps
from proxy.core.series.metrics_query import MetricsQuery

# A part has one of so many rows: one answer can prove it complete where the series has up to 100,000 rows.
_PARTS = 20
# One row of so many is asked for, so that the upstream samples the part.
_SAMPLED = 3
_LEAST_STEPS = 12


def stretch(full: Extents, question: MetricsQuery) -> tuple[MetricsQuery, MetricsQuery] | None:
    """Return a question like `question`, and another one that its answer can be computed from; None where there are none.

    `full`: the upstream's answer to the question that the answer to `question` was computed from. A series that grows is asked
    for up to the last step that all of its names have. Of a single name that one answer cannot hold, a part is asked for; the
    second question has one more row at either end.
    """
    names = [question.name] if question.name is not None else [*full.by_name]
    extents = [full.by_name[name] for name in names if name in full.by_name]
    if not extents or any(extent.known not in {Known.ALL, Known.SOME} for extent in extents):
        return None
    if all(extent.known is Known.ALL for extent in extents):
        last = min(extent.steps[-1] for extent in extents)
        open_end = question.last is None or question.last > last
        return (replace(question, last=last), full.question) if open_end and last >= question.first else None
    return _part(full.question, question, extents[0].steps) if question.name is not None else None


def _part(source: MetricsQuery, question: MetricsQuery, steps: Steps) -> tuple[MetricsQuery, MetricsQuery] | None:
    begin, end = window_of(steps, question.first, question.last)
    begin = max(1, begin)
    end = min(end, begin + len(steps) // _PARTS, len(steps) - 1)
    if end - begin < _LEAST_STEPS:
        return None
    limit = min(question.limit, (end - begin) // _SAMPLED)
    narrower = replace(question, first=steps[begin], last=steps[end - 1], limit=limit)
    return narrower, replace(source, name=question.name, group=question.group, first=steps[begin - 1], last=steps[end])
