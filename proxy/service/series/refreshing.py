"""Refreshes that nobody waits for: of what is handed out stale, and of what is being watched, before anybody asks.

Who polls every 5 s an answer that is fresh for 5 s and usable for 5 s more may find it fresh once, and the next time a moment
too old. So when a stale answer was refreshed while it was handed out, its run is refreshed again **ahead**, a while before that
one can no longer be handed out, if nobody else has seen to it and somebody has looked since. Who leaves is missed after one
such refresh.
"""

import asyncio
import math
from contextlib import suppress
from dataclasses import dataclass, replace

import structlog

from proxy.clock import Clock
from proxy.core.freshness.entry import Entry
from proxy.core.freshness.verdict import Verdict
from proxy.core.series.known_series import nothing_known
from proxy.errors import UpstreamError
from proxy.service.fetching.call_key import CallKey
from proxy.service.fetching.fetcher import Fetcher
from proxy.service.lifetimes.run_lifetimes import RunLifetimes
from proxy.service.series.asking import Asker
from proxy.service.series.interest import Interest
from proxy.service.series.wanted import WantedAnswer, WantedSeries
from proxy.service.statuses import Statuses

# When a refresh ahead begins, as a share of the time in which answers are handed out while they are refreshed.
_SHARE = 0.6
_RunKey = tuple[str, str, str]
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Planned:
    sent_at_s: float
    timer: asyncio.TimerHandle


class Refresher:
    """Refreshes in the background: one refresh of a question at a time, and one ahead for each run."""

    def __init__(
        self,
        *,
        asker: Asker,
        fetcher: Fetcher,
        statuses: Statuses,
        interest: Interest,
        lifetimes: RunLifetimes,
        clock: Clock,
    ) -> None:
        self._asker = asker
        self._fetcher = fetcher
        self._statuses = statuses
        self._interest = interest
        self._lifetimes = lifetimes
        self._clock = clock
        self._refreshing: dict[CallKey, asyncio.Task[None]] = {}
        self._planned: dict[_RunKey, _Planned] = {}

    @property
    def refreshing(self) -> int:
        """How many questions about series are being asked that nobody waits for."""
        return len(self._refreshing)

    def refresh(self, wanted: WantedAnswer, entry: Entry) -> None:
        """See to it that a question is being asked to which there is an older answer, without waiting for it."""
        if not isinstance(wanted, WantedSeries):
            self._fetcher.refresh(wanted.tenant, wanted.query, wanted.need)
            return
        key = CallKey(wanted.tenant.fingerprint, wanted.query.target)
        if key not in self._refreshing:
            task = asyncio.get_running_loop().create_task(self._refresh(wanted, entry), name="refreshing.refresh")
            self._refreshing[key] = task
            task.add_done_callback(lambda _: self._refreshing.pop(key))

    async def has_ended(self, wanted: WantedAnswer, entry: Entry) -> bool:
        """Find out whether an entry is fresh after all, since its run has ended; not for longer than `patience_s`."""
        if not isinstance(wanted, WantedSeries) or wanted.in_full:
            return False
        need = wanted.need
        learned = True
        with suppress(TimeoutError):
            async with asyncio.timeout(wanted.extra_wait_s):
                learned = await self._statuses.learn(
                    wanted.tenant,
                    wanted.metrics.run,
                    wanted.metrics.project,
                    urgent=need.urgent,
                    client=need.client,
                    deadline_s=need.deadline_s,
                )
        fresh = learned and self._lifetimes.judge(entry, wanted.query, wanted.tenant) is Verdict.FRESH
        return fresh and entry.sent_at_s >= need.not_before_s

    async def aclose(self) -> None:
        """End what is under way, and begin nothing any more."""
        for planned in self._planned.values():
            planned.timer.cancel()
        self._planned.clear()
        tasks = list(self._refreshing.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _refresh(self, wanted: WantedSeries, entry: Entry) -> None:
        # A failure is told in the log where it happened, and to whoever asks next.
        try:
            if not await self.has_ended(wanted, entry):
                obtained = await self._asker.obtain(wanted)
                self._plan(wanted, obtained.fetched.entry)
        except UpstreamError:
            pass
        except Exception:  # noqa: BLE001 -- nobody waits for it who could tell
            _log.exception("refresh.crashed", key=wanted.query.target)

    def _plan(self, wanted: WantedSeries, entry: Entry) -> None:
        """Plan the next refresh of a question's run, after one that brought an entry."""
        lifetimes = self._lifetimes.of(wanted.query, wanted.tenant)
        if not lifetimes.stale_while_revalidate_s or self._lifetimes.live_since_s(wanted.metrics, wanted.tenant) is None:
            return
        key = wanted.tenant.fingerprint, wanted.metrics.run, wanted.metrics.project
        before = self._planned.get(key)
        if before is not None and before.sent_at_s >= entry.sent_at_s:
            return
        if before is not None:
            before.timer.cancel()
        due_s = entry.sent_at_s + lifetimes.fresh_s + _SHARE * lifetimes.stale_while_revalidate_s
        timer = asyncio.get_running_loop().call_later(
            max(0.0, due_s - self._clock.now_s()), self._refresh_ahead, key, _without_known(wanted), entry
        )
        self._planned[key] = _Planned(sent_at_s=entry.sent_at_s, timer=timer)

    def _refresh_ahead(self, key: _RunKey, wanted: WantedSeries, entry: Entry) -> None:
        del self._planned[key]
        lifetimes = self._lifetimes.of(wanted.query, wanted.tenant)
        within_s = lifetimes.fresh_s + lifetimes.stale_while_revalidate_s
        if self._interest.is_watched(wanted.metrics, within_s=within_s):
            need = replace(wanted.need, not_before_s=-math.inf, landings=self._fetcher.landings, refreshed_s=entry.sent_at_s)
            self.refresh(replace(wanted, need=need, lifetimes=lifetimes), entry)


def _without_known(wanted: WantedSeries) -> WantedSeries:
    """Return a question without what was known of it, which would keep old windows in memory until it is asked."""
    return replace(wanted, known=nothing_known(wanted.metrics))
