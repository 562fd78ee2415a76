"""Long series looked at again, stretch by stretch: rows may have been written again, come late, or been deleted.

A series that one answer can hold is asked for in full every `series.rewrite_check_s`. A longer one is asked for in stretches
that take turns (`core.series.looks`), so that all of it is looked at in that time without a burst. Whenever what is new of a
run was asked for, the stretches that are due follow in the background. They give way to everything that somebody waits for.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import replace

import structlog

from proxy.clock import Clock
from proxy.core.proof.known_rows import PROVING_ROWS
from proxy.core.series.extents import Extents, is_long, looks_at
from proxy.core.series.long_rows import place_of
from proxy.core.series.looks import Stretch, Turns, due
from proxy.core.series.metrics_query import MetricsQuery
from proxy.errors import UpstreamError
from proxy.service.fetching.fetcher import Fetcher
from proxy.service.fetching.need import Need, Reason
from proxy.service.knowledge.learner import Learner
from proxy.service.proof.evidence import Evidence
from proxy.service.proof.proving import Prover
from proxy.service.proof.splitter import Splitter
from proxy.service.series.own_bounds import own_bounds
from proxy.service.tenancy import Tenant
from proxy.settings import Settings
from proxy.tasks import end_tasks

# All of a series is looked at within this share of `series.rewrite_check_s`: the rest is for calls that wait or fail.
_PERIOD = 0.75
# A stretch has this share of the rows that an answer proves to be all: some may have come in between. Twice as many would
# need a probe each.
_FILLED = 0.9
# A stretch in which something had changed is looked at again after this share of the usual time.
_AGAIN = 0.5
_log = structlog.get_logger()


class Rotation:
    """Looks at long series again."""

    def __init__(
        self,
        *,
        fetcher: Fetcher,
        splitter: Splitter,
        evidence: Evidence,
        prover: Prover,
        learner: Learner,
        clock: Clock,
        settings: Settings,
    ) -> None:
        self._fetcher = fetcher
        self._splitter = splitter
        self._evidence = evidence
        self._prover = prover
        self._learner = learner
        self._clock = clock
        self._settings = settings
        self._running: dict[MetricsQuery, asyncio.Task[None]] = {}
        self.changes = 0
        """In how many stretches something had changed."""

    @property
    def _period_s(self) -> float:
        """In how many seconds all of a series is looked at."""
        return _PERIOD * self._settings.now.series.rewrite_check_s

    def look(self, tenant: Tenant, windows: Iterable[Extents], need: Need) -> None:
        """Begin to look at what is due of the long series among windows that are being watched."""
        for window in windows:
            series = window.question.in_full
            if window.question.last is not None or not is_long(window) or series in self._running:
                continue
            if stretches := self._due(window):
                looking = self._look(tenant, window, stretches, need)
                task = asyncio.get_running_loop().create_task(looking, name="rotation.look")
                self._running[series] = task
                task.add_done_callback(lambda _, series=series: self._running.pop(series))  # type: ignore[misc]  # mypy infers no lambda with a default

    @property
    def in_flight(self) -> int:
        """How many series are being looked at now."""
        return len(self._running)

    async def aclose(self) -> None:
        """End what is under way."""
        await end_tasks(self._running.values())

    def _due(self, window: Extents) -> list[Stretch]:
        extent = window.by_name[window.question.name or ""]
        most = min(window.question.limit, self._settings.now.series.max_fetch_rows)
        turns = Turns(rows=max(1, int(_FILLED * most / 2) - PROVING_ROWS), period_s=self._period_s)
        looks = looks_at(extent, window.question.first)
        return due(looks, extent.steps, turns, now_s=self._clock.now_s())

    async def _look(self, tenant: Tenant, window: Extents, stretches: Iterable[Stretch], need: Need) -> None:
        try:
            for stretch in stretches:
                await self._look_at(tenant, window, stretch, need)
        except UpstreamError:
            pass  # it is due again after the next refresh
        except Exception:  # noqa: BLE001 -- nobody waits for it who could tell
            _log.exception("series.crashed", key=window.question.query.target)

    async def _look_at(self, tenant: Tenant, window: Extents, stretch: Stretch, need: Need) -> None:
        """Ask for a stretch, and for the last rows before it, which show that it has no gaps."""
        extent = window.by_name[window.question.name or ""]
        before = place_of(extent.steps, stretch.first) - PROVING_ROWS
        first = extent.steps[before] if before > 0 else window.question.first
        question = replace(window.question.densest, first=min(first, stretch.first), last=stretch.last)
        need = need.in_background(
            self._clock.now_s(), own_bounds(self._settings), Reason.ROTATION, self._splitter.parser(question)
        )
        fetched, _ = await self._fetcher.fetch(tenant, question.query, need)
        if fetched.entry.status != 200 or fetched.tenant is not tenant:
            return
        came = await self._splitter.take_apart(fetched, question)
        if came is None:
            return
        whole = self._evidence.prove_stretch(fetched, came, window)
        if whole is None:
            whole = await self._prover.prove_by_probes(fetched, came, need)
        if whole is not None:
            self.changes += await self._learner.recheck(tenant, whole, again_s=_AGAIN * self._period_s, persist=need.persist)
