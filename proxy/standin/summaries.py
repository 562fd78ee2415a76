"""What the upstream derives from the rows: aggregates of a series, the names of a project, a run's last sign of life.

Upstream they are derived anew every five minutes; here they are never older than the rows.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from proxy.standin.catalogue import parse_time
from proxy.standin.rows import ID_SHIFT, Rows

# A scope's rows; `finite` is NULL for what isn't finite. In SQL, `9e999` is infinite, and NaN is NULL.
_SCOPED = """
WITH scoped AS (
    SELECT run_id, log_name, step, CASE WHEN abs(value) < 9e999 THEN value END AS finite FROM metrics
    WHERE tenant = :tenant AND project = :project AND run_id IN (SELECT value FROM json_each(:run_ids))
        AND (:any_name OR log_name = :log_name)
)
"""
_AGGREGATES = """
{scoped}
SELECT run_id, log_name, count(finite), min(finite), max(finite), sum(finite), sum(finite * finite), max(step)
FROM scoped GROUP BY run_id, log_name ORDER BY run_id, log_name
"""
_LAST = """
{scoped}
SELECT run_id, log_name, max(step), finite FROM scoped WHERE finite IS NOT NULL GROUP BY run_id, log_name
"""
_SERIES = "{scoped} SELECT DISTINCT log_name FROM scoped ORDER BY log_name"
_HEARTBEATS = "SELECT run_id, max(time) FROM metrics WHERE tenant = :tenant AND project = :project GROUP BY run_id"


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One series of a run, over its finite values; `last_step` is over all of its rows.

    Without a finite value `count` and the extremes are 0, as ClickHouse has them, and the mean is NaN.
    """

    run_id: int
    log_name: str
    count: int
    minimum: float
    maximum: float
    mean: float
    variance: float
    last_step: int
    last: float

    @property
    def stddev(self) -> float:
        """The population's; rounding may have left a variance below 0."""
        return math.sqrt(max(self.variance, 0.0)) if math.isfinite(self.variance) else math.nan

    def aggregate(self, name: str) -> float:
        """MIN, MAX, AVG, LAST or VARIANCE."""
        match name:
            case "MIN":
                return self.minimum
            case "MAX":
                return self.maximum
            case "AVG":
                return self.mean
            case "VARIANCE":
                return self.variance
            case _:
                return self.last


def summaries(rows: Rows, tenant: str, project: str, run_ids: Sequence[int], log_name: str | None = None) -> list[Summary]:
    """The series of some runs, by run and name; of one name if it is given."""
    scope = _scope(tenant, project, run_ids, log_name)
    last = {(run_id, name): value for run_id, name, _step, value in _ask(rows, _LAST, scope)}
    return [
        Summary(
            run_id=run_id + ID_SHIFT,
            log_name=name,
            count=count,
            minimum=minimum or 0.0,
            maximum=maximum or 0.0,
            mean=total / count if count else math.nan,
            variance=squares / count - (total / count) * (total / count) if count else math.nan,
            last_step=last_step + ID_SHIFT,
            last=last.get((run_id, name), 0.0),
        )
        for run_id, name, count, minimum, maximum, total, squares, last_step in _ask(rows, _AGGREGATES, scope)
    ]


def series_names(rows: Rows, tenant: str, project: str, run_ids: Sequence[int]) -> list[str]:
    """The distinct metric names of some runs, in UTF-8 byte order."""
    return [name for (name,) in _ask(rows, _SERIES, _scope(tenant, project, run_ids, None))]


def heartbeats(rows: Rows, tenant: str, project: str) -> dict[int, float]:
    """When each run of a project last logged a row by its sender's clock, in wall seconds; runs without rows have none."""
    found = rows.fetch(_HEARTBEATS, {"tenant": tenant, "project": project})
    return {run_id + ID_SHIFT: parse_time(text) for run_id, text in found}


def _ask(rows: Rows, statement: str, scope: Mapping[str, str | int]) -> list[tuple[Any, ...]]:
    return rows.fetch(statement.replace("{scoped}", _SCOPED), scope)


def _scope(tenant: str, project: str, run_ids: Sequence[int], log_name: str | None) -> dict[str, str | int]:
    return {
        "tenant": tenant,
        "project": project,
        "run_ids": json.dumps([run_id - ID_SHIFT for run_id in run_ids]),
        "any_name": int(log_name is None),
        "log_name": log_name or "",
    }
