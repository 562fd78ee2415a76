"""What a request for a view asks: which series, and how they are to be seen.

Unlike a query of the read API this one is the proxy's own, so that what nobody knows is refused.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from proxy.core.question.form import shown, split_query
from proxy.core.question.parameters import Choice, Kind, Schema, Text, WholeNumber
from proxy.core.question.query import Query
from proxy.core.series.metrics_query import FIRST_INEXACT, MetricsQuery
from proxy.core.view.painting import View
from proxy.errors import BadQuery, Fault
from proxy.service.view.viewing import Wanted

VIEW_PATH = "/view/series"
MOST_NAMED, MOST_SERIES = 200, 400
# So many buckets of all series together: each takes some 200 bytes in the answer.
MOST_BUCKETS = 250_000
POINTS = 1_000
_STEP = WholeNumber(minimum=0, maximum=FIRST_INEXACT - 1)


class _Duration:
    """A finite number of 0 or more."""

    @property
    def schema(self) -> Schema:
        """See Kind."""
        return {"type": "number", "minimum": 0}

    def canonical(self, text: str) -> str:
        """See Kind."""
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (text.isascii() and math.isfinite(value) and value >= 0):
            raise ValueError(f"must be a number of 0 or more, not {shown(text)!r}")
        return repr(abs(value))


SERIES: Mapping[str, Kind] = {
    "project": Text(empty_is_unset=False),
    "run": WholeNumber(minimum=0),
    "metric": Text(empty_is_unset=True),
}
"""Which series are meant. A request names one project, and `run` and `metric` once or more often."""
SEVERAL = ("run", "metric")
FORM: Mapping[str, Kind] = {
    "stepMin": _STEP,
    "stepMax": _STEP,
    "points": WholeNumber(minimum=10, maximum=20_000),
    "smooth": _Duration(),
    "format": Choice(options=("json", "csv")),
}
"""How they are to be seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewQuery:
    """A view that is asked for. `form`: `json` or `csv`. `question` says of which series, however these are to be seen."""

    question: str
    wanted: Sequence[Wanted]
    view: View
    form: str


def read_view(raw: str) -> ViewQuery:
    """Read a raw query string (without the `?`). Raises BadQuery naming every faulty parameter, and QueryTooLong."""
    reading = Reading(raw, {**SERIES, **FORM})
    named = read_names(reading)
    first, last = int(reading.value("stepMin") or 0), reading.value("stepMax")
    asked, count = reading.value("points"), max(1, named.count)
    # Where nobody says how many, so many series have fewer each.
    points = min(POINTS, MOST_BUCKETS // count) if asked is None else int(asked)
    if last is not None and int(last) < first:
        reading.fault("stepMax", "must not be less than stepMin")
    if count <= MOST_SERIES and count * points > MOST_BUCKETS:
        reading.fault("points", f"must be at most {MOST_BUCKETS // count} for {count} series")
    reading.check()
    view = View(
        first=first,
        last=None if last is None else int(last),
        points=points,
        constant=float(reading.value("smooth") or 0),
    )
    return ViewQuery(question=named.question, wanted=named.wanted, view=view, form=reading.value("format") or "json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """The series that a request names: each metric of each run of a project."""

    project: str
    runs: Sequence[str]
    metrics: Sequence[str]

    @property
    def count(self) -> int:
        """How many series these are."""
        return len(self.runs) * len(self.metrics)

    @property
    def question(self) -> str:
        """The target that asks for a view of them, in one spelling."""
        pairs = [("project", self.project), *(("run", run) for run in self.runs), *(("metric", name) for name in self.metrics)]
        return f"{VIEW_PATH}?{urlencode(pairs, quote_via=quote)}"

    @property
    def wanted(self) -> list[Wanted]:
        """The series, run by run. Raises QueryTooLong."""
        return [
            Wanted(run=run, metric=metric, query=_all_of(self.project, run, metric))
            for run in self.runs
            for metric in self.metrics
        ]


def read_names(reading: "Reading") -> Named:
    """Return the series that a request names. What is wrong with them is noted."""
    project = reading.value("project", required=True) or ""
    runs, metrics = reading.values("run", MOST_NAMED), reading.values("metric", MOST_NAMED)
    named = Named(project=project, runs=runs, metrics=metrics)
    if named.count > MOST_SERIES:
        reading.fault("", f"{len(runs)} runs and {len(metrics)} metrics are more than {MOST_SERIES} series")
    return named


class Reading:
    """The parameters of one query, and what is wrong with them."""

    def __init__(self, raw: str, kinds: Mapping[str, Kind]) -> None:
        """Raises BadQuery where the query cannot be decoded. `kinds`: the parameters that there are."""
        self._faults: list[Fault] = []
        self._values: dict[str, list[str]] = {}
        for name, text in split_query(raw):
            kind = kinds.get(name)
            try:
                value = None if kind is None else kind.canonical(text)
            except ValueError as exc:
                self.fault(name, str(exc))
                continue
            if value is None:
                self.fault(shown(name), "unknown" if kind is None else "must not be empty")
            else:
                self._values.setdefault(name, []).append(value)

    def value(self, name: str, *, required: bool = False) -> str | None:
        """Return the value of a parameter that may be given once, None where it isn't, or is faulty."""
        values = self._values.get(name, [])
        if len(values) > 1:
            self.fault(name, "given more than once")
        if required and not values and not self._is_faulty(name):
            self.fault(name, "required")
        return values[0] if values else None

    def values(self, name: str, most: int) -> list[str]:
        """Return the values of a parameter that is given once or more often, each once."""
        values = list(dict.fromkeys(self._values.get(name, ())))
        if not values and not self._is_faulty(name):
            self.fault(name, "required")
        if len(values) > most:
            self.fault(name, f"given {len(values)} times; at most {most} times is possible")
        return values

    def fault(self, name: str, message: str) -> None:
        """Note that something is wrong with a parameter, `""` for the query as a whole."""
        self._faults.append(Fault(parameter=name, message=message))

    def check(self) -> None:
        """Raise BadQuery where anything is wrong."""
        if self._faults:
            raise BadQuery(tuple(self._faults))

    def _is_faulty(self, name: str) -> bool:
        return any(fault.parameter == name for fault in self._faults)


def _all_of(project: str, run: str, metric: str) -> Query:
    return MetricsQuery(run=run, project=project, name=metric, group=None, limit=1, first=0, last=None).in_full.query
