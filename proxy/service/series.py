"""Metric questions answered from what other questions brought, and asked so that others can be answered.

`core.extents` has the theory. Here is which answers are looked at, and which question is asked where none of them will do. A
wide answer is an entry like any other, under its own question, on disk as well: what is computed from it has its age, and a
refresh of it is one of all that it holds.
"""

import asyncio
import math
from typing import NamedTuple

import msgspec
import structlog
from cachetools import LRUCache

from proxy.core.entry import Entry, digest_of
from proxy.core.extents import Extents, answer, split
from proxy.core.keeping import Keeping
from proxy.core.metrics_query import MetricsQuery, metrics_query
from proxy.core.projects import project_of
from proxy.core.query import Query, question
from proxy.core.routes import DETAILS
from proxy.service.checks import Checks
from proxy.service.encoder import Encoder
from proxy.service.runs import Runs
from proxy.service.tenancy import Tenant
from proxy.store.tiers import TieredStore

# Taking 1,000 rows apart takes about 2 ms.
_INLINE_BYTES = 65_536
# `details` lists no more names than this.
_MOST_NAMES = 1_000
_log = structlog.get_logger()


class _Held(NamedTuple):
    digest: str
    extents: Extents | None
    size_bytes: int


class _LogName(msgspec.Struct):
    logType: str = "METRIC"  # noqa: N815 -- the upstream's own field name


class _Details(msgspec.Struct):
    projectName: str  # noqa: N815
    logNames: list[_LogName]  # noqa: N815


class Series:
    """Computes answers, and widens questions."""

    def __init__(
        self,
        store: TieredStore,
        encoder: Encoder,
        runs: Runs,
        checks: Checks,
        *,
        enabled: bool,
        max_bytes: int,
        memory_bytes: int,
    ) -> None:
        self._store = store
        self._encoder = encoder
        self._runs = runs
        self.checks = checks
        checks.distrusted = self._forget
        self._enabled = enabled
        self.max_bytes = max_bytes
        self._held: LRUCache[tuple[str, str], _Held] = LRUCache(memory_bytes, getsizeof=lambda held: held.size_bytes)
        self._taking: dict[tuple[str, str, str], asyncio.Task[Extents | None]] = {}
        self.computed = 0

    def understood(self, query: Query) -> MetricsQuery | None:
        """Take a question apart; None where it is only ever asked as it is."""
        if not self._enabled:
            return None
        if not self.checks.trusted:
            self.checks.look_again(metrics_query(query))
            return None
        return metrics_query(query)

    async def lookup(self, tenant: Tenant, query: Query, asked: MetricsQuery, *, newer_than_s: float) -> Entry | None:
        """Return an answer computed from the newest stored one that holds it, if that was asked for after `newer_than_s`."""
        self._runs.watch(asked)
        sources = [(source, source.query) for source in asked.sources]
        stored = await asyncio.gather(*(self._store.get(tenant.namespace, wider.target) for _, wider in sources))
        found = [
            (entry, source, wider)
            for entry, (source, wider) in zip(stored, sources, strict=True)
            if entry is not None and entry.sent_at_s > newer_than_s
        ]
        for entry, source, wider in sorted(found, key=lambda place: place[0].sent_at_s, reverse=True):
            computed = await self.compute(tenant, query, asked, source=source, target=wider.target, entry=entry)
            if computed is not None:
                return computed
            # A newer one of the same kind would be of as little use: it isn't asked for to refresh this one.
            self.note_vain(source, asked)
        return None

    async def compute(
        self, tenant: Tenant, query: Query, asked: MetricsQuery, *, source: MetricsQuery, target: str, entry: Entry
    ) -> Entry | None:
        """Return the answer to `query` made of the one to `source`, kept like any other; None where that is uncertain."""
        extents = await self._extents((tenant.namespace, target), source, entry)
        # That the rule is broken may have been found out while the answer was taken apart.
        if extents is None or not self.checks.trusted or (body := answer(extents, asked)) is None:
            return None
        self.checks.note(extents)
        self.computed += 1
        self.checks.compare(asked, body, source)
        self._runs.note_rows(asked, max((len(extent.steps) for extent in extents.by_name.values()), default=0))
        computed = Entry(body=body, sent_at_s=entry.sent_at_s, digest=digest_of(body))
        self._encoder.keep(tenant, query.target, computed, Keeping.MEMORY)
        return computed

    def to_ask(self, query: Query, asked: MetricsQuery | None) -> tuple[MetricsQuery | None, Query]:
        """Return the question to ask upstream for another one: taken apart, and as it is sent."""
        if asked is None or (wider := self._runs.asked(asked)) == asked:
            return asked, query
        return wider, wider.query

    def size_question(self, asked: MetricsQuery) -> Query | None:
        """Return the question whose answer tells how large the run is, None where that is known or wouldn't help."""
        return question(DETAILS, {}, segment=asked.run) if self._runs.needs_size(asked) else None

    def note_size(self, asked: MetricsQuery, details: Entry) -> None:
        """Learn from an answer of `details` how many series a run has. One that doesn't exist has none."""
        if details.status != 200:
            self._runs.note_size(asked, 0 if details.status == 404 else math.inf)
            return
        try:
            told = msgspec.json.decode(details.body, type=_Details)
            # As one that doesn't exist: in this project it has nothing.
            names = told.logNames if told.projectName == asked.project else []
        except msgspec.DecodeError:
            names = [_LogName()] * _MOST_NAMES
        series = sum(name.logType == "METRIC" for name in names)
        self._runs.note_size(asked, math.inf if len(names) >= _MOST_NAMES else series)

    def is_of(self, asked: MetricsQuery, details: Entry) -> bool:
        """Tell whether an answer of `details` is about a run of the project asked for.

        Another's is no use where it is stored: asked for as one that doesn't exist would be, it tells nothing by its speed.
        """
        return project_of(details.body) == asked.project

    def note_vain(self, wider: MetricsQuery, asked: MetricsQuery) -> None:
        """Learn that the answer to so much was of no use for a question."""
        if self.checks.trusted:
            self._runs.note_vain(wider, asked)

    def note_hopeless(self, wider: MetricsQuery) -> None:
        """Learn that asking for so much brings no answer."""
        self._runs.note_hopeless(wider)

    def note_no_size(self, asked: MetricsQuery) -> None:
        """Learn that nobody can say now how large a run is."""
        self._runs.note_no_size(asked)

    def _forget(self) -> None:
        """Forget what was computed, and with it everything in memory: on disk is only what the upstream said itself."""
        self._held.clear()
        self._store.memory.clear()

    async def _extents(self, place: tuple[str, str], source: MetricsQuery, entry: Entry) -> Extents | None:
        held = self._held.get(place)
        if held is not None and held.digest == entry.digest:
            return held.extents
        if len(entry.body) <= _INLINE_BYTES:
            return self._hold(place, entry, _taken_apart(entry.body, source))
        # Everybody who waits for a wide answer comes here at once: it is taken apart once for all of them.
        taken = (*place, entry.digest)
        if (task := self._taking.get(taken)) is None:
            task = asyncio.get_running_loop().create_task(self._take_apart(place, source, entry))
            self._taking[taken] = task
            task.add_done_callback(lambda _: self._taking.pop(taken))
        return await asyncio.shield(task)

    async def _take_apart(self, place: tuple[str, str], source: MetricsQuery, entry: Entry) -> Extents | None:
        return self._hold(place, entry, await asyncio.to_thread(_taken_apart, entry.body, source))

    def _hold(self, place: tuple[str, str], entry: Entry, extents: Extents | None) -> Extents | None:
        size_bytes = len(entry.body) + (0 if extents is None else extents.size_bytes)
        if size_bytes <= self._held.maxsize:
            self._held[place] = _Held(entry.digest, extents, size_bytes)
        return extents


def _taken_apart(body: bytes, source: MetricsQuery) -> Extents | None:
    try:
        return split(body, source)
    except ValueError as exc:
        _log.warning("series.not_understood", key=source.query.target, reason=str(exc))
        return None
