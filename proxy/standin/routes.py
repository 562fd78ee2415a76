"""The upstream's routes, each from a request's parts to an answer; nothing of the wire is known here."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from proxy.standin import params, querystring, sqids
from proxy.standin.answers import JSON, Answer, json_answer, text_answer
from proxy.standin.auth import Key, Keys, Refusal
from proxy.standin.config import StepMode
from proxy.standin.rows import Rows

RUNS = "/api/runs/"


class Upstream(Protocol):
    """What the routes read."""

    mode: StepMode
    keys: Keys
    rows: Rows

    def materialise(self) -> None:
        """Bring the rows up to now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request's parts: the raw path, the raw query (empty without a `?`), the `Authorization` header."""

    path: str
    query: str
    authorization: str | None


Route = Callable[[Upstream, Asked, Key], Answer]


def answer(upstream: Upstream, asked: Asked) -> Answer:
    """What the upstream answers to a GET or a HEAD of a path that needs no repair."""
    if route := ROUTES.get(asked.path):
        match upstream.keys.check(asked.authorization):
            case Refusal(message=message):
                return json_answer({"error": "Unauthorized"} | ({"message": message} if message else {}), 401)
            case key:
                return route(upstream, asked, key)
    name = asked.path.removeprefix(RUNS)
    if not asked.path.startswith(RUNS) or not name or "/" in name:
        return not_found()
    if name in UNMADE:
        return json_answer({"error": "Not part of the stand-in"}, 501)
    return _catch_all(name)


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


def _metrics(upstream: Upstream, asked: Asked, key: Key) -> Answer:
    match params.read(querystring.decode(asked.query)):
        case params.Rejected(issues=issues):
            return json_answer({"success": False, "error": {"issues": issues, "name": "ZodError"}}, 400)
        case params.Impossible():
            return json_answer({"error": "Internal Server Error"}, 500)
        case query:
            upstream.materialise()
            quoted = upstream.mode is StepMode.QUOTED
            rows = upstream.rows.select(key.organization.id, query, quoted_steps=quoted)
            body = f'{{"metrics":[{",".join(rows)}]}}'.encode()
            return Answer(body=body, content_type=JSON, rows=len(rows))


def _validate(_upstream: Upstream, _asked: Asked, key: Key) -> Answer:
    organization = {"id": key.organization.id, "slug": key.organization.slug}
    return json_answer({"valid": True, "organization": organization, "user": {"id": key.user_id}})


def _catch_all(name: str) -> Answer:
    """Any other name is taken for a run's short id, without a key."""
    run_id = sqids.decode_first(name)
    return json_answer({} if run_id is None else {"runId": run_id})


# Exact paths that need a key. Further routes of the upstream go here, and leave UNMADE.
ROUTES: dict[str, Route] = {
    RUNS + "metrics": _metrics,
    RUNS + "auth/validate": _validate,
}
UNMADE = frozenset({"list", "projects", "statistics", "compare", "leaderboard", "metric-names", "logs", "files"})
