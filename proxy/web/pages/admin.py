"""`/admin/`: what the proxy holds and does, and purging.

These pages are for those who manage the proxy (`web.gate.guard`), and for no page of another origin: such a page gets no CORS
headers, may not send what takes a preflight, and nothing is changed but by a POST of JSON, which takes one.
"""

import asyncio
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from urllib.parse import parse_qsl, urlsplit

import msgspec
import structlog
from aiohttp import web

from proxy.clock import Clock
from proxy.core.freshness.purge import Purge
from proxy.core.lone_surrogates import STAND_IN, read_json
from proxy.core.question.form import shown, split_query
from proxy.core.question.routes import METRICS
from proxy.errors import BadQuery, BadRequest, Fault, MethodNotAllowed, NotFound, NotJson, OriginRefused
from proxy.service.history.recorder import EVERY_S, History
from proxy.service.purging import Purging
from proxy.telemetry import Usage
from proxy.web.accounting.busiest import Busiest
from proxy.web.accounting.context import RequestContext
from proxy.web.gate.guard import Guard
from proxy.web.pages.health import Health
from proxy.web.reading.targets import Target

PREFIX = "/admin/"
_MOST_BYTES = 65_536
_BODY_S = 10.0
_RUN = METRICS.parameters[0].kind
_LONGEST = 1_000
_MOST_QUESTIONS = 20
# Returns the document of a page, from the query of the request.
_Page = Callable[[RequestContext, str], Awaitable[dict[str, object]]]
_object = msgspec.json.Decoder(dict[str, object])
_log = structlog.get_logger()


class Admin:
    """The pages under PREFIX."""

    def __init__(
        self,
        *,
        guard: Guard,
        health: Health,
        usage: Usage,
        busiest: Busiest,
        history: History,
        purging: Purging,
        clock: Clock,
        counts: Mapping[str, Callable[[], int]],
    ) -> None:
        """`counts`: what `/admin/state` says beside the state of health, by name."""
        self._guard = guard
        self._health = health
        self._token_usage = usage
        self._busiest = busiest
        self._points = history
        self._purging = purging
        self._clock = clock
        self._counts = counts
        self._pages: Mapping[str, tuple[tuple[str, ...], _Page]] = {
            "/admin/state": (("GET", "HEAD"), self._state),
            "/admin/usage": (("GET", "HEAD"), self._usage),
            "/admin/history": (("GET", "HEAD"), self._history),
            "/admin/purge": (("POST",), self._purge),
        }

    async def respond(self, context: RequestContext, target: Target) -> web.Response:
        """Return the response to a request for a path that begins with PREFIX. Raises BadRequest."""
        request, path = context.request, target.path
        _check_page(request, target.hosts)
        self._guard.check_admin(context.visit, request)
        if (found := self._pages.get(path)) is None:
            raise NotFound(f"{shown(path)} is not one of {', '.join(self._pages)}")
        methods, page = found
        if request.method not in methods:
            raise MethodNotAllowed(f"{path} takes {' and '.join(methods)}", allowed=", ".join(methods))
        document = await page(context, target.query)
        headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
        return web.Response(body=msgspec.json.encode(document), content_type="application/json", headers=headers)

    async def _state(self, _context: RequestContext, _query: str) -> dict[str, object]:
        return self._health.document() | {name: read() for name, read in self._counts.items()}

    async def _usage(self, _context: RequestContext, _query: str) -> dict[str, object]:
        tokens = [
            {
                "token": name or None,
                "requests": used.outcomes.total(),
                "outcomes": dict(used.outcomes),
                "upstream_calls": used.upstream_calls,
                "body_bytes": used.body_bytes,
            }
            for name, used in sorted(self._token_usage.by_token.items())
        ]
        questions = [{"question": target, "requests": count} for target, count in self._busiest.top(_MOST_QUESTIONS)]
        return {"tokens": tokens, "questions": questions}

    async def _history(self, _context: RequestContext, query: str) -> dict[str, object]:
        return {"every_s": EVERY_S, "points": self._points.since(_since_s(query))}

    async def _purge(self, context: RequestContext, query: str) -> dict[str, object]:
        request, visit = context.request, context.visit
        purge = _read_purge(await _json(request), query, at_s=self._clock.now_s())
        named = {name: value for name in ("project", "run", "metric") if (value := getattr(purge, name)) is not None}
        purged = await self._purging.purge(purge)
        result = {"mode": "soft" if purge.soft else "hard", **msgspec.to_builtins(purged)}
        _log.warning(
            "cache.purged",
            by=shown(visit.grant.name) if visit.grant.name else "loopback",
            address=visit.address or request.remote or "",
            request_id=context.request_id,
            what={name: shown(value) for name, value in named.items()} or "everything",
            **result,
        )
        return {"purged": named or "everything", **result}


def _since_s(query: str) -> float:
    """Return the wall time after which points are asked for; minus infinity where all are. Raises BadQuery."""
    given = split_query(query)
    faults = [Fault(parameter=shown(name), message="not known here") for name, _ in given if name != "since"]
    try:
        moments = [float(text) for name, text in given if name == "since"]
    except ValueError:
        moments = [math.nan]
    if len(moments) > 1 or not all(map(math.isfinite, moments)):
        faults.append(Fault(parameter="since", message="must be given once at most: seconds since the epoch"))
    if faults:
        raise BadQuery(tuple(faults))
    return moments[0] if moments else -math.inf


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
