"""Long series put together from windows, in the background, once it is worth it.

A series that has more rows than one answer can be proven to hold is asked for by each query as it came. Where several such
queries came within a while, the series is asked for window by window, and these are joined. From then on it is like any other
series: answers about it are computed, and a delta refreshes it.
"""

import asyncio
import math
from dataclasses import replace
from typing import NamedTuple

import structlog
from cachetools import TTLCache

from proxy.clock import Clock
from proxy.core.proof.known_rows import PROVING_ROWS
from proxy.core.series.extents import Extents, Known
from proxy.core.series.joining import merged
from proxy.core.series.metrics_query import MetricsQuery
from proxy.core.series.windows import divided, fewer, planned
from proxy.errors import UpstreamError
from proxy.service.fetching.fetcher import Fetcher
from proxy.service.fetching.need import Need, Reason
from proxy.service.knowledge.learner import Learner
from proxy.service.knowledge.shelves import Shelves
from proxy.service.lifetimes.run_lifetimes import RunLifetimes
from proxy.service.proof.proving import Prover
from proxy.service.series.interest import WATCHED_S
from proxy.service.tenancy import Tenant
from proxy.upstream.exchange import Bounds

# A series is put together after so many questions about it within WATCHED_S, and at least as many as it has windows.
_LEAST = 3
_MOST_WATCHED = 1_000
# A series that could not be put together isn't tried again for so many seconds.
_AGAIN_S = 300.0
_log = structlog.get_logger()


class _Steps(NamedTuple):
    """Steps that are known of a series, and how many rows each of them stands for, by a guess (`density`)."""

    steps: list[int]
    density: float

    @property
    def rows(self) -> float:
        return len(self.steps) * self.density

    def within(self, first: int, last: int | None) -> list[int]:
        return [step for step in self.steps if step >= first and (last is None or step <= last)]


class Assembler:
    """Puts long series together."""

    def __init__(
        self,
        *,
        fetcher: Fetcher,
        prover: Prover,
        learner: Learner,
        shelves: Shelves,
        lifetimes: RunLifetimes,
        clock: Clock,
        bounds: Bounds,
    ) -> None:
        """`bounds`: how large the answer to a window may be. A whole series may have `bounds.rows` rows, too."""
        self._fetcher = fetcher
        self._prover = prover
        self._learner = learner
        self._shelves = shelves
        self._lifetimes = lifetimes
        self._clock = clock
        self._bounds = bounds
        self._most_rows = math.inf if bounds.rows is None else bounds.rows
        # By series: the questions that were asked about it, and when, the latest at the end.
        self._asked: TTLCache[MetricsQuery, dict[MetricsQuery, float]] = TTLCache(
            _MOST_WATCHED, WATCHED_S, timer=clock.monotonic_s
        )
        self._given_up: TTLCache[MetricsQuery, None] = TTLCache(_MOST_WATCHED, _AGAIN_S, timer=clock.monotonic_s)
        self._running: dict[MetricsQuery, asyncio.Task[None]] = {}
        self.assembled = 0

    @property
    def in_flight(self) -> int:
        """How many series are being put together now."""
        return len(self._running)

    def note(self, tenant: Tenant, question: MetricsQuery, need: Need) -> None:
        """Note a question that has to be asked as it came. Perhaps begin to put its series together."""
        series = question.in_full
        if question.name is None or series in self._running or series in self._given_up:
            return
        questions = self._asked[series] = self._lately(series, question)
        known = self._steps(tenant, series) if len(questions) >= _LEAST else None
        if known is None or known.rows > self._most_rows:
            return
        # As many questions as the series has windows: their calls would have been enough to put it together.
        if len(questions) < known.rows / (series.limit // 2):
            return
        del self._asked[series]
        task = asyncio.get_running_loop().create_task(self._guarded(tenant, series, known, need), name="assembling.run")
        self._running[series] = task
        task.add_done_callback(lambda _: self._running.pop(series))

    def _lately(self, series: MetricsQuery, question: MetricsQuery) -> dict[MetricsQuery, float]:
        """Return the questions about a series in the last `WATCHED_S`, this one included, and when each was asked last."""
        now_s = self._clock.monotonic_s()
        questions = self._asked.get(series, {})
        questions.pop(question, None)
        questions[question] = now_s
        while questions[oldest := next(iter(questions))] <= now_s - WATCHED_S or len(questions) > _MOST_WATCHED:
            del questions[oldest]
        return questions

    async def aclose(self) -> None:
        """End what is under way."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _steps(self, tenant: Tenant, series: MetricsQuery) -> _Steps | None:
        """Return the steps that are known of a series, None where none are."""
        for extents in self._shelves.known(tenant, series).windows:
            extent = extents.by_name.get(series.name or "")
            if extent is not None and extent.known in {Known.SOME, Known.ALL} and extent.steps:
                # Nobody knows how many rows were left out between those of a sampled answer. One after each is a good guess.
                return _Steps(list(extent.steps), 1.0 if extent.known is Known.ALL else 2.0)
        return None

    async def _guarded(self, tenant: Tenant, series: MetricsQuery, known: _Steps, need: Need) -> None:
        done = False
        try:
            done = await self._run(tenant, series, known, need)
        except UpstreamError:
            pass
        except Exception:  # noqa: BLE001 -- nobody waits for it who could tell
            _log.exception("series.crashed", key=series.query.target)
        if not done:
            self._given_up[series] = None
        _log.info("series.assembled" if done else "series.not_assembled", key=series.query.target)

    async def _run(self, tenant: Tenant, series: MetricsQuery, known: _Steps, need: Need) -> bool:
        """Ask for window after window, smaller ones where one had too many rows; return whether the whole came together."""
        provable = series.limit // 2
        every = planned(provable, density=known.density)
        whole: Extents | None = None
        begin: int | None = series.first
        while begin is not None and every:
            first, last = divided(known.steps, begin, every=every)[0]
            came = await self._ask(tenant, replace(series, first=_overlapping(whole, first), last=last), need, whole)
            extent = None if came is None else came.by_name.get(series.name or "")
            if extent is not None and extent.known is Known.SOME:
                every = fewer(every, provable, steps=len(known.within(first, last)), returned=len(extent.steps))
                continue
            whole = came if whole is None or came is None else merged(whole, came)
            if whole is None or whole.rows > self._most_rows or (extent is not None and extent.known is not Known.ALL):
                return False
            begin = None if last is None else last + 1
        if whole is None or begin is not None or not self._shelves.is_open:
            return False
        fresh_s = self._lifetimes.of(series.query, tenant).fresh_s
        await self._learner.install(tenant, whole, persist=need.persist, fresh_s=fresh_s)
        self.assembled += 1
        return True

    async def _ask(self, tenant: Tenant, question: MetricsQuery, need: Need, before: Extents | None) -> Extents | None:
        """Return a window of a series: proven whole, or sampled if it had too many rows; None where neither could be had."""
        need = replace(
            need,
            keep_answer=False,
            urgent=False,
            bounds=self._bounds,
            not_before_s=self._clock.now_s(),
            on_failure=None,
            parser=self._prover.parser(question),
            reason=Reason.LOAD,
        )
        fetched, _ = await self._fetcher.fetch(tenant, question.query, need)
        if fetched.entry.status != 200 or fetched.tenant is not tenant:
            return None
        extents = await self._prover.take_apart(fetched, question)
        if extents is None:
            return None
        whole = self._prover.prove_by_known(fetched, extents, [] if before is None else [before])
        if whole is not None or any(extent.known is Known.SOME for extent in extents.by_name.values()):
            return whole or extents
        return await self._prover.prove_by_probes(fetched, extents, need)


def _overlapping(before: Extents | None, first: int) -> int:
    """Return the step from which a window is asked for: it begins with the last rows of the one before, which prove it."""
    extent = None if before is None else next(iter(before.by_name.values()), None)
    return first if extent is None or len(extent.steps) < PROVING_ROWS else min(first, extent.steps[-PROVING_ROWS])
