"""The metrics, named in one place (Prometheus conventions: base units, `_total` for counters).

Labels have bounded vocabularies: routes, outcomes, statuses and reasons, and the names of the proxy's own tokens, of which
there are as many as its operator makes. No run, project, metric name or client is ever a label.
"""

import platform
from bisect import bisect_left
from collections import Counter as Counts
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from itertools import accumulate

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from proxy import __version__
from proxy.deferred_counts import DeferredCounts

# The times at which counters began would double what is scraped, and nobody needs them.
disable_created_metrics()  # type: ignore[no-untyped-call]  # the library has no types there
REQUEST_BOUNDS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25)
CALL_BOUNDS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25)

# So many names of tokens are counted apart while the process runs; others are counted together.
_MOST_TOKENS = 1_000
_OTHERS = "(others)"

# The name of the token whose request caused a call to the upstream. Tasks inherit it from the task that begins them.
caused_by: ContextVar[str | None] = ContextVar("caused_by", default=None)


@dataclass(slots=True)
class TokenUse:
    """What one token has used: its requests by outcome, the bytes of bodies sent, and the calls to the upstream it caused."""

    outcomes: Counts[str] = field(default_factory=Counts)
    body_bytes: int = 0
    upstream_calls: int = 0


class Usage(Collector):
    """What each token has used, by its name; `""` stands for requests without a valid token."""

    def __init__(self, deferred: DeferredCounts) -> None:
        self._deferred = deferred
        self._used: dict[str, TokenUse] = {}

    @property
    def by_token(self) -> Mapping[str, TokenUse]:
        """What each token has used since the process began."""
        self._deferred.settle()
        return self._used

    def note(self, token: str, outcome: str, body_bytes: int, *, times: int = 1) -> None:
        """Count a request that was answered, or several alike; `body_bytes`: those of one."""
        used = self._of(token)
        used.outcomes[outcome] += times
        used.body_bytes += times * body_bytes

    def note_call(self) -> None:
        """Count a call to the upstream for the token that caused it."""
        if (token := caused_by.get()) is not None:
            self._of(token).upstream_calls += 1

    def collect(self) -> Iterator[Metric]:
        """See Collector."""
        requests = CounterMetricFamily(
            "pluto_proxy_token_requests", "Requests by token and outcome", labels=["token", "outcome"]
        )
        sent = CounterMetricFamily("pluto_proxy_token_body_bytes", "Bytes of bodies sent, by token", labels=["token"])
        calls = CounterMetricFamily(
            "pluto_proxy_token_upstream_calls", "Calls upstream that its requests began, by token", labels=["token"]
        )
        for token, used in self._used.items():
            for outcome, count in used.outcomes.items():
                requests.add_metric([token, outcome], count)
            sent.add_metric([token], used.body_bytes)
            calls.add_metric([token], used.upstream_calls)
        yield from (requests, sent, calls)

    def _of(self, token: str) -> TokenUse:
        used = self._used.get(token)
        if used is None:
            name = token if len(self._used) < _MOST_TOKENS else _OTHERS
            used = self._used.setdefault(name, TokenUse())
        return used


@dataclass(slots=True)
class _Tally:
    """How many durations there are in each bucket, and their seconds together."""

    counts: list[int]
    seconds: float = 0.0


class _Durations(Collector):
    """A histogram by labels, counted as plain numbers: the library takes half as long for one as a hit takes in all."""

    def __init__(self, name: str, description: str, bounds_s: Sequence[float], *, labels: Sequence[str]) -> None:
        self._name, self._description, self._labels, self._bounds_s = name, description, labels, bounds_s
        # The upper bounds of the buckets, as the exposition names them.
        self._bounds = (*(str(float(bound)) for bound in bounds_s), "+Inf")
        self.tallies: dict[tuple[str, ...], _Tally] = {}

    def tally(self, *place: str) -> _Tally:
        """Return the tally of what has these labels."""
        tally = self.tallies.get(place)
        if tally is None:
            tally = self.tallies.setdefault(place, _Tally([0] * (len(self._bounds_s) + 1)))
        return tally

    def note(self, duration_s: float, *place: str, times: int = 1) -> None:
        """Count a duration, or several alike."""
        tally = self.tallies.get(place) or self.tally(*place)
        tally.counts[bisect_left(self._bounds_s, duration_s)] += times
        tally.seconds += times * duration_s

    def collect(self) -> Iterator[Metric]:
        """See Collector."""
        durations = HistogramMetricFamily(self._name, self._description, labels=self._labels)
        for place, tally in self.tallies.items():
            reached = map(float, accumulate(tally.counts))
            durations.add_metric(place, list(zip(self._bounds, reached, strict=True)), tally.seconds)
        yield durations


class _Requests(_Durations):
    """Requests by route and outcome: how many, and how long they took."""

    def __init__(self) -> None:
        labels = ("route", "outcome")
        super().__init__("pluto_proxy_request_duration_seconds", "Time to answer a request", REQUEST_BOUNDS_S, labels=labels)

    def by_outcome(self, timed: Collection[str]) -> tuple[Counts[str], list[int]]:
        """Return how many requests there were by outcome; and of those in `timed`, how many in each bucket of durations."""
        outcomes, durations = Counts[str](), [0] * (len(REQUEST_BOUNDS_S) + 1)
        for (_, outcome), tally in self.tallies.items():
            outcomes[outcome] += sum(tally.counts)
            if outcome in timed:
                durations = [one + other for one, other in zip(durations, tally.counts, strict=True)]
        return outcomes, durations

    def collect(self) -> Iterator[Metric]:
        """See Collector."""
        requests = CounterMetricFamily(
            "pluto_proxy_requests", "Requests by route and by how they were answered", labels=("route", "outcome")
        )
        for place, tally in self.tallies.items():
            requests.add_metric(place, sum(tally.counts))
        yield requests
        yield from super().collect()


class _Calls(_Durations):
    """Calls to the upstream: how many by status or error, and how long they took."""

    def __init__(self) -> None:
        super().__init__("pluto_proxy_upstream_duration_seconds", "Time of a call to the upstream", CALL_BOUNDS_S, labels=())
        self.by_result: Counts[str] = Counts()
        self.all = self.tally()

    def collect(self) -> Iterator[Metric]:
        """See Collector."""
        calls = CounterMetricFamily(
            "pluto_proxy_upstream_requests",
            "Calls to the upstream by its status, or by the error where it gave none",
            labels=("status",),
        )
        for result, count in self.by_result.items():
            calls.add_metric((result,), count)
        yield calls
        yield from super().collect()


class Telemetry:
    """The metrics: events are counted here, states and counts of other parts are read when the metrics are."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        self._registry = registry
        self.deferred = DeferredCounts()
        """Counts of requests that are kept elsewhere for a while, and are brought here before anybody reads."""
        self._requests = _Requests()
        registry.register(self._requests)
        self._not_modified = Counter(
            "pluto_proxy_not_modified", "Answers that were 304, without a body", ["route"], registry=registry
        )
        self._stale = Counter("pluto_proxy_stale_served", "Stale answers by reason", ["reason"], registry=registry)
        self._calls = _Calls()
        registry.register(self._calls)
        self._waits = _Durations(
            "pluto_proxy_budget_wait_seconds",
            "Time that a call waited for its turn",
            REQUEST_BOUNDS_S,
            labels=("priority",),
        )
        registry.register(self._waits)
        Gauge("pluto_proxy_build_info", "Always 1", ["version", "python"], registry=registry).labels(
            __version__, platform.python_version()
        ).set(1)
        self._read_late = _ReadLate()
        registry.register(self._read_late)
        self.usage = Usage(self.deferred)
        registry.register(self.usage)
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)

    @property
    def calls_by_result(self) -> Mapping[str, int]:
        """Calls to the upstream by their status or, where there was none, by the error's code."""
        return self._calls.by_result

    @property
    def call_durations(self) -> Sequence[int]:
        """How many calls took how long: a count for each of CALL_BOUNDS_S, and one for those beyond."""
        return self._calls.all.counts

    def count_answer(
        self, route: str, outcome: str, duration_s: float, *, stale: str | None, not_modified: bool, times: int = 1
    ) -> None:
        """Count a request that got an answer, or several alike: each took `duration_s`.

        `outcome`: the Outcome's kind. `stale`: why a stale answer was served.
        """
        self._requests.note(duration_s, route, outcome, times=times)
        if stale is not None:
            self._stale.labels(stale).inc(times)
        if not_modified:
            self._not_modified.labels(route).inc(times)

    def count_error(self, route: str, code: str, duration_s: float) -> None:
        """Count a request that got an error, by the error's code."""
        self._requests.note(duration_s, route, code)

    def requests_by_outcome(self, timed: Collection[str]) -> tuple[Counts[str], list[int]]:
        """Return how many requests there were by outcome; and of those in `timed`, how many took how long.

        That is a count for each of REQUEST_BOUNDS_S, and one for those beyond.
        """
        self.deferred.settle()
        return self._requests.by_outcome(timed)

    def observe_wait(self, priority: str, wait_s: float) -> None:
        """Observe the seconds that a call to the upstream waited for its turn, by its priority."""
        self._waits.note(wait_s, priority)

    def count_call(self, status: str, duration_s: float) -> None:
        """Count a call to the upstream, by its status or, where there was none, by the error's code."""
        self._calls.by_result[status] += 1
        self._calls.note(duration_s)
        self.usage.note_call()

    def add_gauge(self, name: str, description: str, read: "Read", **labels: str) -> None:
        """Add a gauge: `read` is called whenever the metrics are read."""
        self._read_late.add(name, description, read, labels, GaugeMetricFamily)

    def add_count(self, name: str, description: str, read: "Read", **labels: str) -> None:
        """Add a counter: `read` is called whenever the metrics are read. `_total` is added to its name."""
        self._read_late.add(name, description, read, labels, CounterMetricFamily)

    def exposition(self, accept: str = "") -> tuple[bytes, str]:
        """Return all metrics in the text format that an Accept field asks for, and its content type.

        The format is version 0.0.4 unless the field names a later one or OpenMetrics, which old scrapers don't understand.
        """
        try:
            # The library echoes the version in the content type, which must be ASCII.
            encode, content_type = choose_encoder(accept if accept.isascii() else "")
        except TypeError:
            # The library raises it for a version that is no number.
            encode, content_type = choose_encoder("")
        self.deferred.settle()
        return encode(self._registry), content_type


Read = Callable[[], float]
_Family = type[GaugeMetricFamily] | type[CounterMetricFamily]


class _ReadLate(Collector):
    """Numbers that other parts keep as plain attributes, read only when the metrics are."""

    def __init__(self) -> None:
        self._families: dict[str, tuple[str, _Family, list[tuple[dict[str, str], Read]]]] = {}

    def add(self, name: str, description: str, read: Read, labels: dict[str, str], family: _Family) -> None:
        self._families.setdefault(f"pluto_proxy_{name}", (description, family, []))[2].append((labels, read))

    def collect(self) -> Iterator[Metric]:
        for name, (description, family, reads) in self._families.items():
            metric = family(name, description, labels=list(reads[0][0]))
            for labels, read in reads:
                metric.add_metric(list(labels.values()), read())
            yield metric
