"""What is wanted of the upstream for one query, and what was obtained."""

from dataclasses import dataclass

from proxy.core.freshness.outcome import Made
from proxy.core.question.query import Query
from proxy.core.series.known_series import KnownSeries
from proxy.core.series.metrics_query import MetricsQuery
from proxy.service.fetching.need import Fetched, Need
from proxy.service.tenancy import Tenant


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedAnswer:
    """An answer that is wanted of the upstream.

    - `tenant`, `query`, `need`: whose answer it is, to which query, and what the caller needs of it.
    - `in_full`: whether all of the answer must be asked for anew; one that a delta was added to won't do.
    - `extra_wait_s`: for how many seconds the upstream may be waited for to learn what is no part of the answer: a run's
      status, or how many series it has.
    """

    tenant: Tenant
    query: Query
    need: Need
    in_full: bool
    extra_wait_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedSeries(WantedAnswer):
    """An answer about series. `metrics` is the question that the query asks, `known` what was known of it when it came."""

    metrics: MetricsQuery
    known: KnownSeries


@dataclass(frozen=True, slots=True, kw_only=True)
class ObtainedAnswer:
    """What was obtained. `collapsed`: whether a call that was under way served; `made`: how the answer was put together."""

    fetched: Fetched
    collapsed: bool
    made: Made | None = None
