"""Which lifetimes hold for a query: those of its route, or those of a run that has ended."""

import math
from collections.abc import Mapping, Sequence
from functools import partial

from cachetools import LRUCache

from proxy.clock import Clock
from proxy.core.freshness.entry import Entry
from proxy.core.freshness.verdict import Lifetimes, Verdict, judge
from proxy.core.question.query import Query
from proxy.core.question.route import Route
from proxy.core.question.routes import CHART_DATA, METRICS
from proxy.core.question.sqids import run_of_sqid
from proxy.core.series.metrics_query import MetricsQuery
from proxy.service.lifetimes.configured import stale_if_error_ended_s, table_of
from proxy.service.lifetimes.known_runs import KnownRuns, RunKey
from proxy.service.lifetimes.sightings import Sightings
from proxy.service.tenancy import Tenant
from proxy.settings import Settings

_MOST_RUNS = 10_000
# For so long after they were first seen, series of a run that has ended are refreshed as if it ran: by asking for what is new.
_NEW_S = 300.0


class RunLifetimes:
    """The lifetimes of every query. Those of metrics queries depend on whether the run has ended.

    It never asks the upstream: `service.statuses` and the fetcher note what they learn.
    """

    def __init__(
        self, settings: Settings, routes: Sequence[Route], known: KnownRuns, sightings: Sightings, clock: Clock
    ) -> None:
        self._settings = settings
        self._routes = routes
        self._known = known
        self._sightings = sightings
        self._clock = clock
        # Runs that had ended when their status was last known, and how often it had changed by then. The upstream may fail to
        # confirm it later.
        self._ended: LRUCache[RunKey, int] = LRUCache(_MOST_RUNS)
        settings.follow(self._renew)

    def _renew(self) -> None:
        self._table = table_of(self._settings.now, self._routes)
        self._stale_if_error_ended_s = stale_if_error_ended_s(self._settings.now)

    def usual(self, query: Query) -> Lifetimes:
        """Return the lifetimes of a query whose run has not ended."""
        return self._table.of(query)

    def of(self, query: Query, tenant: Tenant) -> Lifetimes:
        """Return the lifetimes that hold for a query now: those of the run of it whose answers live shortest."""
        usual = self._table.of(query)
        runs = _runs_of(query)
        if not runs:
            return usual
        stood_s = partial(self._sightings.stood_s, tenant.namespace, _series_of(query))
        fresh_s = math.inf
        for run in runs:
            key = RunKey(tenant.namespace, query.values["projectName"], run)
            known_status = self._known.known_status(key, stood_s=stood_s)
            if known_status.fresh_s is not None:
                self._ended[key] = known_status.changes
            elif self._ended.get(key) != known_status.changes:
                return usual
            fresh_s = min(fresh_s, known_status.fresh_s or 0.0)
        return usual.ended(fresh_s, stale_if_error_s=self._stale_if_error_ended_s)

    @property
    def status_changes(self) -> int:
        """How often what is known of the status of any run has changed."""
        return self._known.changes

    def status_changes_of(self, question: MetricsQuery, tenant: Tenant) -> int:
        """Return how often what is known of the status of a question's run has changed: its lifetimes are others then."""
        key = RunKey(tenant.namespace, question.project, question.run)
        return self._known.known_status(key, stood_s=lambda: 0.0).changes

    def judge(self, entry: Entry, query: Query, tenant: Tenant) -> Verdict:
        """Say what may be done with the entry of a query now."""
        return judge(entry, self._clock.now_s(), self.of(query, tenant))

    def live_since_s(self, question: MetricsQuery, tenant: Tenant) -> float | None:
        """Return since when a question's series may grow at any moment, as far as anybody knows; None where they don't grow.

        That is the wall time at which what is known of the run's status last changed: minus infinity where it never did. Series
        of a run that has ended are taken to grow until they have been seen to stand still for a while.
        """
        stood_s = self._sightings.stood_s(tenant.namespace, question.values)
        known_status = self._known.known_status(
            RunKey(tenant.namespace, question.project, question.run), stood_s=lambda: stood_s
        )
        return known_status.changed_s if stood_s < _NEW_S or known_status.fresh_s is None else None

    def note_answer(self, query: Query, tenant: Tenant, before: Entry | None, entry: Entry) -> None:
        """Note an answer of the upstream that is stored as it came. `before` is what was stored under the same key."""
        if not _runs_of(query):
            return
        # Rows that share a step may come in another order each time: that is no change.
        same = before is not None and len(before.body) == len(entry.body)
        # Means may come with other last digits: no more than rows tell that a run changed.
        if before is not None and not same and query.route is METRICS:
            key = RunKey(tenant.namespace, query.values["projectName"], query.values["runId"])
            self._known.note_change(key, entry.sent_at_s)
        known_s = before.sent_at_s if before is not None and same else entry.sent_at_s
        self._sightings.note(tenant.namespace, _series_of(query), known_s, confirms=same)

    def note_sighting(self, question: MetricsQuery, tenant: Tenant, at_s: float, *, confirms: bool) -> None:
        """Note that a question's series were seen, as of a wall time; `confirms` as in `Sightings.note`."""
        self._sightings.note(tenant.namespace, question.values, at_s, confirms=confirms)

    def note_change(self, question: MetricsQuery, tenant: Tenant, at_s: float) -> None:
        """Note that rows of a question's run were seen to change at a wall time: its lifetimes begin to grow anew."""
        self._known.note_change(RunKey(tenant.namespace, question.project, question.run), at_s)


def _runs_of(query: Query) -> tuple[str, ...]:
    """Return the numbers of the runs whose status decides how long a query's answers live; none where no status does.

    The number of a run that is asked for by its display id isn't known: then it counts as running.
    """
    if query.route is METRICS and "runId" in query.values:
        return (query.values["runId"],)
    if query.route is not CHART_DATA:
        return ()
    numbers = [run_of_sqid(run) for run in query.values["runIds"].split(",")]
    return () if None in numbers else tuple(map(str, numbers))


def _series_of(query: Query) -> Mapping[str, str]:
    """Return the values that stand for a query's series. Those of several runs are seen together, by their own question."""
    if query.route is METRICS:
        return query.values
    return {"runId": query.values["runIds"], "projectName": query.values["projectName"], "logName": query.values["input"]}
