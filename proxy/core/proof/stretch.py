"""A stretch of a series in which the rule can be told from rows that come, and from rows that one answer cannot hold."""

from array import array
from bisect import bisect_left, bisect_right
from dataclasses import replace

from proxy.core.series.extents import Extents, Known
from proxy.core.series.metrics_query import MetricsQuery

# Of a series that one answer cannot prove complete, one part of so many can be: up to 100,000 rows.
_PARTS = 20
# Of a stretch one row of so many is asked for, so that it is sampled.
_SAMPLED = 3
_LEAST_STEPS = 12


def stretch(full: Extents, question: MetricsQuery) -> tuple[MetricsQuery, MetricsQuery] | None:
    """Return a question like this one, and one that it can be computed from; None where there is none.

    `full`: what the upstream said to the question that it was computed from. What grows is asked for up to the last step that
    all of its names have; of what is too long, which is one name, a part is asked for, with a row more at either end.
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


def _part(source: MetricsQuery, question: MetricsQuery, steps: "array[int]") -> tuple[MetricsQuery, MetricsQuery] | None:
    begin = max(1, bisect_left(steps, question.first))
    end = len(steps) if question.last is None else bisect_right(steps, question.last)
    end = min(end, begin + len(steps) // _PARTS, len(steps) - 1)
    if end - begin < _LEAST_STEPS:
        return None
    limit = min(question.limit, (end - begin) // _SAMPLED)
    narrower = replace(question, first=steps[begin], last=steps[end - 1], limit=limit)
    return narrower, replace(source, name=question.name, group=question.group, first=steps[begin - 1], last=steps[end])
