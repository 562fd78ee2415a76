"""A question about series taken apart: what it asks for, and which other questions hold it."""

from dataclasses import dataclass, replace
from functools import lru_cache

from proxy.core.question.query import Query, question
from proxy.core.question.routes import MAX_LIMIT, METRICS

# From here on a step that isn't quoted may have lost digits on its way through JavaScript.
FIRST_INEXACT = 2**53


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsQuery:
    """What a metric query asks for.

    `run` and `project` are canonical texts. `name` and `group` are None for all names and all groups. `limit` is 1 to 10,000
    rows of each name. `first` and `last` are the window of steps, inclusive; `last` is None where the window has no end.
    """

    run: str
    project: str
    name: str | None
    group: str | None
    limit: int
    first: int
    last: int | None

    def holds(self, other: "MetricsQuery") -> bool:
        """Tell whether this question selects every row that `other` selects; limits play no part."""
        return (
            (self.run, self.project) == (other.run, other.project)
            and self.name in {None, other.name}
            and self.group in {None, other.group}
            and self.first <= other.first
            and (self.last is None or (other.last is not None and other.last <= self.last))
        )

    @property
    def in_full(self) -> "MetricsQuery":
        """The question about the same series in full: all steps, and the greatest limit."""
        # Asked for a dozen times in a miss, and `replace` takes three times as long.
        if self.limit == MAX_LIMIT and self.first == 0 and self.last is None:
            return self
        return MetricsQuery(
            run=self.run, project=self.project, name=self.name, group=self.group, limit=MAX_LIMIT, first=0, last=None
        )

    @property
    def whole_run(self) -> "MetricsQuery":
        """The question about all series of the run in full."""
        return replace(self.in_full, name=None, group=None)

    @property
    def densest(self) -> "MetricsQuery":
        """The same question with the greatest limit."""
        return self if self.limit == MAX_LIMIT else replace(self, limit=MAX_LIMIT)

    @property
    def selections(self) -> "tuple[MetricsQuery, ...]":
        """The questions under which extents that may hold this one's answer are kept.

        A **selection** is a question about series in full: those of all names or of this one, in all groups or in this one.
        """
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
        """The question as entries are keyed by it, as it is sent, and as it is logged."""
        return question(METRICS, self.values)


@lru_cache(maxsize=10_000)
def _selections(series: MetricsQuery) -> tuple[MetricsQuery, ...]:
    every = (series.whole_run, series, replace(series, group=None), replace(series.whole_run, group=series.group))
    return tuple(dict.fromkeys(every))


def metrics_query(query: Query) -> MetricsQuery | None:
    """Take a question apart; None for one that only the upstream can answer.

    That is a question of another route, without a run, with a parameter that only the upstream understands, or with steps that
    may have lost digits.
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
