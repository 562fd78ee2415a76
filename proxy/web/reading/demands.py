"""What requests demand of an answer's freshness."""

from dataclasses import replace

from multidict import CIMultiDictProxy

from proxy.core.freshness.directives import Demand, is_in_background, read_demand
from proxy.core.question.query import Query
from proxy.service.lifetimes.run_lifetimes import RunLifetimes
from proxy.settings import Settings
from proxy.web.reading.fields import joined


class DemandReader:
    """Reads a request's `Cache-Control`, `Pragma` and `Priority` as `core.freshness.directives` does."""

    def __init__(self, settings: Settings, lifetimes: RunLifetimes) -> None:
        self._lifetimes = lifetimes
        self._settings = settings

    def read(self, headers: "CIMultiDictProxy[str]", query: Query) -> Demand:
        """Return what a request with these header fields demands of the answer to its query."""
        freshness = self._settings.now.freshness
        demand = read_demand(
            joined(headers, "Cache-Control") or "",
            joined(headers, "Pragma") or "",
            fresh_s=self._lifetimes.usual(query).fresh_s,
            # Without a configured floor, clients can demand nothing younger than a running run's fresh answer.
            floor_s=freshness.running_s if freshness.client_floor_s is None else freshness.client_floor_s,
        )
        priority = joined(headers, "Priority")
        return replace(demand, in_background=True) if priority is not None and is_in_background(priority) else demand
