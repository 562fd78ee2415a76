"""A question on its way upstream, and what came of asking."""

from dataclasses import dataclass

from proxy.core.freshness.outcome import Made
from proxy.core.freshness.verdict import Lifetimes
from proxy.core.question.query import Query
from proxy.core.series.known_series import KnownSeries
from proxy.core.series.metrics_query import MetricsQuery
from proxy.service.fetching.need import Fetched, Need
from proxy.service.tenancy import Tenant


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedAnswer:
    """A question on its way upstream.

    `lifetimes` hold for it as far as was known when it came. `whole`: nothing but an answer about all of it will do.
    `patience_s`: how long anything may be waited for that is no part of the answer.
    """

    tenant: Tenant
    query: Query
    need: Need
    lifetimes: Lifetimes
    in_full: bool
    extra_wait_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedSeries(WantedAnswer):
    """A question about series: `metrics` is what it asks for, `known` what was known of that when it came."""

    metrics: MetricsQuery
    known: KnownSeries


@dataclass(frozen=True, slots=True, kw_only=True)
class ObtainedAnswer:
    """What came of asking. `collapsed`: a call that was under way served; `made`: how the answer came about."""

    fetched: Fetched
    collapsed: bool
    made: Made | None = None
