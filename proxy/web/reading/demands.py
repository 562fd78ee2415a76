"""What requests demand of an answer's freshness."""

from dataclasses import replace

from multidict import CIMultiDictProxy

from proxy.config.model import FreshnessSettings
from proxy.core.freshness.directives import Demand, is_in_background, read_demand
from proxy.core.question.query import Query
from proxy.service.lifetimes.run_lifetimes import RunLifetimes
from proxy.web.reading.fields import joined


class DemandReader:
    """Reads a request's `Cache-Control`, `Pragma` and `Priority` as `core.freshness.directives` does."""

    def __init__(self, settings: FreshnessSettings, lifetimes: RunLifetimes) -> None:
        self._lifetimes = lifetimes
        # Without a configured floor, clients can demand nothing younger than a running run's fresh answer.
        self._floor_s = settings.running_s if settings.client_floor_s is None else settings.client_floor_s

    def read(self, headers: "CIMultiDictProxy[str]", query: Query) -> Demand:
        """Return what a request with these header fields demands of the answer to its query."""
        demand = read_demand(
            joined(headers, "Cache-Control") or "",
            joined(headers, "Pragma") or "",
            fresh_s=self._lifetimes.usual(query).fresh_s,
            floor_s=self._floor_s,
        )
        priority = joined(headers, "Priority")
        return replace(demand, in_background=True) if priority is not None and is_in_background(priority) else demand
