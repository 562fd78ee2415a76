"""Answers of the upstream taken apart, each of them once.

An answer about one name with more rows than its limit can prove to be all is **presumed** to have all of them
(`Known.PRESUMED`): it may be a sample of more than twice as many. No larger answer can tell, since none is twice as large. Only
a probe can, or rows that have just come (`evidence.Evidence.prove_window`).
"""

import asyncio
from functools import partial

import structlog

from proxy.core.freshness.entry import Entry
from proxy.core.series.answers import splitting
from proxy.core.series.extents import Extents
from proxy.core.series.metrics_query import MetricsQuery
from proxy.service.fetching.need import Fetched
from proxy.service.knowledge.shelves import Shelves
from proxy.slices import in_slices
from proxy.upstream.client import Parser

_log = structlog.get_logger()


class Splitter:
    """Takes answers apart."""

    def __init__(self, shelves: Shelves, *, overlap_s: float) -> None:
        """`overlap_s`: how long rows may become visible out of order (`core.series.answers`)."""
        self._shelves = shelves
        self._overlap_s = overlap_s
        self._splitting: dict[tuple[MetricsQuery, str, float], asyncio.Task[Extents | None]] = {}

    def parser(self, question: MetricsQuery) -> Parser[Extents]:
        """Return a parser that takes the answer to a question apart while it is checked."""
        presume = _presumes(question)
        return partial(splitting, question=question, overlap_s=self._overlap_s, documented=True, presume=presume)

    async def take_apart(self, fetched: Fetched, question: MetricsQuery) -> Extents | None:
        """Return an answer of the upstream taken apart, None where that isn't possible.

        An answer that was fetched without a parser is taken apart now, once for all who wait for it. One that was asked for
        before everything was forgotten is not: the upstream may have followed another rule then.
        """
        if fetched.entry.status != 200 or fetched.entry.sent_at_s <= self._shelves.forgotten_s:
            return None
        if fetched.extents is not None:
            return fetched.extents
        key = (question, fetched.entry.digest, fetched.entry.sent_at_s)
        if (task := self._splitting.get(key)) is None:
            task = self._splitting[key] = asyncio.get_running_loop().create_task(self._split(fetched.entry, question))
            task.add_done_callback(lambda _: self._splitting.pop(key))
        return await asyncio.shield(task)

    async def _split(self, entry: Entry, question: MetricsQuery) -> Extents | None:
        try:
            work = splitting(
                entry.body,
                question,
                sent_at_s=entry.sent_at_s,
                overlap_s=self._overlap_s,
                presume=_presumes(question),
            )
            return await in_slices(work)
        except ValueError as exc:
            _log.warning("series.not_understood", key=question.query.target, reason=str(exc))
            return None


def _presumes(question: MetricsQuery) -> bool:
    """Tell whether an answer's rows are held that may be a sample: of one name a probe tells at once."""
    return question.name is not None
