"""`statistics`, `compare`, `leaderboard` and `metric-names`: what the upstream derives from the rows."""

import math

from proxy.standin import jsnumber
from proxy.standin.answers import Answer, json_answer
from proxy.standin.asked import Asked, Upstream, iso_time, project_url, run_url
from proxy.standin.auth import Key
from proxy.standin.filters.fuzzy import is_near
from proxy.standin.integers import bigint, unsigned
from proxy.standin.problem import Problem
from proxy.standin.rows import log_group_of
from proxy.standin.summaries import Summary, series_names, summaries

MAX_STATISTICS = 100
MAX_COMPARED = 100
MAX_NAMES = 500
LEADERBOARD_DEFAULT_LIMIT = 20
LEADERBOARD_MAX_LIMIT = 100
AGGREGATIONS = ("MIN", "MAX", "AVG", "LAST", "VARIANCE")
DIRECTIONS = ("ASC", "DESC")
_UINT32_BITS = 32


def statistics(upstream: Upstream, asked: Asked, key: Key) -> Answer:
    """Aggregates of a run's series; an empty `logGroup` means the names without a `/`."""
    reader = asked.reader()
    run_id = reader.required_number("runId")
    project = reader.required_text("projectName")
    log_name = reader.text("logName")
    log_group = reader.text("logGroup")
    reader.check()
    upstream.materialise()
    run = upstream.catalogue.find(key.organization.id, bigint(run_id))
    if run is None or run.project != project:
        raise Problem.told("Run not found", 404)
    found = summaries(upstream.rows, key.organization.id, project, [run.id], log_name or None)
    metrics = [_statistic(summary) for summary in found if log_group in (None, log_group_of(summary.log_name))]
    return json_answer(
        {
            "runId": run.id,
            "runName": run.name,
            "projectName": project,
            "url": run_url(upstream, key, project, run.id),
            "metrics": metrics[:MAX_STATISTICS],
        }
    )


def compare(upstream: Upstream, asked: Asked, key: Key) -> Answer:
    """One series of several runs. The runs come by id; only the URL keeps the order in which they were asked."""
    reader = asked.reader()
    run_ids = reader.required_text("runIds")
    project = reader.required_text("projectName")
    log_name = reader.required_text("logName")
    reader.check()
    numbers = _numbers(run_ids)
    if not numbers:
        raise Problem.told("No valid run IDs provided")
    if len(numbers) > MAX_COMPARED:
        raise Problem.told(f"Too many runs to compare. Maximum is {MAX_COMPARED}, got {len(numbers)}")
    wanted = {bigint(number) for number in numbers}
    upstream.materialise()
    runs = [run for run in upstream.catalogue.runs(key.organization.id, project) if run.id in wanted]
    found = summaries(upstream.rows, key.organization.id, project, [run.id for run in runs], log_name)
    stats = {summary.run_id: summary for summary in found if summary.count}
    ids = ",".join(map(jsnumber.to_text, numbers))
    return json_answer(
        {
            "projectName": project,
            "logName": log_name,
            "comparisonUrl": f"{project_url(upstream, key, project)}?runs={ids}",
            "runs": [
                {
                    "runId": run.id,
                    "runName": run.name,
                    "url": run_url(upstream, key, project, run.id),
                    "status": run.status,
                    "config": run.config,
                    "stats": _compared(stats[run.id]) if run.id in stats else None,
                }
                for run in runs
            ],
        }
    )


def metric_names(upstream: Upstream, asked: Asked, key: Key) -> Answer:
    """Names in a project or in some of its runs; those that hold the searched text come before those that nearly do."""
    reader = asked.reader()
    project = reader.required_text("projectName")
    search = (reader.text("search") or "").strip()
    run_ids = reader.text("runIds")
    limit = reader.number_or("limit", MAX_NAMES)
    reader.check()
    count = unsigned(min(limit, MAX_NAMES), _UINT32_BITS)
    wanted = [unsigned(number) for number in _numbers(run_ids)] if run_ids else []
    upstream.materialise()
    ids = wanted or [run_id for tenant, _, run_id in upstream.rows.runs if tenant == key.organization.id]
    names = series_names(upstream.rows, key.organization.id, project, ids)
    if search:
        holding = [name for name in names if search.lower() in name.lower()]
        names = holding + [name for name in names if name not in holding and is_near(search, name)]
    return json_answer({"projectName": project, "metricNames": names[:count]})


def leaderboard(upstream: Upstream, asked: Asked, key: Key) -> Answer:
    """A project's runs by one aggregate of one series; ties by id."""
    reader = asked.reader()
    project = reader.required_text("projectName")
    log_name = reader.required_text("logName")
    aggregation = reader.choice("aggregation", AGGREGATIONS) or "LAST"
    direction = reader.choice("direction", DIRECTIONS) or "ASC"
    limit = reader.number_or("limit", LEADERBOARD_DEFAULT_LIMIT)
    offset = reader.number_or("offset", 0)
    reader.check()
    upstream.materialise()
    runs = {run.id: run for run in upstream.catalogue.runs(key.organization.id, project)}
    ranked = ranking(summaries(upstream.rows, key.organization.id, project, list(runs), log_name), aggregation, direction)
    answered = []
    if ranked:  # without any, the numbers never reach the database
        count, first = unsigned(min(limit, LEADERBOARD_MAX_LIMIT), _UINT32_BITS), unsigned(offset, _UINT32_BITS)
        for rank, summary in enumerate(ranked[first : first + count], first + 1):
            run = runs[summary.run_id]
            answered.append(
                {
                    "rank": rank,
                    "runId": run.id,
                    "runName": run.name,
                    "status": run.status,
                    "url": run_url(upstream, key, project, run.id),
                    "value": summary.aggregate(aggregation),
                    "config": run.config,
                    "tags": run.tags,
                    "createdAt": iso_time(run.created_at_s),
                }
            )
    head = {"projectName": project, "logName": log_name, "aggregation": aggregation, "direction": direction}
    return json_answer(head | {"runs": answered, "total": len(ranked)})


def ranking(found: list[Summary], aggregation: str, direction: str) -> list[Summary]:
    """Summaries by an aggregate; NaN comes last either way, as in ClickHouse."""
    sign = -1 if direction == "DESC" else 1

    def place(summary: Summary) -> tuple[bool, float, int]:
        value = summary.aggregate(aggregation)
        return (True, 0.0, summary.run_id) if math.isnan(value) else (False, sign * value, summary.run_id)

    return sorted(found, key=place)


def _numbers(text: str) -> list[float]:
    """The numbers of a comma-separated list; what isn't one is dropped, but an empty item is 0."""
    numbers = (jsnumber.parse(item) for item in text.split(","))
    return [number for number in numbers if not math.isnan(number)]


def _statistic(summary: Summary) -> dict[str, object]:
    return {
        "logName": summary.log_name,
        "logGroup": log_group_of(summary.log_name),
        "count": summary.count,
        "min": summary.minimum,
        "max": summary.maximum,
        "mean": summary.mean,
        "stddev": summary.stddev,
        "last": {"step": summary.last_step, "value": summary.last},
    }


def _compared(summary: Summary) -> dict[str, object]:
    return {
        "count": summary.count,
        "min": summary.minimum,
        "max": summary.maximum,
        "mean": summary.mean,
        "final": summary.last,
    }
