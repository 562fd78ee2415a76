"""A series that can be watched, and what is known of it."""

from dataclasses import dataclass

from proxy.core.question.query import Query
from proxy.core.question.routes import MAX_LIMIT
from proxy.core.series.metrics_query import MetricsQuery


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One metric of a run, in all groups. `project` and `run` are canonical texts."""

    project: str
    run: str
    metric: str

    @property
    def question(self) -> MetricsQuery:
        """The question about all rows."""
        return MetricsQuery(
            run=self.run, project=self.project, name=self.metric, group=None, limit=MAX_LIMIT, first=0, last=None
        )

    @property
    def query(self) -> Query:
        """The query for as many rows as one answer may have."""
        return self.question.query


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesState:
    """What is known of a series.

    - `version` changes whenever a row of the series changes or comes; None before the series was first read.
    - `through` is the last step, None where there is none, or it isn't known.
    - `number` counts changes: of two changes of any series the later one has the greater number; 0 before the first.
    """

    version: str | None = None
    through: int | None = None
    number: int = 0


UNREAD = SeriesState()
