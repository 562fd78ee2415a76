"""Metric questions asked so that others can be answered: what is new of a run, or wide, or else as they came.

In this order:

1. what is known of a live run's series is brought up to date by a delta, for everything that is being watched at once
   (`service.series.deltas`);
2. a question that holds this one and probably the next ones is asked (`service.series.widening`);
3. the question itself; where many of those are about one long series, it is put together (`service.series.assembling`).
"""

import asyncio
import math
from contextlib import suppress
from dataclasses import replace

import structlog

from proxy.clock import Clock
from proxy.core.freshness.entry import Entry
from proxy.core.freshness.outcome import Made
from proxy.core.freshness.verdict import Verdict, judge
from proxy.core.series.extents import is_outstanding, plan_of
from proxy.core.series.metrics_query import MetricsQuery
from proxy.errors import KeyRefused, UpstreamBusy, UpstreamError
from proxy.service.fetching.fetcher import Fetcher
from proxy.service.fetching.memo import Memo
from proxy.service.fetching.need import Fetched
from proxy.service.fetching.question import Question
from proxy.service.series.ahead import Ahead
from proxy.service.series.assembling import Assembler
from proxy.service.series.deltas import Deltas
from proxy.service.series.series import Series
from proxy.service.series.widening import Asked, Brought, Widening
from proxy.service.status.lifetimes import RunLifetimes
from proxy.service.status.statuses import Statuses

_log = structlog.get_logger()


class Asker:
    """Asks the upstream."""

    def __init__(
        self,
        *,
        fetcher: Fetcher,
        series: Series,
        deltas: Deltas,
        widening: Widening,
        assembler: Assembler,
        statuses: Statuses,
        lifetimes: RunLifetimes,
        memo: Memo,
        clock: Clock,
    ) -> None:
        self._fetcher = fetcher
        self._series = series
        self._deltas = deltas
        self._widening = widening
        self._assembler = assembler
        self._statuses = statuses
        self._lifetimes = lifetimes
        self._memo = memo
        self._clock = clock
        self._refreshing: dict[Question, asyncio.Task[None]] = {}
        self._ahead = Ahead(series.runs, lifetimes, clock, self._refresh_again)

    async def ask(self, asked: Asked) -> Brought:
        """Return the answer to a question. Raises UpstreamError."""
        if asked.metrics is not None:
            await self._widening.learn_size(asked, asked.metrics)
            if (entry := await self._come_meanwhile(asked, asked.metrics)) is not None:
                return Brought(fetched=Fetched(tenant=asked.tenant, entry=entry, stored=True, asked=False), collapsed=False)
            brought = await self._by_delta(asked, asked.metrics) or await self._widening.ask(asked, asked.metrics)
            if brought is not None:
                return brought
            self._assembler.note(asked.tenant, asked.metrics, asked.need)
        fetched, collapsed = await self._fetcher.fetch(asked.tenant, asked.query, asked.need)
        if asked.metrics is not None and fetched.entry.status == 200:
            await self._series.compare(fetched.tenant, asked.metrics, fetched.entry)
        return Brought(fetched=fetched, collapsed=collapsed)

    async def has_ended(self, asked: Asked, entry: Entry) -> bool:
        """Find out whether an entry is fresh after all, since its run has ended; not for longer than `patience_s`."""
        if asked.metrics is None or asked.whole:
            return False
        need = asked.need
        with suppress(TimeoutError):
            async with asyncio.timeout(asked.patience_s):
                await self._statuses.learn(
                    asked.tenant,
                    asked.metrics.run,
                    asked.metrics.project,
                    urgent=need.urgent,
                    client=need.client,
                    deadline_s=need.deadline_s,
                )
        lifetimes = self._lifetimes.of(asked.query, asked.tenant)
        return judge(entry, self._clock.now_s(), lifetimes) is Verdict.FRESH and entry.sent_at_s >= need.not_before_s

    def refresh(self, asked: Asked, entry: Entry) -> None:
        """See to it that a question is being asked to which there is an older answer, without waiting for it."""
        if asked.metrics is None:
            self._fetcher.refresh(asked.tenant, asked.query, asked.need)
            return
        place = Question(asked.tenant.fingerprint, asked.query.target)
        if place not in self._refreshing:
            task = asyncio.get_running_loop().create_task(self._refresh(asked, entry), name="asking.refresh")
            self._refreshing[place] = task
            task.add_done_callback(lambda _: self._refreshing.pop(place))

    @property
    def refreshing(self) -> int:
        """How many questions are being asked that nobody waits for."""
        return len(self._refreshing)

    async def aclose(self) -> None:
        """End what nobody waits for."""
        self._ahead.close()
        tasks = list(self._refreshing.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _refresh(self, asked: Asked, entry: Entry) -> None:
        # A failure is told in the log where it happened, and to whoever asks next.
        try:
            if not await self.has_ended(asked, entry):
                brought = await self.ask(asked)
                self._ahead.plan(asked, brought.fetched.entry)
        except UpstreamError:
            pass
        except Exception:  # noqa: BLE001 -- nobody waits for it who could tell
            _log.exception("refresh.crashed", key=asked.query.target)

    def _refresh_again(self, asked: Asked, entry: Entry) -> None:
        need = replace(asked.need, not_before_s=-math.inf, landings=self._fetcher.landings, refreshed_s=entry.sent_at_s)
        self.refresh(replace(asked, need=need), entry)

    async def _come_meanwhile(self, asked: Asked, metrics: MetricsQuery) -> Entry | None:
        """Return what can be computed from what others have brought since the caller looked."""
        lifetimes, now_s = self._lifetimes.of(asked.query, asked.tenant), self._clock.now_s()
        tail_s = max(asked.need.not_before_s, now_s - lifetimes.fresh_s, asked.need.refreshed_s)
        whole_s = asked.need.not_before_s if asked.whole else now_s - max(lifetimes.fresh_s, lifetimes.rewrite_check_s)
        for extents in self._series.holding(asked.tenant, metrics):
            plan = plan_of(extents, metrics)
            if plan is not None and plan.tail_at_s > tail_s and plan.whole_at_s > whole_s:
                return await self._series.compute(asked.tenant, asked.query, plan, extents)
        return None

    async def _by_delta(self, asked: Asked, metrics: MetricsQuery) -> Brought | None:
        """Ask for what is new, where the rest is known well enough; None where that did not serve."""
        if asked.whole or self._is_worth_all(asked, metrics):
            return None
        try:
            done = await self._deltas.refreshed(asked.tenant, metrics, asked.need)
        except (UpstreamBusy, KeyRefused):
            raise
        except UpstreamError as exc:
            # Next time it is asked for in full, once the failure is no longer remembered.
            self._memo.remember(Question(asked.tenant.fingerprint, asked.query.target), exc)
            raise
        if done is None:
            return None
        for extents in self._series.holding(asked.tenant, metrics):
            plan = plan_of(extents, metrics)
            if plan is not None and plan.tail_at_s >= done.started_s:
                entry = await self._series.compute(asked.tenant, asked.query, plan, extents)
                if entry is None:
                    return None
                fetched = Fetched(tenant=asked.tenant, entry=entry, stored=True, elapsed_s=done.elapsed_s)
                return Brought(fetched=fetched, collapsed=done.collapsed, made=Made.DELTA)
            if plan is None and not is_outstanding(extents, metrics):
                # It has grown too long, or unclear.
                self._series.runs.note_vain(extents.question.windowed, metrics)
        return None

    def _is_worth_all(self, asked: Asked, metrics: MetricsQuery) -> bool:
        """Tell whether asking for all series of a run now makes one call do for all of them from now on."""
        if self._series.runs.asked(metrics) != metrics.whole:
            return False
        return not any(window.question.name is None for window in self._series.holding(asked.tenant, metrics))
