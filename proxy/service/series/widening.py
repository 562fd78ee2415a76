"""Metric questions asked wide: one that holds the question, and probably the next ones, is asked in its place and taken apart.

`service.series.runs` says which one. What it brings is kept as extents; the answer is computed from them. Where it didn't
serve, that
is remembered, and the question is asked as it came."""

import asyncio
import math
from dataclasses import dataclass, replace
from functools import partial

import msgspec

from proxy.clock import Clock
from proxy.core.access.projects import project_of
from proxy.core.freshness.entry import Entry, tombstone
from proxy.core.freshness.outcome import Made
from proxy.core.freshness.verdict import Verdict, judge
from proxy.core.question.keeping import Keeping
from proxy.core.question.query import Query, question
from proxy.core.question.routes import DETAILS
from proxy.core.series.extents import Extents, Known, plan_of
from proxy.core.series.metrics_query import MetricsQuery
from proxy.core.surrogates import read_json
from proxy.errors import AnswerTooLarge, KeyRefused, UpstreamBusy, UpstreamError
from proxy.service.fetching.encoder import Encoder
from proxy.service.fetching.fetcher import Fetcher
from proxy.service.fetching.memo import Memo
from proxy.service.fetching.need import Fetched, Need
from proxy.service.fetching.question import Question
from proxy.service.fetching.tenancy import Tenant
from proxy.service.proof.proving import Prover
from proxy.service.series.series import Series
from proxy.service.status.lifetimes import RunLifetimes
from proxy.service.status.statuses import Statuses
from proxy.store.tiers import TieredStore
from proxy.upstream.exchange import Bounds

# A run gains series in its first minutes; how many it has only decides what is asked at once.
SIZE_S = 3600.0
# How often it is looked at whether what waits in the line has gone.
_LEAST_S = 0.05
# `details` lists no more names than this.
_MOST_NAMES = 1_000


class _LogName(msgspec.Struct):
    logType: str = "METRIC"  # noqa: N815 -- the upstream's own field name


class _Details(msgspec.Struct):
    projectName: str  # noqa: N815 -- the upstream's own field names
    logNames: list[_LogName]  # noqa: N815 -- as above


_details = msgspec.json.Decoder(_Details)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question on its way upstream.

    `metrics` is the question taken apart, None where it can only be asked as it came. `whole`: nothing but an answer about all
    of it will do. `patience_s`: how long anything may be waited for that is no part of the answer.
    """

    tenant: Tenant
    query: Query
    metrics: MetricsQuery | None
    need: Need
    whole: bool
    patience_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Brought:
    """What came of asking. `collapsed`: a call that was under way served; `made`: how the answer came about."""

    fetched: Fetched
    collapsed: bool
    made: Made | None = None


class Widening:
    """Asks wide."""

    def __init__(
        self,
        *,
        fetcher: Fetcher,
        series: Series,
        prover: Prover,
        statuses: Statuses,
        store: TieredStore,
        encoder: Encoder,
        memo: Memo,
        lifetimes: RunLifetimes,
        clock: Clock,
        bounds: Bounds,
    ) -> None:
        """`bounds`: how large an answer may be that nobody asked for."""
        self._fetcher = fetcher
        self._series = series
        self._prover = prover
        self._statuses = statuses
        self._store = store
        self._encoder = encoder
        self._memo = memo
        self._lifetimes = lifetimes
        self._clock = clock
        self._bounds = bounds
        self._late: set[asyncio.Task[tuple[Fetched, bool]]] = set()

    async def ask(self, asked: Asked, metrics: MetricsQuery) -> Brought | None:
        """Ask for more than was asked for, where that serves the next questions too; None where it did not serve this one."""
        # That what was empty still is, its own question tells at the least cost, unless only this window of it is empty.
        runs = self._series.runs
        alone = self._series.is_known_empty(asked.tenant, metrics) and runs.is_promising(metrics.wide, metrics)
        wider = metrics.wide if alone else runs.asked(metrics)
        if wider != wider.windowed:
            return None
        if wider.name is not None and self._series.runs.is_first_look(metrics) and not self._prover.is_cheap(wider):
            return None  # nothing that is asked for once is worth a proof
        return await (self._ask_itself(asked, metrics) if wider == metrics else self._ask_wider(asked, metrics, wider))

    async def _ask_itself(self, asked: Asked, metrics: MetricsQuery) -> Brought:
        """Ask a question that is as wide as can be: its answer is kept taken apart, or as it is where that isn't possible."""
        need = replace(asked.need, persist=False, taking=self._series.taking(metrics))
        fetched, collapsed = await self._fetcher.fetch(asked.tenant, asked.query, need)
        if fetched.entry.status == 200 and (entry := await self._computed(asked, metrics, metrics, fetched)) is not None:
            return Brought(fetched=replace(fetched, entry=entry, stored=True), collapsed=collapsed)
        if fetched.stored and asked.need.persist:
            stored = self._encoder.keep(fetched.tenant, asked.query.target, fetched.entry, asked.query.keeping)
            fetched = replace(fetched, stored=stored)
        return Brought(fetched=fetched, collapsed=collapsed)

    async def _ask_wider(self, asked: Asked, metrics: MetricsQuery, wider: MetricsQuery) -> Brought | None:
        runs = self._series.runs
        in_vain = partial(self._note_vain, wider)
        need = replace(asked.need, persist=False, bounds=self._bounds, in_vain=in_vain, taking=self._series.taking(wider))
        try:
            fetched, collapsed = await self._fetched(asked, wider, need)
        except AnswerTooLarge as exc:
            in_vain(exc)
            return None
        except (UpstreamBusy, KeyRefused):
            raise
        except UpstreamError as exc:
            # Perhaps it was too much: next time it is asked for as it came, once the failure is no longer remembered.
            in_vain(exc)
            self._memo.remember(Question(asked.tenant.fingerprint, asked.query.target), exc)
            raise
        if fetched.entry.status != 200:
            in_vain(None)  # what is said to another question is no answer to this one
            return None
        entry = await self._computed(asked, metrics, wider, fetched)
        if entry is not None:
            self._let_go(fetched, wider)
            made = Made.SERIES if wider == wider.wide else Made.WINDOW
            return Brought(fetched=replace(fetched, entry=entry, stored=True), collapsed=collapsed, made=made)
        forgotten = fetched.entry.sent_at_s <= self._series.shelves.since_s
        if self._series.checks.trusted and not forgotten and runs.is_promising(wider, metrics):
            runs.note_vain(wider, metrics)
        return None

    def _let_go(self, fetched: Fetched, wider: MetricsQuery) -> None:
        """Let go of a wide answer that nobody asked for, once it is taken apart: memory would hold every row of it twice."""
        namespace, key = fetched.tenant.namespace, wider.query.target
        if self._store.memory.peek(namespace, key) is fetched.entry and self._series.is_known(fetched.tenant, wider):
            self._store.memory.put(namespace, key, tombstone(fetched.entry.sent_at_s))

    def _note_vain(self, wider: MetricsQuery, error: UpstreamError | None) -> None:
        runs = self._series.runs
        if error is None or isinstance(error, AnswerTooLarge):
            runs.note_hopeless(wider)
        else:
            runs.note_failed(wider)

    async def _fetched(self, asked: Asked, wider: MetricsQuery, need: Need) -> tuple[Fetched, bool]:
        """Fetch a wide answer, unless it came a moment ago and is still being taken apart."""
        entry = self._store.memory.peek(asked.tenant.namespace, wider.query.target)
        # What a delta was added to would seem to have been asked for in full.
        if entry is not None and entry.sent_at_s >= need.not_before_s and entry.whole_at_s is None:
            lifetimes = self._lifetimes.of(wider.query, asked.tenant)
            newer = asked.need.refreshed_s < entry.sent_at_s
            if newer and judge(entry, self._clock.now_s(), lifetimes) is Verdict.FRESH:
                return Fetched(tenant=asked.tenant, entry=entry, stored=True), False
        return await self._fetcher.fetch(asked.tenant, replace(wider.query, moving=True), need)

    async def _computed(self, asked: Asked, metrics: MetricsQuery, wider: MetricsQuery, fetched: Fetched) -> Entry | None:
        """Take an answer apart, keep it, and compute another one from it."""
        series = self._series
        extents = series.installed(fetched.tenant, wider, fetched.entry.sent_at_s)
        if extents is None:
            extents = await self._proven(asked, metrics, wider, fetched)
        if extents is None or not series.checks.trusted:
            return None
        fresh_s = self._lifetimes.of(asked.query, fetched.tenant).fresh_s
        held = await series.install(fetched.tenant, extents, persist=asked.need.persist, fresh_s=fresh_s)
        plan = plan_of(extents, metrics)
        if plan is None or (entry := await series.compute(fetched.tenant, asked.query, plan, extents)) is None:
            return None
        if not held and asked.need.persist:
            self._encoder.keep(fetched.tenant, asked.query.target, entry, Keeping.DISK)
        return entry

    async def _proven(self, asked: Asked, metrics: MetricsQuery, wider: MetricsQuery, fetched: Fetched) -> Extents | None:
        """Take an answer apart, and return it if it is proven whole."""
        extents = await self._series.taken_apart(fetched, wider)
        if extents is None:
            return None
        self._series.runs.note_rows(metrics, max((len(extent.steps) for extent in extents.by_name.values()), default=0))
        shelves, tenant = self._series.shelves, fetched.tenant
        known = [*shelves.peek(tenant, wider.wide), *shelves.peek(tenant, replace(wider.wide, name=None))]
        whole = self._prover.judge(fetched, extents, known)
        if whole is not None or _tells_nothing(extents):
            self._series.runs.note_proven(wider)
            return whole or extents
        proven = await self._prover.prove(fetched, extents, asked.need)
        if proven is None:
            self._series.runs.note_unproven(wider)
        else:
            self._series.runs.note_proven(wider)
        return proven

    async def learn_size(self, asked: Asked, metrics: MetricsQuery) -> None:
        """Learn how large the run is, where somebody looks at several of its series: perhaps one call will do for all."""
        runs = self._series.runs
        if not runs.needs_size(metrics):
            return
        details = question(DETAILS, {}, segment=metrics.run)
        entry = await self._store.get(asked.tenant.namespace, details.target)
        # What is stored of another project's run is no use: asked for as one that doesn't exist would be, it tells nothing by
        # its speed.
        if entry is None or self._clock.now_s() - entry.sent_at_s > SIZE_S or project_of(entry.body) != metrics.project:
            try:
                entry = await self._told(asked, metrics, details)
            except (UpstreamBusy, KeyRefused):
                raise
            except (UpstreamError, TimeoutError):
                runs.note_no_size(metrics)
                return
        self._statuses.heard(asked.tenant, metrics.run, metrics.project, entry)
        runs.note_size(metrics, _series_in(entry, metrics.project))

    async def _told(self, asked: Asked, metrics: MetricsQuery, details: Query) -> Entry:
        """Return a run's details. Raises UpstreamError, and TimeoutError where the upstream takes long.

        The line is no part of that: the question itself would have to stand in it as well, and be one of many.
        """
        need = replace(asked.need, not_before_s=-math.inf)
        asking = asyncio.ensure_future(self._fetcher.fetch(asked.tenant, details, need))
        late = sent = False
        try:
            while not (await asyncio.wait([asking], timeout=max(asked.patience_s, _LEAST_S)))[0]:
                # The patience counts from when it has left the line, or a little later.
                late, sent = sent, not self._fetcher.is_in_line(asked.tenant, details)
                if late:
                    raise TimeoutError
            return (await asking)[0].entry
        finally:
            if late:
                self._late.add(asking)
                asking.add_done_callback(partial(self._came_late, metrics))
            else:
                asking.cancel()

    def _came_late(self, metrics: MetricsQuery, asking: "asyncio.Task[tuple[Fetched, bool]]") -> None:
        """Take notice of details that nobody waited for any more: the next question is asked knowing them."""
        self._late.discard(asking)
        if not asking.cancelled() and asking.exception() is None:
            self._series.runs.note_size(metrics, _series_in(asking.result()[0].entry, metrics.project))


def _tells_nothing(extents: Extents) -> bool:
    """Tell whether nothing would be computed from an answer: not what it holds, nor that it holds nothing else."""
    return extents.question.name is not None and not any(one.known is Known.ALL for one in extents.by_name.values())


def _series_in(details: Entry, project: str) -> float:
    """Return how many series a run has in a project by its details, infinite where nobody can say; none if it isn't there."""
    if details.status != 200:
        return 0 if details.status == 404 else math.inf
    try:
        told = read_json(_details, details.body)
    except msgspec.DecodeError:
        return math.inf
    names = told.logNames if told.projectName == project else []
    return math.inf if len(names) >= _MOST_NAMES else sum(name.logType == "METRIC" for name in names)
