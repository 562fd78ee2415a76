"""A line in the log each second that sums up the ordinary answers.

Ordinary are the answers for which the upstream was not asked, and with which nothing is wrong: hits, computed answers, stale
answers that are being refreshed, and collapsed ones. A line for each would be most of the log, and most of a hit's cost.
"""

import asyncio
from collections import Counter

import structlog

from proxy.clock import Clock
from proxy.core.freshness.outcome import Kind, Outcome, Stale
from proxy.deferred_counts import DeferredCounts

_log = structlog.get_logger()
PERIOD_S = 1.0


def is_ordinary(outcome: Outcome, status: int) -> bool:
    """Tell whether an answer is one of those that are summed up."""
    return status == 200 and outcome.kind is not Kind.MISS and outcome.stale in {None, Stale.REVALIDATING}


class AnswerSummary:
    """Sums up the answers of a period, and writes one line for them; none where there were none."""

    def __init__(self, clock: Clock, deferred: DeferredCounts) -> None:
        self._clock = clock
        self._deferred = deferred
        self._since_s = clock.monotonic_s()
        self._kinds: Counter[str] = Counter()
        self._not_modified = 0
        self._slowest_s = self._oldest_s = 0.0

    def note(self, kind: str, duration_s: float, age_s: float, *, not_modified: bool, times: int = 1) -> None:
        """Count an answer by its outcome's kind, or several alike: how long each took, and how old it was."""
        self._kinds[kind] += times
        self._not_modified += times * not_modified
        self._slowest_s = max(self._slowest_s, duration_s)
        self._oldest_s = max(self._oldest_s, age_s)

    def flush(self) -> None:
        """Write the line and begin anew."""
        self._deferred.settle()
        now_s = self._clock.monotonic_s()
        if self._kinds:
            _log.info(
                "answers.summed",
                **self._kinds,
                not_modified=self._not_modified,
                slowest_ms=round(self._slowest_s * 1000, 1),
                oldest_s=round(self._oldest_s, 1),
                period_s=round(now_s - self._since_s, 1),
            )
        self._since_s = now_s
        self._kinds.clear()
        self._not_modified = 0
        self._slowest_s = self._oldest_s = 0.0

    async def run(self) -> None:
        """Flush once a second until cancelled, and a last time then."""
        try:
            while True:
                await asyncio.sleep(PERIOD_S)
                self.flush()
        finally:
            self.flush()
