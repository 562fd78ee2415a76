"""Which lifetimes hold for a question: its route's, or those of a run that has ended."""

from collections.abc import Callable

from cachetools import LRUCache

from proxy.core.freshness import Lifetimes
from proxy.core.lifetimes import LifetimeTable
from proxy.core.query import Query
from proxy.core.routes import METRICS
from proxy.service.tenancy import Tenant

# Namespace, run and project, both as they are written in a canonical query: how long answers about a run that has ended are
# fresh, None while it runs and where nobody knows.
EndedFresh = Callable[[str, str, str], float | None]
_MOST_RUNS = 10_000


def _unknown(_namespace: str, _run: str, _project: str) -> None:
    return None


class RunLifetimes:
    """The lifetimes of every question; those about the series of runs depend on whether the run has ended."""

    def __init__(self, table: LifetimeTable, *, stale_if_error_ended_s: float) -> None:
        self.table = table
        self.ended_fresh_s: EndedFresh = _unknown
        """Who knows which runs have ended asks the upstream by way of who knows how long answers live: it is set afterwards."""
        self._stale_if_error_ended_s = stale_if_error_ended_s
        # Runs that had ended when it was last known how they are: the upstream may fail to say it again.
        self._ended: LRUCache[tuple[str, str, str], None] = LRUCache(_MOST_RUNS)

    def of(self, query: Query, tenant: Tenant) -> Lifetimes:
        """Return what holds for a question now."""
        usual = self.table.of(query)
        if query.route is not METRICS or "runId" not in query.values:
            return usual
        place = tenant.namespace, query.values["runId"], query.values["projectName"]
        fresh_s = self.ended_fresh_s(*place)
        if fresh_s is not None:
            self._ended[place] = None
        elif place not in self._ended:
            return usual
        return usual.ended(fresh_s or 0.0, stale_if_error_s=self._stale_if_error_ended_s)

    def note_change(self, namespace: str, run: str, project: str) -> None:
        """Note that what is known of a run's status has changed: perhaps it is running again."""
        self._ended.pop((namespace, run, project), None)

    def is_live(self, run: str, project: str, tenant: Tenant) -> bool:
        """Tell whether a run's series may grow at any moment."""
        return self.ended_fresh_s(tenant.namespace, run, project) is None
