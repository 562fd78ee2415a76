"""The parameters of the metrics route: coercion, the 400 bodies, and the numbers that the database refuses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from proxy.standin.integers import unsigned
from proxy.standin.problem import Issue, UnreadableError
from proxy.standin.schema import Reader

DEFAULT_LIMIT = 2000
MAX_LIMIT = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsQuery:
    """A query as the database gets it: integers in 0..2^64-1, empty texts for no filter."""

    run_id: int
    project: str
    log_name: str
    log_group: str
    limit: int
    step_min: int | None
    step_max: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """The schema said no: 400, with one issue or more, in schema order."""

    issues: tuple[Issue, ...]


class Impossible:
    """The schema said yes, but the database can't read a number: 500."""


def read(values: Mapping[str, Sequence[str]]) -> MetricsQuery | Rejected | Impossible:
    """A decoded query string to what the database is asked, by the upstream's rules."""
    reader = Reader(values)
    run_id = reader.required_number("runId")
    project = reader.required_text("projectName")
    log_name = reader.text("logName") or ""
    log_group = reader.text("logGroup") or ""
    limit = reader.number_or("limit", DEFAULT_LIMIT, minimum=1, maximum=MAX_LIMIT)
    step_min = reader.number("stepMin", integer=True, minimum=0)
    step_max = reader.number("stepMax", integer=True, minimum=0)
    if reader.issues:
        return Rejected(issues=tuple(reader.issues))
    try:
        return MetricsQuery(
            run_id=unsigned(run_id),
            project=project,
            log_name=log_name,
            log_group=log_group,
            limit=unsigned(limit),
            step_min=None if step_min is None else unsigned(step_min),
            step_max=None if step_max is None else unsigned(step_max),
        )
    except UnreadableError:
        return Impossible()
