"""Which lifetimes hold for a question: its route's, or those of a run that has ended."""

from collections.abc import Callable
from typing import Protocol

from cachetools import LRUCache

from proxy.core.freshness.entry import Entry
from proxy.core.freshness.lifetimes import LifetimeTable
from proxy.core.freshness.verdict import Lifetimes
from proxy.core.question.query import Query
from proxy.core.question.routes import METRICS
from proxy.core.series.metrics_query import MetricsQuery
from proxy.service.fetching.tenancy import Tenant
from proxy.service.status.looks import Looks

_MOST_RUNS = 10_000
# For so long after the first look at series of a run that ended they are looked at as if it ran: for what is new of them.
_NEW_S = 300.0


class EndedFresh(Protocol):
    """Says how long answers about a run that has ended are fresh; None while it runs and where nobody knows."""

    def __call__(self, namespace: str, run: str, project: str, *, stood_s: float) -> float | None:
        """`run` and `project` are as they are written in a canonical query; `stood_s` is as in `Looks`."""


def _unknown(namespace: str, run: str, project: str, *, stood_s: float) -> None:  # noqa: ARG001 -- as it is called
    return None


class RunLifetimes:
    """The lifetimes of every question; those about the series of runs depend on whether the run has ended."""

    def __init__(self, table: LifetimeTable, looks: Looks, *, stale_if_error_ended_s: float) -> None:
        self.table = table
        self.looks = looks
        self.ended_fresh_s: EndedFresh = _unknown
        """Who knows which runs have ended asks the upstream by way of who knows how long answers live: it is set afterwards."""
        self.changed: Callable[[str, str, str, float], None] = lambda _namespace, _run, _project, _at_s: None
        """Called with namespace, run, project and the wall time when an answer about a run's series isn't what it was."""
        self._stale_if_error_ended_s = stale_if_error_ended_s
        # Runs that had ended when it was last known how they are: the upstream may fail to say it again.
        self._ended: LRUCache[tuple[str, str, str], None] = LRUCache(_MOST_RUNS)

    def of(self, query: Query, tenant: Tenant) -> Lifetimes:
        """Return what holds for a question now."""
        usual = self.table.of(query)
        if query.route is not METRICS or "runId" not in query.values:
            return usual
        place = tenant.namespace, query.values["runId"], query.values["projectName"]
        fresh_s = self.ended_fresh_s(*place, stood_s=self.looks.stood_s(tenant.namespace, query.values))
        if fresh_s is not None:
            self._ended[place] = None
        elif place not in self._ended:
            return usual
        return usual.ended(fresh_s or 0.0, stale_if_error_s=self._stale_if_error_ended_s)

    def note_status(self, namespace: str, run: str, project: str) -> None:
        """Note that what is known of a run's status has changed: perhaps it is running again."""
        self._ended.pop((namespace, run, project), None)

    def note_answer(self, query: Query, tenant: Tenant, before: Entry | None, entry: Entry) -> None:
        """Note what the upstream answers to a question that is kept as it came, and what is stored of it from before."""
        if query.route is not METRICS or "runId" not in query.values:
            return
        # Rows that share a step may come in another order each time: that is no change.
        same = before is not None and len(before.body) == len(entry.body)
        if before is not None and not same:
            self.changed(tenant.namespace, query.values["runId"], query.values["projectName"], entry.sent_at_s)
        known_s = before.sent_at_s if before is not None and same else entry.sent_at_s
        self.looks.note(tenant.namespace, query.values, known_s, confirms=same)

    def note_look(self, namespace: str, question: MetricsQuery, at_s: float, *, confirms: bool) -> None:
        """Note a look at series in full, as in `Looks`."""
        self.looks.note(namespace, question.values, at_s, confirms=confirms)

    def is_live(self, asked: MetricsQuery, tenant: Tenant) -> bool:
        """Tell whether series may grow at any moment, or haven't been seen for long that they don't."""
        stood_s = self.looks.stood_s(tenant.namespace, asked.values)
        return stood_s < _NEW_S or self.ended_fresh_s(tenant.namespace, asked.run, asked.project, stood_s=stood_s) is None
