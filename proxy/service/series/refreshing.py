"""Refreshes that nobody waits for: of stale answers that are handed out, and of what is being watched, ahead of the next query.

A client that polls every 5 s an answer that is fresh for 5 s, and usable for 5 s more, may find it fresh once, and a moment too
old the next time. So the refresh of a stale answer that was handed out is followed by another one of the run, **ahead** of the
moment at which the new answer can no longer be handed out. It is left out if another refresh came in between, or if nobody has
looked at the run since. So after a client has gone, one refresh is made in vain.
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
from proxy.tasks import end_tasks

# When a refresh ahead begins, as a share of the time in which answers are handed out while they are refreshed.
_SHARE = 0.6
_RunKey = tuple[str, str, str]
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Planned:
    sent_at_s: float
    timer: asyncio.TimerHandle


class Refresher:
    """Refreshes in the background: one refresh of a query at a time, and one ahead planned for each run."""

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
        """How many queries about series are being refreshed."""
        return len(self._refreshing)

    def refresh(self, wanted: WantedAnswer, entry: Entry) -> None:
        """Begin the refresh of a query to which there is an older answer (`entry`), if none is under way. Don't wait for it."""
        if not isinstance(wanted, WantedSeries):
            self._fetcher.refresh(wanted.tenant, wanted.query, wanted.need)
            return
        key = CallKey(wanted.tenant.fingerprint, wanted.query.target)
        if key not in self._refreshing:
            task = asyncio.get_running_loop().create_task(self._refresh(wanted, entry), name="refreshing.refresh")
            self._refreshing[key] = task
            task.add_done_callback(lambda _: self._refreshing.pop(key))

    async def has_ended(self, wanted: WantedAnswer, entry: Entry) -> bool:
        """Find out within `extra_wait_s` whether an entry is fresh after all, since its run has ended."""
        if not isinstance(wanted, WantedSeries) or wanted.in_full:
            return False
        need = wanted.need
        with suppress(TimeoutError):
            async with asyncio.timeout(wanted.extra_wait_s):
                await self._statuses.learn(
                    wanted.tenant,
                    wanted.metrics.run,
                    wanted.metrics.project,
                    urgent=need.urgent,
                    client=need.client,
                    deadline_s=need.deadline_s,
                )
        # Even if nothing had to be asked: another query may have learned it since the entry was judged.
        fresh = self._lifetimes.judge(entry, wanted.query, wanted.tenant) is Verdict.FRESH
        return fresh and entry.sent_at_s >= need.not_before_s

    async def aclose(self) -> None:
        """End what is under way, and begin nothing any more."""
        for planned in self._planned.values():
            planned.timer.cancel()
        self._planned.clear()
        await end_tasks(self._refreshing.values())

    async def _refresh(self, wanted: WantedSeries, entry: Entry) -> None:
        # A failure was logged where it happened, and is remembered for the next query.
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
            self.refresh(replace(wanted, need=need), entry)


def _without_known(wanted: WantedSeries) -> WantedSeries:
    """Return what is wanted without what was known of it, which would keep old windows in memory until the refresh."""
    return replace(wanted, known=nothing_known(wanted.metrics))
