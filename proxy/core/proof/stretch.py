"""A part of a series on which the sampling rule can be checked, though the series grows or one answer cannot hold it."""

from dataclasses import replace

from proxy.core.series.extents import Extents, Known, window_of
from proxy.core.series.long_rows import Steps
from proxy.core.series.metrics_query import MetricsQuery
from proxy.core.series.sampling import most_apart

# A part has one of so many of a sample's rows at most: few, so that little is asked for.
_PARTS = 20
# Of the rows that one answer can prove complete a part has this share, as far as the sample tells how many it has.
_FILLED = 0.9
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


def part_in_full(full: Extents, rows: int) -> MetricsQuery | None:
    """Return the question for a part of a long series in full; None where it is not about one name, or too short.

    The part is from the middle, and has `rows` rows at most: exactly so many where all rows are known.
    """
    extent = full.by_name.get(full.question.name or "")
    if extent is None or len(extent.steps) <= _LEAST_STEPS:
        return None
    apart = 1 if extent.known is Known.ALL else most_apart(extent.steps, limit=full.question.limit)
    middle, reach = len(extent.steps) // 2, max(_LEAST_STEPS, rows // apart) // 2
    first, last = extent.steps[max(0, middle - reach)], extent.steps[min(len(extent.steps), middle + reach) - 1]
    return replace(full.question.densest, first=first, last=last)


def _part(source: MetricsQuery, question: MetricsQuery, steps: Steps) -> tuple[MetricsQuery, MetricsQuery] | None:
    begin, end = window_of(steps, question.first, question.last)
    begin = max(1, begin)
    # Of a dense series the steps tell how many rows lie between: one answer can prove the part complete, however long it is.
    most = int(_FILLED * (source.limit // 2) / most_apart(steps, limit=source.limit))
    end = min(end, begin + max(_LEAST_STEPS, min(len(steps) // _PARTS, most)), len(steps) - 1)
    if end - begin < _LEAST_STEPS:
        return None
    limit = min(question.limit, (end - begin) // _SAMPLED)
    narrower = replace(question, first=steps[begin], last=steps[end - 1], limit=limit)
    return narrower, replace(source, name=question.name, group=question.group, first=steps[begin - 1], last=steps[end])
