"""A question about series, taken apart: what it asks for, and which other questions' answers hold its own."""

from dataclasses import dataclass, replace
from functools import lru_cache

from proxy.core.question.query import Query, question
from proxy.core.question.routes import MAX_LIMIT, METRICS

# From here on a step that isn't quoted has lost digits on its way through JavaScript.
FIRST_INEXACT = 2**53


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsQuery:
    """What a metric query asks for.

    `run` and `project` are canonical texts. `name` and `group` are None for all of them. `limit` is 1 to 10,000 rows of each
    name; `first` and `last` are the inclusive window of steps, `last` None where it is open.
    """

    run: str
    project: str
    name: str | None
    group: str | None
    limit: int
    first: int
    last: int | None

    def holds(self, other: "MetricsQuery") -> bool:
        """Tell whether every row that `other` asks for is one that this asks for, were there no limits."""
        return (
            (self.run, self.project) == (other.run, other.project)
            and self.name in {None, other.name}
            and self.group in {None, other.group}
            and self.first <= other.first
            and (self.last is None or (other.last is not None and other.last <= self.last))
        )

    @property
    def in_full(self) -> "MetricsQuery":
        """The same series in full, as far as one answer can hold them."""
        return replace(self, limit=MAX_LIMIT, first=0, last=None)

    @property
    def whole_run(self) -> "MetricsQuery":
        """All series of the run."""
        return replace(self.in_full, name=None, group=None)

    @property
    def densest(self) -> "MetricsQuery":
        """The same window, as dense as one answer can be."""
        return replace(self, limit=MAX_LIMIT)

    @property
    def selections(self) -> "tuple[MetricsQuery, ...]":
        """The series in full, of the run or of this name, of all groups or of this one: what may hold this one's answer."""
        return _selections(self.in_full)

    @property
    def values(self) -> dict[str, str]:
        """The canonical texts of its parameters; those left out are unset."""
        values = {
            "runId": self.run,
            "projectName": self.project,
            "logName": self.name,
            "logGroup": self.group,
            "limit": str(self.limit),
            "stepMin": str(self.first) if self.first else None,
            "stepMax": None if self.last is None else str(self.last),
        }
        return {name: value for name, value in values.items() if value is not None}

    @property
    def query(self) -> Query:
        """The question as it is keyed, sent and logged."""
        return question(METRICS, self.values)


@lru_cache(maxsize=10_000)
def _selections(series: MetricsQuery) -> tuple[MetricsQuery, ...]:
    every = (series.whole_run, series, replace(series, group=None), replace(series.whole_run, group=series.group))
    return tuple(dict.fromkeys(every))


def metrics_query(query: Query) -> MetricsQuery | None:
    """Take a question apart; None where nothing can be said about it but what the upstream answers.

    That is another route, a run left out, a parameter that only the upstream understands, and steps that may have lost digits.
    """
    values = query.values
    if query.route is not METRICS or query.forwarded or "runId" not in values:
        return None
    first, last = int(values.get("stepMin", "0")), values.get("stepMax")
    if max(first, int(last or "0")) >= FIRST_INEXACT:
        return None
    return MetricsQuery(
        run=values["runId"],
        project=values["projectName"],
        name=values.get("logName"),
        group=values.get("logGroup"),
        limit=int(values["limit"]),
        first=first,
        last=None if last is None else int(last),
    )
