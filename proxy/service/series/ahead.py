"""Refreshes that begin before anybody asks, for what is being watched.

Who polls every 5 s an answer that is fresh for 5 s and usable for 5 s more may find it fresh once, and the next time a moment
too old. So when a stale answer was refreshed while it was handed out, its run is refreshed again a while before that one can no
longer be handed out, if nobody else has seen to it and somebody has looked since. Who leaves is missed after one such refresh.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from proxy.clock import Clock
from proxy.core.freshness.entry import Entry
from proxy.service.series.runs import Runs
from proxy.service.series.widening import Asked
from proxy.service.status.lifetimes import RunLifetimes

# When it begins, as a share of the time in which answers are handed out while they are refreshed.
_SHARE = 0.6
_Place = tuple[str, str, str]
Refresh = Callable[[Asked, Entry], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Planned:
    sent_at_s: float
    timer: asyncio.TimerHandle


class Ahead:
    """Plans them: one for each run at a time."""

    def __init__(self, runs: Runs, lifetimes: RunLifetimes, clock: Clock, refresh: Refresh) -> None:
        self._runs = runs
        self._lifetimes = lifetimes
        self._clock = clock
        self._refresh = refresh
        self._planned: dict[_Place, _Planned] = {}

    def plan(self, asked: Asked, entry: Entry) -> None:
        """Plan the next refresh of a question's run after one that brought an entry."""
        metrics, lifetimes = asked.metrics, self._lifetimes.of(asked.query, asked.tenant)
        if metrics is None or not self._lifetimes.is_live(metrics, asked.tenant):
            return
        place = asked.tenant.fingerprint, metrics.run, metrics.project
        before = self._planned.get(place)
        if not lifetimes.stale_while_revalidate_s or (before is not None and before.sent_at_s >= entry.sent_at_s):
            return
        if before is not None:
            before.timer.cancel()
        due_s = entry.sent_at_s + lifetimes.fresh_s + _SHARE * lifetimes.stale_while_revalidate_s
        timer = asyncio.get_running_loop().call_later(max(0.0, due_s - self._clock.now_s()), self._begin, place, asked, entry)
        self._planned[place] = _Planned(sent_at_s=entry.sent_at_s, timer=timer)

    def close(self) -> None:
        """Begin nothing any more."""
        for planned in self._planned.values():
            planned.timer.cancel()
        self._planned.clear()

    def _begin(self, place: _Place, asked: Asked, entry: Entry) -> None:
        del self._planned[place]
        lifetimes = self._lifetimes.of(asked.query, asked.tenant)
        if asked.metrics is not None and self._runs.is_watched(
            asked.metrics, within_s=lifetimes.fresh_s + lifetimes.stale_while_revalidate_s
        ):
            self._refresh(asked, entry)
