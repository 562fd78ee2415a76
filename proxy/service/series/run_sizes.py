"""How many series a run has, as its details tell: that decides whether one call may do for all of them."""

import asyncio
import math
from dataclasses import replace
from functools import partial

import msgspec

from proxy.clock import Clock
from proxy.core.access.projects import project_of
from proxy.core.freshness.entry import Entry
from proxy.core.question.query import Query, question
from proxy.core.question.routes import DETAILS
from proxy.core.series.metrics_query import MetricsQuery
from proxy.core.surrogates import read_json
from proxy.errors import KeyRefused, UpstreamBusy, UpstreamError
from proxy.service.fetching.fetcher import Fetcher
from proxy.service.fetching.need import Fetched
from proxy.service.series.wanted import WantedSeries
from proxy.service.series.widening_policy import WideningPolicy
from proxy.service.statuses import Statuses
from proxy.store.tiers import TieredStore

# Stored details serve up to this age, seconds: a run gains most series early, and nothing but what is asked depends on it.
SIZE_S = 3600.0
# How often, in seconds, it is looked at whether a call has left the line.
_LEAST_S = 0.05
# `details` lists no more names than this.
_MOST_NAMES = 1_000


class _LogName(msgspec.Struct):
    logType: str = "METRIC"  # noqa: N815 -- the upstream's own field name


class _Details(msgspec.Struct):
    projectName: str  # noqa: N815 -- the upstream's own field names
    logNames: list[_LogName]  # noqa: N815 -- as above


_details = msgspec.json.Decoder(_Details)


class RunSizes:
    """Learns the sizes of runs, where that helps."""

    def __init__(self, store: TieredStore, fetcher: Fetcher, statuses: Statuses, policy: WideningPolicy, clock: Clock) -> None:
        self._store = store
        self._fetcher = fetcher
        self._statuses = statuses
        self._policy = policy
        self._clock = clock
        self._unawaited: set[asyncio.Task[tuple[Fetched, bool]]] = set()

    async def learn(self, wanted: WantedSeries) -> None:
        """Learn how many series a question's run has, where somebody looks at several of them.

        Raises UpstreamBusy and KeyRefused.
        """
        metrics = wanted.metrics
        if not self._policy.needs_size(metrics):
            return
        details = question(DETAILS, {}, segment=metrics.run)
        entry = await self._store.get(wanted.tenant.namespace, details.target)
        # Stored details of another project's run don't serve: asking for them takes as long as for a run that doesn't exist,
        # so that the time tells nothing.
        if entry is None or self._clock.now_s() - entry.sent_at_s > SIZE_S or project_of(entry.body) != metrics.project:
            try:
                entry = await self._fetch_details(wanted, details)
            except (UpstreamBusy, KeyRefused):
                raise
            except (UpstreamError, TimeoutError):
                self._policy.note_no_size(metrics)
                return
        self._statuses.note_details(wanted.tenant, metrics.run, metrics.project, entry)
        self._policy.note_size(metrics, _series_in(entry, metrics.project))

    async def _fetch_details(self, wanted: WantedSeries, details: Query) -> Entry:
        """Return a run's details. Raises UpstreamError, and TimeoutError where the upstream takes longer than `extra_wait_s`.

        The time in the line doesn't count: the query itself would have to stand in it as well.
        """
        asking = asyncio.ensure_future(
            self._fetcher.fetch(wanted.tenant, details, replace(wanted.need, not_before_s=-math.inf))
        )
        late = sent = False
        try:
            while not (await asyncio.wait([asking], timeout=max(wanted.extra_wait_s, _LEAST_S)))[0]:
                # The time counts from when the call has left the line, or a little later.
                late, sent = sent, not self._fetcher.is_in_line(wanted.tenant, details)
                if late:
                    raise TimeoutError
            return (await asking)[0].entry
        finally:
            if late:
                self._unawaited.add(asking)
                asking.add_done_callback(partial(self._note_late, wanted.metrics))
            else:
                asking.cancel()

    def _note_late(self, metrics: MetricsQuery, asking: "asyncio.Task[tuple[Fetched, bool]]") -> None:
        """Note the size by details that nobody waited for any more: it serves the next query."""
        self._unawaited.discard(asking)
        if not asking.cancelled() and asking.exception() is None:
            self._policy.note_size(metrics, _series_in(asking.result()[0].entry, metrics.project))


def _series_in(details: Entry, project: str) -> float:
    """Return how many series a run has in a project by its details: infinite where they don't tell, 0 where it isn't there."""
    if details.status != 200:
        return 0 if details.status == 404 else math.inf
    try:
        told = read_json(_details, details.body)
    except msgspec.DecodeError:
        return math.inf
    names = told.logNames if told.projectName == project else []
    return math.inf if len(names) >= _MOST_NAMES else sum(name.logType == "METRIC" for name in names)
