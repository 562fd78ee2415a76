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
        fresh_s = self._known.fresh_s(key, stood_s=self._looks.stood_s(tenant.namespace, query.values))
        if fresh_s is not None:
            self._ended[key] = self._known.changes(key)
        elif self._ended.get(key) != self._known.changes(key):
            return usual
        return usual.ended(fresh_s or 0.0, stale_if_error_s=self._stale_if_error_ended_s)

    def judge(self, entry: Entry, query: Query, tenant: Tenant) -> Verdict:
        """Say what may be done with the entry of a query now."""
        return judge(entry, self._clock.now_s(), self.of(query, tenant))

    def is_live(self, asked: MetricsQuery, tenant: Tenant) -> bool:
        """Tell whether series may grow at any moment, or have not been seen for long to stand still."""
        stood_s = self._looks.stood_s(tenant.namespace, asked.values)
        key = RunKey(tenant.namespace, asked.project, asked.run)
        return stood_s < _NEW_S or self._known.fresh_s(key, stood_s=stood_s) is None

    def status_changed_s(self, asked: MetricsQuery, tenant: Tenant) -> float:
        """Return when what is known of the status of a query's run last changed (wall time); minus infinity if never."""
        return self._known.changed_s(RunKey(tenant.namespace, asked.project, asked.run))

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
