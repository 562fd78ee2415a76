"""`metrics`: sampled series; `metrics/raw`: every write of one series."""

from proxy.standin import params, querystring
from proxy.standin.answers import JSON, Answer, json_answer
from proxy.standin.asked import Asked, Upstream
from proxy.standin.auth import Key
from proxy.standin.config import StepMode
from proxy.standin.integers import unsigned
from proxy.standin.problem import Problem
from proxy.standin.rows import ID_SHIFT

RAW_MAX_LIMIT = 50_000
_NAN, _INFINITE, _MINUS_INFINITE = 1, 2, 4
_WRITES = """
SELECT log_group, step, time, value FROM (
    SELECT * FROM (SELECT log_group, step, time, value, tenant, project, run_id, log_name FROM metrics
                   UNION ALL SELECT log_group, step, time, value, tenant, project, run_id, log_name FROM superseded)
    WHERE tenant = :tenant AND project = :project AND run_id = :run_id AND log_name = :log_name
)
WHERE step >= :step_min AND step <= :step_max ORDER BY step, time, log_group LIMIT :limit
"""


def metrics(upstream: Upstream, asked: Asked, key: Key) -> Answer:
    """Rows of a run, by name and step."""
    match params.read(querystring.decode(asked.query)):
        case params.Rejected(issues=issues):
            raise Problem.invalid(issues)
        case params.Impossible():
            raise Problem.internal()
        case query:
            upstream.materialise()
            quoted = upstream.mode is StepMode.QUOTED
            rows = upstream.rows.select(key.organization.id, query, quoted_steps=quoted)
            body = f'{{"metrics":[{",".join(rows)}]}}'.encode()
            return Answer(body=body, content_type=JSON, rows=len(rows))


def raw(upstream: Upstream, asked: Asked, key: Key) -> Answer:
    """Writes of one series by step and time, those that were written over too; steps are always numbers here."""
    reader = asked.reader()
    run_id = reader.required_number("runId")
    project = reader.required_text("projectName")
    log_name = reader.required_text("logName")
    step_min = reader.number("stepMin", integer=True, minimum=0)
    step_max = reader.number("stepMax", integer=True, minimum=0)
    limit = reader.number_or("limit", RAW_MAX_LIMIT, integer=True, minimum=1, maximum=RAW_MAX_LIMIT)
    reader.check()
    values: dict[str, str | int] = {
        "tenant": key.organization.id,
        "project": project,
        "run_id": unsigned(run_id) - ID_SHIFT,
        "log_name": log_name,
        "step_min": unsigned(step_min or 0) - ID_SHIFT,
        "step_max": (2**64 - 1 if step_max is None else unsigned(step_max)) - ID_SHIFT,
        "limit": int(limit),
    }
    upstream.materialise()
    rows = [
        {
            "logGroup": group,
            "step": step + ID_SHIFT,
            "time": time,
            "value": 0.0 if _flags(value) else value,
            "nonFiniteFlags": _flags(value),
        }
        for group, step, time, value in upstream.rows.fetch(_WRITES, values)
    ]
    return json_answer({"rows": rows, "truncated": len(rows) == limit}, rows=len(rows))


def _flags(value: float | None) -> int:
    match value:
        case None:
            return _NAN
        case _ if value == float("inf"):
            return _INFINITE
        case _ if value == float("-inf"):
            return _MINUS_INFINITE
        case _:
            return 0
