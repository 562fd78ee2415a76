"""`/admin/`: what the proxy holds and does, and purging.

For those who manage the proxy (`web.gate.guard`), and for no other origin's pages: these get no CORS headers, may not send what
takes a preflight, and nothing is changed but by a POST of JSON, which takes one.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from urllib.parse import parse_qsl, urlsplit

import msgspec
import structlog
from aiohttp import web

from proxy.core.freshness.purge import Purge
from proxy.core.question.form import shown
from proxy.core.question.routes import METRICS
from proxy.core.surrogates import STAND_IN, read_json
from proxy.errors import BadQuery, BadRequest, Fault, MethodNotAllowed, NotFound, NotJson, OriginRefused
from proxy.web.gate.guard import Visit
from proxy.web.gate.targets import Target
from proxy.web.pages.health import health_document
from proxy.web.parts import Parts

PREFIX = "/admin/"
_MOST_BYTES = 65_536
_BODY_S = 10.0
_RUN = METRICS.parameters[0].kind
_LONGEST = 1_000
_object = msgspec.json.Decoder(dict[str, object])
_log = structlog.get_logger()


async def admin(parts: Parts, visit: Visit, request: web.BaseRequest, target: Target) -> web.Response:
    """Answer a request to a path that begins with PREFIX. Raises BadRequest."""
    path, query = target.path, target.query
    _check_page(request, target.hosts)
    parts.guard.check_admin(visit, request)
    if (handler := _ROUTES.get(path)) is None:
        raise NotFound(f"{shown(path)} is not one of {', '.join(_ROUTES)}")
    methods, answer = handler
    if request.method not in methods:
        raise MethodNotAllowed(f"{path} takes {' and '.join(methods)}", allowed=", ".join(methods))
    document = await answer(parts, visit, request, query)
    headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    return web.Response(body=msgspec.json.encode(document), content_type="application/json", headers=headers)


async def _state(parts: Parts, _visit: Visit, _request: web.BaseRequest, _query: str) -> dict[str, object]:
    return health_document(parts) | {
        "requests": parts.requests,
        "purges": parts.purging.purges.count,
        "series_bytes": parts.shelves.size_bytes,
        "runs_refreshing": parts.series.deltas.in_flight,
    }


async def _usage(parts: Parts, _visit: Visit, _request: web.BaseRequest, _query: str) -> dict[str, object]:
    tokens = [
        {
            "token": name or None,
            "requests": used.outcomes.total(),
            "outcomes": dict(used.outcomes),
            "upstream_calls": used.upstream_calls,
            "body_bytes": used.body_bytes,
        }
        for name, used in sorted(parts.telemetry.usage.by_token.items())
    ]
    return {"tokens": tokens}


async def _purge(parts: Parts, visit: Visit, request: web.BaseRequest, query: str) -> dict[str, object]:
    purge = _read_purge(await _json(request), query, at_s=parts.clock.now_s())
    asked = {name: value for name in ("project", "run", "metric") if (value := getattr(purge, name)) is not None}
    purged = await parts.purging.purge(purge)
    told = {"mode": "soft" if purge.soft else "hard", **msgspec.to_builtins(purged)}
    _log.warning(
        "cache.purged",
        by=shown(visit.grant.name) if visit.grant.name else "loopback",
        address=visit.address or request.remote or "",
        request_id=parts.ids.of(request),
        what={name: shown(value) for name, value in asked.items()} or "everything",
        **told,
    )
    return {"purged": asked or "everything", **told}


def _read_purge(body: Mapping[str, object], query: str, *, at_s: float) -> Purge:
    """Read what is to be purged. Raises BadQuery."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query), errors="strict", max_num_fields=10)
    except ValueError:
        raise BadRequest("the query holds something other than some parameters") from None
    given = [*body.items(), *pairs]
    values = dict(given)
    counts = Counter(name for name, _ in given)
    faults = [Fault(parameter=shown(name), message="given more than once") for name in values if counts[name] > 1]
    faults += [Fault(parameter=shown(name), message="not known here") for name in values if name not in _KNOWN]
    everything, mode = values.get("everything", False), values.get("mode", "hard")
    if everything not in (True, False, "true"):
        faults.append(Fault(parameter="everything", message="must be true, or left out"))
    if mode not in ("hard", "soft"):
        faults.append(Fault(parameter="mode", message="must be hard or soft"))
    texts: dict[str, str] = {}
    for name in ("project", "run", "metric"):
        try:
            if name in values:
                texts[name] = _text(name, values[name])
        except ValueError as exc:
            faults.append(Fault(parameter=name, message=str(exc)))
    if not faults and bool(texts) == bool(everything):
        faults.append(Fault(parameter="", message="name a project, a run or a metric, or say everything=true, not both"))
    if faults:
        raise BadQuery(tuple(faults))
    return Purge(at_s=at_s, soft=mode == "soft", **texts)


_KNOWN = frozenset({"project", "run", "metric", "everything", "mode"})


def _text(name: str, value: object) -> str:
    if name == "run" and type(value) is int:
        value = str(value)
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST:
        raise ValueError(f"must be a text of at most {_LONGEST} characters")
    if STAND_IN in value:
        raise ValueError("holds a NUL or half of a surrogate pair, which no name that can be asked for has")
    if name == "run":
        return _RUN.canonical(value) or ""
    return value


async def _json(request: web.BaseRequest) -> Mapping[str, object]:
    """Return the object in a request's body, which must say that it is JSON. An empty one holds nothing."""
    if request.headers.get("Content-Type", "").partition(";")[0].strip().lower() != "application/json":
        raise NotJson("send it with Content-Type: application/json")
    raw = b""
    try:
        async with asyncio.timeout(_BODY_S):
            async for chunk in request.content.iter_any():
                raw += chunk
                if len(raw) > _MOST_BYTES:
                    raise BadRequest(f"the body is larger than {_MOST_BYTES} bytes")
        found = read_json(_object, raw) if raw.strip() else {}
    except TimeoutError:
        raise BadRequest(f"the body did not come within {_BODY_S:g} s") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadRequest("the body is no JSON object") from None
    return found


def _check_page(request: web.BaseRequest, hosts: Sequence[str]) -> None:
    """Raise OriginRefused for what a page of another origin sent, or may have sent."""
    origin = request.headers.get("Origin")
    try:
        foreign = origin is not None and [urlsplit(origin).netloc] != hosts
    except ValueError:
        foreign = True
    if foreign or request.headers.get("Sec-Fetch-Site", "none") not in {"none", "same-origin"}:
        raise OriginRefused("pages of other origins manage nothing here")


_Answer = Callable[[Parts, Visit, web.BaseRequest, str], Awaitable[dict[str, object]]]
_ROUTES: Mapping[str, tuple[tuple[str, ...], _Answer]] = {
    "/admin/state": (("GET", "HEAD"), _state),
    "/admin/usage": (("GET", "HEAD"), _usage),
    "/admin/purge": (("POST",), _purge),
}
