"""The upstream's routes: which path is which, whose key opens it, and what becomes of a refusal."""

from dataclasses import replace

from proxy.standin import presign, sqids
from proxy.standin.answers import Answer, json_answer, text_answer
from proxy.standin.asked import Asked, Route, Upstream
from proxy.standin.auth import Key, Refusal
from proxy.standin.problem import Problem, UnreadableError
from proxy.standin.reads import aggregates, artifacts, charts, details, listing, metrics

RUNS = "/api/runs/"
CHARTS = "/api/chart-data/"


def answer(upstream: Upstream, asked: Asked) -> Answer:
    """What the upstream, or the store of its files, answers to a GET or a HEAD of a path that needs no repair."""
    if asked.path.startswith(presign.PREFIX):
        return artifacts.download(upstream, asked)
    if found := _find(asked.path):
        route, segment = found
        return _answer(upstream, replace(asked, segment=segment), route)
    name = asked.path.removeprefix(RUNS)
    if not asked.path.startswith(RUNS) or not name or "/" in name:
        return not_found()
    return _catch_all(name)


def authorized(upstream: Upstream, asked: Asked) -> Key | Answer:
    """The key that a request shows, or the 401."""
    match upstream.keys.check(asked.authorization):
        case Refusal(message=message):
            return json_answer({"error": "Unauthorized"} | ({"message": message} if message else {}), 401)
        case key:
            return key


def not_found() -> Answer:
    """Hono's own 404, for unknown paths and for every other method."""
    return text_answer("404 Not Found", 404)


def moved(asked: Asked) -> Answer | None:
    """The 308 of the upstream's frontend for a path with a doubled or a trailing slash; None for other paths."""
    path = "/" + "/".join(part for part in asked.path.split("/") if part)
    if path == asked.path:
        return None
    location = path + (f"?{asked.query}" if asked.query else "")
    headers = (("location", location), ("refresh", f"0;url={location}"))
    return Answer(status=308, body=location.encode("utf-8", "surrogateescape"), content_type="", headers=headers)


def _find(path: str) -> tuple[Route, str] | None:
    """The route of a path, and the segment that stands for a run."""
    if route := ROUTES.get(path):
        return route, ""
    for prefix, route in SEGMENT_ROUTES.items():
        segment = path.removeprefix(prefix)
        if path.startswith(prefix) and segment and "/" not in segment:
            return route, segment
    return None


def _answer(upstream: Upstream, asked: Asked, route: Route) -> Answer:
    key = authorized(upstream, asked)
    if isinstance(key, Answer):
        return key
    try:
        return route(upstream, asked, key)
    except Problem as problem:
        return json_answer(problem.body, problem.status)
    except UnreadableError:
        internal = Problem.internal()
        return json_answer(internal.body, internal.status)


def _validate(_upstream: Upstream, _asked: Asked, key: Key) -> Answer:
    organization = {"id": key.organization.id, "slug": key.organization.slug}
    return json_answer({"valid": True, "organization": organization, "user": {"id": key.user_id}})


def _catch_all(name: str) -> Answer:
    """Any other name is taken for a run's short id, without a key."""
    run_id = sqids.decode_first(name)
    return json_answer({} if run_id is None else {"runId": run_id})


# Exact paths that need a key.
ROUTES: dict[str, Route] = {
    RUNS + "list": listing.list_runs,
    RUNS + "projects": details.projects,
    RUNS + "metrics": metrics.metrics,
    RUNS + "metrics/raw": metrics.raw,
    RUNS + "statistics": aggregates.statistics,
    RUNS + "compare": aggregates.compare,
    RUNS + "leaderboard": aggregates.leaderboard,
    RUNS + "metric-names": aggregates.metric_names,
    RUNS + "logs": artifacts.logs,
    RUNS + "files": artifacts.files,
    RUNS + "status/history": details.status_history,
    RUNS + "auth/validate": _validate,
    CHARTS + "multi-metric-batch-bucketed": charts.batch_bucketed,
}
# Paths that end in a segment of their own; the longer prefix comes first.
SEGMENT_ROUTES: dict[str, Route] = {
    RUNS + "details/by-display-id/": details.by_display_id,
    RUNS + "details/": details.by_id,
}
