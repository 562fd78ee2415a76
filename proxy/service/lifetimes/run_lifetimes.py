"""Which lifetimes hold for a query: its route's, or those of a run that has ended."""

from cachetools import LRUCache

from proxy.clock import Clock
from proxy.core.freshness.entry import Entry
from proxy.core.freshness.lifetimes import LifetimeTable
from proxy.core.freshness.verdict import Lifetimes, Verdict, judge
from proxy.core.question.query import Query
from proxy.core.question.routes import METRICS
from proxy.core.series.metrics_query import MetricsQuery
from proxy.service.lifetimes.known_runs import KnownRuns, RunKey
from proxy.service.lifetimes.looks import Looks
from proxy.service.tenancy import Tenant

_MOST_RUNS = 10_000
# For so long after the first look at series of a run that ended they are looked at as if it ran: for what is new of them.
_NEW_S = 300.0


class RunLifetimes:
    """The lifetimes of every query; those about the series of a run depend on whether the run has ended.

    It asks nobody: `service.statuses` and the fetcher note what they learn.
    """

    def __init__(
        self, table: LifetimeTable, known: KnownRuns, looks: Looks, clock: Clock, *, stale_if_error_ended_s: float
    ) -> None:
        self._table = table
        self._known = known
        self._looks = looks
        self._clock = clock
        self._stale_if_error_ended_s = stale_if_error_ended_s
        # Runs that had ended when it was last known how they are, by how often that has changed: the upstream may fail to say
        # it again.
        self._ended: LRUCache[RunKey, int] = LRUCache(_MOST_RUNS)

    def usual(self, query: Query) -> Lifetimes:
        """Return what holds for a query as long as its run has not ended."""
        return self._table.of(query)

    def of(self, query: Query, tenant: Tenant) -> Lifetimes:
        """Return what holds for a query now."""
        usual = self._table.of(query)
        if query.route is not METRICS or "runId" not in query.values:
            return usual
        key = RunKey(tenant.namespace, query.values["projectName"], query.values["runId"])
        standing = self._known.standing(key, stood_s=self._looks.stood_s(tenant.namespace, query.values))
        if standing.fresh_s is not None:
            self._ended[key] = standing.changes
        elif self._ended.get(key) != standing.changes:
            return usual
        return usual.ended(standing.fresh_s or 0.0, stale_if_error_s=self._stale_if_error_ended_s)

    def judge(self, entry: Entry, query: Query, tenant: Tenant) -> Verdict:
        """Say what may be done with the entry of a query now."""
        return judge(entry, self._clock.now_s(), self.of(query, tenant))

    def live_since_s(self, asked: MetricsQuery, tenant: Tenant) -> float | None:
        """Return since when, as far as anybody knows, a query's series may grow at any moment; None where they don't.

        That is the wall time at which what is known of its run's status last changed: minus infinity where it never did. Series
        of a run that ended count for a while, until they have been seen to stand still.
        """
        stood_s = self._looks.stood_s(tenant.namespace, asked.values)
        standing = self._known.standing(RunKey(tenant.namespace, asked.project, asked.run), stood_s=stood_s)
        return standing.changed_s if stood_s < _NEW_S or standing.fresh_s is None else None

    def note_answer(self, query: Query, tenant: Tenant, before: Entry | None, entry: Entry) -> None:
        """Note an answer of the upstream that is kept as it came, and what was stored of it before."""
        if query.route is not METRICS or "runId" not in query.values:
            return
        # Rows that share a step may come in another order each time: that is no change.
        same = before is not None and len(before.body) == len(entry.body)
        if before is not None and not same:
            key = RunKey(tenant.namespace, query.values["projectName"], query.values["runId"])
            self._known.note_change(key, entry.sent_at_s)
        known_s = before.sent_at_s if before is not None and same else entry.sent_at_s
        self._looks.note(tenant.namespace, query.values, known_s, confirms=same)

    def note_look(self, asked: MetricsQuery, tenant: Tenant, at_s: float, *, confirms: bool) -> None:
        """Note a look at series in full, as in `Looks`."""
        self._looks.note(tenant.namespace, asked.values, at_s, confirms=confirms)

    def note_change(self, asked: MetricsQuery, tenant: Tenant, at_s: float) -> None:
        """Note that rows of a query's run were seen to change (wall time): its lifetimes grow from the beginning again."""
        self._known.note_change(RunKey(tenant.namespace, asked.project, asked.run), at_s)
