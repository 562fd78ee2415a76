"""What the model has met so far, and how often: told by `python -m tests.series_model`."""

from collections import Counter

from proxy.core.series.evicting import chunks_of
from proxy.core.series.metrics_query import MetricsQuery
from proxy.service.fetching.need import Reason
from tests.support.oracle import Asked
from tests.support.world import World

outcomes: Counter[str] = Counter()
# Those that were computed, at that moment or for an earlier question.
from_extents: Counter[str] = Counter()
# Those that were computed at that moment from a series with chunks in the question's window.
from_chunks: Counter[str] = Counter()
# Those that the upstream never gave as a whole.
mixed: Counter[str] = Counter()
# The greatest age, which is that of runs that have ended, or of an upstream that fails.
longest: Counter[str] = Counter()
# What the proxies did, and what was done to them.
happened: Counter[str] = Counter()


def holds_chunks(running: World, asked: Asked) -> bool:
    """Tell whether a proxy knows chunks of the series that a question is about."""
    question = MetricsQuery(run="1", project="p", name=asked.name, group=asked.group, limit=1, first=0, last=None)
    windows = running.parts.shelves.windows(running.parts.tenancy.current(), question.selections)
    return any(next(chunks_of(window.by_name.values(), asked.first, asked.last), None) is not None for window in windows)


def note_proxy(running: World) -> None:
    """Note what a proxy has done, at its end."""
    series = running.parts.series
    deltas, learner, loader, rotation = series.deltas, series.learner, series.loader, series.rotation
    calls = running.parts.fetching.fetcher.series_calls
    happened.update(
        {
            "delta calls": deltas.calls,
            "misfits": learner.misfits,
            "rows saved": learner.rows_saved,
            "loads begun": loader.begun,
            "loads finished": loader.finished,
            "loads given up": loader.given_up,
            "load calls": calls[Reason.LOAD],
            "rotation calls": calls[Reason.ROTATION],
            "rotation changes": rotation.changes,
        }
    )
