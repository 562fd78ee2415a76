"""A request's way through the web room: host, path and method are judged, then the query is read and answered."""

import asyncio
from dataclasses import dataclass
from functools import partial

import structlog
from aiohttp import web
from multidict import CIMultiDictProxy

from proxy.config.model import Freshness
from proxy.core.access.networks import household
from proxy.core.freshness.directives import Demand, read_demand
from proxy.core.http.negotiation import acceptable
from proxy.core.question.form import shown
from proxy.core.question.query import Query
from proxy.errors import BadRequest, MethodNotAllowed, NotAcceptable, NotFound, ProxyError, ScopeRefused, Unauthorized
from proxy.service.reader import Answer
from proxy.telemetry import caused_by
from proxy.web.gate.cors import is_preflight
from proxy.web.gate.guard import Visit, told
from proxy.web.gate.hosts import check_host
from proxy.web.gate.targets import read_target
from proxy.web.pages.admin import PREFIX as ADMIN_PREFIX
from proxy.web.pages.admin import admin
from proxy.web.pages.health import HEALTH, is_open
from proxy.web.pages.openapi import PATH as OPENAPI_PATH
from proxy.web.parts import Parts
from proxy.web.reply.answer import CACHE_CONTROL, Representation, respond
from proxy.web.reply.problem import problem
from proxy.web.reply.summed import is_ordinary
from proxy.web.shortcut.fast import Text
from proxy.web.shortcut.prepared import ReadyResponse
from proxy.web.shortcut.seen import Seen

_READING = frozenset({"GET", "HEAD"})
# The upstream's client shows the first 500 characters of an error's document.
_TRAIN = (
    "Training needs pluto-api itself: unset PLUTO_URL_API, or set it to pluto-api's own address; readers name the proxy "
    'instead, as pluto.query.Client(host="http://...")'
)
_UPLOAD = (
    "Client's host= sends uploads to the same address: upload with a Client without host=, with your own Pluto key; it "
    "uploads to PLUTO_URL_INGEST or, where that is unset, to Pluto itself, and reads from PLUTO_URL_API "
    "(this proxy, unless it has tokens)"
)
_log = structlog.get_logger()


@dataclass(slots=True, kw_only=True)
class _Exchange:
    """One request and what goes with it.

    `visit` is who asks. `started_s` is of the monotonic clock; `text` is what the fast path may remember it by; `route` is
    `none` until one matched. `outcome` is how it was answered: `own` where that was about the proxy itself.
    """

    request: web.BaseRequest
    parts: Parts
    visit: Visit
    request_id: str
    started_s: float
    text: Text | None
    route: str = "none"
    outcome: str = "own"

    @property
    def deadline_s(self) -> float:
        return self.started_s + self.parts.config.upstream.deadline_s

    @property
    def duration_s(self) -> float:
        return self.parts.clock.monotonic_s() - self.started_s

    def dressed(self, response: web.Response) -> web.Response:
        """Return the response with what lets pages of listed origins read it, and others keep it apart."""
        self.parts.guard.dress(response.headers)
        if self.route != "admin":
            self.parts.cors.dress(response.headers, self.request.headers.get("Origin"))
        return response

    def log(self, **fields: object) -> None:
        """Write the one line that a request leaves, where it leaves any.

        It is made when the event loop comes round: that takes some 10 us, and the answer needn't wait for it.
        """
        duration_ms = round(self.duration_s * 1000, 1)
        fields = {**fields, **told(self.visit), "duration_ms": duration_ms, "request_id": self.request_id}
        asyncio.get_running_loop().call_soon(partial(_log.info, "request.finished", route=self.route, **fields))


async def handle(parts: Parts, request: web.BaseRequest, raw: bytes | None = None) -> web.StreamResponse:
    """Answer any request that could be parsed, whatever its target; `raw` is all of its bytes, where they are at hand."""
    parts.requests += 1
    started_s = parts.clock.monotonic_s()
    visit = parts.guard.judge(request)
    text = parts.fast.text(request, visit.grant.scope) if visit.refusal is None else None
    if text is not None and (hit := parts.fast.hit(text)) is not None:
        client, given_id = _client(visit, request), parts.ids.given(request)
        if (ready := parts.fast.ready(hit, visit, client, given_id)) is not None:
            if raw is not None and ready.is_small:
                parts.seen.remember(request.remote or "", raw, Seen(hit=hit, visit=visit, client=client, given_id=given_id))
            return ReadyResponse(request, ready)
    caused_by.set(visit.grant.name)
    request_id = parts.ids.of(request)
    exchange = _Exchange(request=request, parts=parts, visit=visit, request_id=request_id, started_s=started_s, text=text)
    try:
        response = await _dispatch(exchange)
    except ProxyError as exc:
        response = _refuse(exchange, exc)
    except Exception:  # noqa: BLE001 -- the last resort: whatever it is, the client gets a document and the log the traceback
        _log.exception("request.crashed", request_id=exchange.request_id)
        response = _refuse(exchange, ProxyError("a fault in the proxy; its log tells more"))
    response.headers["X-Request-ID"] = exchange.request_id
    response.headers["Server"] = "pluto-proxy"
    parts.telemetry.usage.note(visit.grant.name, exchange.outcome, _body_bytes(request, response))
    return response


def _client(visit: Visit, request: web.BaseRequest) -> str:
    """Return whose limits hold for a request, and in whose turn it waits: a token's, or an address's."""
    return f"token {visit.grant.name}" if visit.grant.name else household(visit.address or request.remote or "")


def _body_bytes(request: web.BaseRequest, response: web.StreamResponse) -> int:
    return 0 if request.method == "HEAD" or response.status == 304 else response.content_length or 0


def _refuse(exchange: _Exchange, error: ProxyError) -> web.Response:
    exchange.outcome = error.code
    exchange.log(status=error.status, outcome=error.code, reason=error.detail)
    exchange.parts.telemetry.counted(exchange.route, error.code, exchange.duration_s)
    return exchange.dressed(problem(error, request_id=exchange.request_id))


async def _dispatch(exchange: _Exchange) -> web.StreamResponse:
    request, parts = exchange.request, exchange.parts
    target = read_target(request)
    path, raw_query = target.path, target.query
    if (health := HEALTH.get(path)) is not None:
        # Probes name the address they reach the proxy at, and these say nothing about anybody's data; only `?verbose` names
        # paths and states, which aren't for a page that has rebound its name.
        if not is_open(path, raw_query):
            exchange.visit.check()
            _check_unlimited(exchange.visit)
        _check_method(request, path)
        if raw_query:
            check_host(target.hosts, parts.config.server.allowed_hosts)
        response = health(parts, raw_query, _joined(request.headers, "Accept") or "")
        # A state is of its moment, and for whom it was told: nothing before the proxy may keep it for others.
        response.headers["Cache-Control"] = "no-store"
        return response
    preflight = is_preflight(request)
    if preflight:
        # Browsers send no token with it, and what it says is about origins alone.
        exchange.visit.check_network()
    else:
        exchange.visit.check()
    check_host(target.hosts, parts.config.server.allowed_hosts)
    if path.startswith(ADMIN_PREFIX):
        exchange.route = "admin"
        exchange.visit.check()
        return await admin(parts, exchange.visit, request, target)
    if preflight:
        return parts.cors.preflight(request.headers["Origin"], request.headers.get("Access-Control-Request-Headers", ""))
    _check_method(request, path)
    if path == OPENAPI_PATH:
        headers = {"Cache-Control": CACHE_CONTROL}
        return exchange.dressed(web.Response(body=parts.openapi, content_type="application/json", headers=headers))
    matched = parts.routes.match(path)
    if matched is None:
        raise NotFound(f"{shown(path)} is not a route of this proxy; {OPENAPI_PATH} lists them")
    route, segment = matched
    exchange.route = route.name
    if not parts.limits.enabled:
        return await _read(exchange, parts.queries.read(route, segment, raw_query))
    client = _client(exchange.visit, request)
    async with parts.limits.admitted(client, deadline_s=exchange.deadline_s):
        # Its turn may have come after the token was revoked: nothing more is asked for it then.
        _still(exchange)
        # A long query takes its time to be read, and longer where it is refused, since nothing remembers it.
        return await _read(exchange, parts.queries.read(route, segment, raw_query))


async def _read(exchange: _Exchange, query: Query) -> web.StreamResponse:
    parts, headers = exchange.parts, exchange.request.headers
    parts.unknown.note(query)
    visit = exchange.visit
    client = _client(visit, exchange.request)
    settled = await parts.scopes.admit(visit.grant, query, client=client)
    wanted = acceptable(_joined(headers, "Accept-Encoding"))
    if not wanted:
        raise NotAcceptable("Accept-Encoding excludes identity; this proxy has gzip, zstd and identity")
    demand = _demand(headers, parts.config.freshness, parts.lifetimes.usual(query).fresh_s)
    purges = parts.purging.purges
    while True:
        seen = purges.count
        read = await parts.reader.read(query, demand, client=client, deadline_s=exchange.deadline_s)
        answer = parts.scopes.shown(_still(exchange).grant, query, read)
        coding, body = await parts.fetching.encoder.choose(answer.tenant, query.target, answer.entry, wanted)
        # What was purged while it was being answered is not handed out: it is looked for again.
        if purges.count == seen or purges.judged(query.target, read.entry) is read.entry:
            break
    form = Representation(coding=coding, body=body)
    response = exchange.dressed(respond(answer, query, form, _joined(headers, "If-None-Match")))
    _note(exchange, query, answer, not_modified=response.status == 304)
    if exchange.text is not None and settled:
        parts.fast.remember(exchange.text, query, demand, answer, coding=coding, response=response)
    return response


def _still(exchange: _Exchange) -> Visit:
    """Judge again who asks, once what they waited for is there: that may have taken until after their token was revoked."""
    again = exchange.parts.guard.judge(exchange.request)
    again.check()
    if again.grant.scope != exchange.visit.grant.scope:
        raise Unauthorized("what the token may see was changed a moment ago; ask again", given=True)
    return again


def _note(exchange: _Exchange, query: Query, answer: Answer, *, not_modified: bool) -> None:
    """Count the answer; most are summed up in the log, others have a line of their own."""
    outcome, duration_s = answer.outcome, exchange.duration_s
    exchange.outcome = outcome.kind
    exchange.parts.telemetry.answered(exchange.route, outcome.kind, duration_s, stale=outcome.stale, not_modified=not_modified)
    if is_ordinary(outcome, answer.entry.status):
        exchange.parts.summed.note(outcome.kind, duration_s, answer.age_s, not_modified=not_modified)
        return
    exchange.log(
        status=answer.entry.status,
        outcome=outcome.kind,
        **({} if outcome.stale is None else {"stale": outcome.stale}),
        age_s=round(answer.age_s, 3),
        **({} if answer.whole_age_s is None else {"whole_age_s": round(answer.whole_age_s, 3)}),
        **({} if outcome.made is None else {"made": outcome.made.value}),
        upstream_ms=None if answer.upstream_s is None else round(answer.upstream_s * 1000, 1),
        key=query.target,
    )


def _joined(headers: "CIMultiDictProxy[str]", name: str) -> str | None:
    """Return a list-valued field; several lines of it are one list (RFC 9110 section 5.3)."""
    lines = headers.getall(name, None)
    return None if lines is None else ", ".join(lines)


def _demand(headers: "CIMultiDictProxy[str]", freshness: Freshness, fresh_s: float) -> Demand:
    floor_s = freshness.client_floor_s
    return read_demand(
        _joined(headers, "Cache-Control") or "",
        _joined(headers, "Pragma") or "",
        fresh_s=fresh_s,
        floor_s=freshness.running_s if floor_s is None else floor_s,
    )


def _check_unlimited(visit: Visit) -> None:
    """Keep the counts of what is stored from limited tokens: they grow where a question has an answer."""
    if visit.grant.projects is not None:
        raise ScopeRefused("this token is limited to projects: what is told about the proxy as a whole takes one that isn't")


def _check_method(request: web.BaseRequest, path: str) -> None:
    if request.method not in _READING:
        advice = _UPLOAD if path == "/files" or path.startswith("/ingest/") else _TRAIN
        raise MethodNotAllowed(f"{shown(request.method)} is not possible: this proxy only reads. {advice}")
    if request.body_exists:
        raise BadRequest("a request that only reads has no body")
