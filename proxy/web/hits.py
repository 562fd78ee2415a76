"""Hits, summed up once a second: a line each would be most of the log and most of the cost of a hit."""

import asyncio

import structlog

from proxy.clock import Clock

_log = structlog.get_logger()
PERIOD_S = 1.0


class HitLog:
    """Sums up the hits of a period and writes one line for them, none where there were none."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since_s = clock.monotonic_s()
        self._hits = 0
        self._not_modified = 0
        self._slowest_s = 0.0

    def note(self, duration_s: float, *, not_modified: bool) -> None:
        """Count one hit."""
        self._hits += 1
        self._not_modified += not_modified
        self._slowest_s = max(self._slowest_s, duration_s)

    def flush(self) -> None:
        """Write the line and begin anew."""
        now_s = self._clock.monotonic_s()
        if self._hits:
            _log.info(
                "hits.summed",
                hits=self._hits,
                not_modified=self._not_modified,
                slowest_ms=round(self._slowest_s * 1000, 1),
                period_s=round(now_s - self._since_s, 1),
            )
        self._since_s = now_s
        self._hits = self._not_modified = 0
        self._slowest_s = 0.0

    async def run(self) -> None:
        """Flush once a second until cancelled, and a last time then."""
        try:
            while True:
                await asyncio.sleep(PERIOD_S)
                self.flush()
        finally:
            self.flush()
