"""`/openapi.json`: the proxy's own surface, made from the table of routes (OpenAPI 3.1)."""

from collections.abc import Iterable, Sequence

import msgspec
from aiohttp import web

from proxy import __version__
from proxy.core.question.parameters import Parameter, Schema
from proxy.core.question.route import Route
from proxy.errors import (
    AdminRefused,
    AnswerTooLarge,
    BadQuery,
    BadRequest,
    ClientLimited,
    Draining,
    KeyRefused,
    MethodNotAllowed,
    NetworkRefused,
    NotAcceptable,
    NotFound,
    NothingStored,
    NotJson,
    Offline,
    OriginRefused,
    ProxyError,
    QueryTooLong,
    ScopeRefused,
    TooManyRequests,
    Unauthorized,
    UpstreamBadAnswer,
    UpstreamBusy,
    UpstreamFailed,
    UpstreamStalled,
    UpstreamTimeout,
    WrongHost,
    WrongOrganization,
)
from proxy.service.access.tokens import Tokens
from proxy.settings import Settings
from proxy.web.accounting.context import RequestContext
from proxy.web.gate.access_headers import AccessHeaders
from proxy.web.pages.identity import HEALTH_PATH, VALIDATE_PATH
from proxy.web.pages.view.events import PATH as EVENTS_PATH
from proxy.web.reading.targets import Target
from proxy.web.reading.views import FORM, MOST_NAMED, POINTS, SERIES, SEVERAL, VIEW_PATH
from proxy.web.reply.problem import CONTENT_TYPE
from proxy.web.reply.response import CACHE_CONTROL

PATH = "/openapi.json"
_ERRORS: tuple[type[ProxyError], ...] = (
    BadRequest,
    BadQuery,
    Unauthorized,
    OriginRefused,
    AdminRefused,
    NetworkRefused,
    ScopeRefused,
    WrongOrganization,
    NotFound,
    MethodNotAllowed,
    NotAcceptable,
    QueryTooLong,
    NotJson,
    TooManyRequests,
    WrongHost,
    ProxyError,
    UpstreamFailed,
    UpstreamBadAnswer,
    AnswerTooLarge,
    KeyRefused,
    ClientLimited,
    Draining,
    UpstreamBusy,
    UpstreamTimeout,
    UpstreamStalled,
    NothingStored,
    Offline,
)
_TEXT: Schema = {"type": "string"}
_HEADERS = {
    "Age": ("integer", "seconds since pluto-api was asked"),
    "Cache-Status": ("string", "how the answer came about (RFC 9211)"),
    "ETag": ("string", "strong entity tag of this representation"),
    "X-Request-ID": ("string", "the request's own, or a new one"),
}


_TOKEN = {"token": {"type": "http", "scheme": "bearer", "description": "one of the proxy's own, `ppt_...`"}}
_NEEDED: Sequence[Schema] = [{"token": []}]


class OpenApi:
    """The page with the document."""

    def __init__(self, routes: Iterable[Route], access_headers: AccessHeaders, tokens: Tokens, settings: Settings) -> None:
        self._routes = tuple(routes)
        self._access_headers = access_headers
        self._tokens = tokens
        settings.follow(self._renew)

    def _renew(self) -> None:
        self._document = document(self._routes, tokens=self._tokens.needed)

    async def respond(self, context: RequestContext, _target: Target) -> web.Response:
        """Return the response to a request for the page."""
        headers = {"Cache-Control": CACHE_CONTROL}
        response = web.Response(body=self._document, content_type="application/json", headers=headers)
        self._access_headers.add(response, context.request)
        return response


def document(routes: Iterable[Route], *, tokens: bool) -> bytes:
    """Return the document, as JSON. `tokens`: whether they are needed."""
    paths = {route.path: {"get": _operation(route)} for route in routes}
    schemas = {"schemas": {"Problem": _problem()}, "responses": _error_responses()}
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "pluto-proxy",
                "version": __version__,
                "description": "A caching proxy in front of pluto-api that only reads. HEAD works wherever GET does.",
            },
            "paths": {**paths, VIEW_PATH: {"get": _view()}, **_own_paths(tokens=tokens)},
            "components": {**schemas, "securitySchemes": _TOKEN} if tokens else schemas,
            **({"security": _NEEDED} if tokens else {}),
        }
    )


def _operation(route: Route) -> dict[str, object]:
    parameters = [_parameter(parameter, "query") for parameter in route.parameters]
    if route.segment is not None:
        parameters.insert(0, _parameter(route.segment, "path"))
    headers = {name: {"schema": {"type": kind}, "description": text} for name, (kind, text) in _HEADERS.items()}
    return {
        "operationId": route.name,
        "summary": route.summary,
        "parameters": parameters,
        "responses": {
            "200": {
                "description": "What pluto-api answered, byte for byte",
                "headers": headers,
                "content": {"application/json": {"schema": {"type": "object"}}},
            },
            "304": {"description": "If-None-Match names what the client has already"},
            **{status: {"$ref": f"#/components/responses/{status}"} for status in _error_responses()},
        },
    }


def _view() -> dict[str, object]:
    """Return what is said of views: docs/reference/view.md has the rest."""
    defaults: dict[str, object] = {"points": POINTS, "smooth": 0, "format": "json"}
    parameters: list[dict[str, object]] = []
    for name, kind in {**SERIES, **FORM}.items():
        schema = dict(kind.schema) | ({"default": defaults[name]} if name in defaults else {})
        if name in SEVERAL:
            schema = {"type": "array", "items": schema, "minItems": 1, "maxItems": MOST_NAMED}
        parameters.append({"name": name, "in": "query", "required": name in SERIES, "schema": schema})
    content = {form: {"schema": {"type": kind}} for form, kind in (("application/json", "object"), ("text/csv", "string"))}
    return {
        "operationId": "view_series",
        "summary": "Series reduced to buckets of steps, for charts: count, least, greatest, mean, first and last value of each",
        "parameters": parameters,
        "responses": {
            "200": {
                "description": "An entry for each run and metric, which says whether it is of all rows",
                "content": content,
            },
            "304": {"description": "If-None-Match names what the client has already"},
            **{status: {"$ref": f"#/components/responses/{status}"} for status in _error_responses()},
        },
    }


def _parameter(parameter: Parameter, where: str) -> dict[str, object]:
    schema = dict(parameter.kind.schema)
    if parameter.default is not None:
        schema["default"] = int(parameter.default) if schema.get("type") == "integer" else parameter.default
    required = parameter.required or where == "path"
    return {"name": parameter.name, "in": where, "required": required, "schema": schema}


def _error_responses() -> dict[str, object]:
    """Return a response for each status; errors that share one are described together."""
    by_status: dict[int, list[str]] = {}
    for error in _ERRORS:
        by_status.setdefault(error.status, []).append(f"`{error.code}`: {error.title}")
    content = {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {str(status): {"description": "; ".join(texts), "content": content} for status, texts in sorted(by_status.items())}


def _problem() -> Schema:
    fault = {"type": "object", "properties": {"parameter": _TEXT, "message": _TEXT}}
    texts = dict.fromkeys(("type", "title", "detail", "error", "code", "request_id"), _TEXT)
    return {
        "type": "object",
        "description": "RFC 9457, with `error` as pluto-api's own errors have it",
        "properties": {**texts, "status": {"type": "integer"}, "faults": {"type": "array", "items": fault}},
        "required": ["type", "title", "status", "detail", "error", "code", "request_id"],
    }


def _own_paths(*, tokens: bool) -> dict[str, object]:
    texts = {
        "/livez": "200 while the process lives",
        "/readyz": "200 while requests are taken; names what is wrong. With `?verbose` as JSON",
        "/metrics": "for Prometheus",
        PATH: "this document",
        VALIDATE_PATH: "whether the token is good, and whose data the proxy reads, as pluto-api says of its keys",
        HEALTH_PATH: "200 while the process lives, as pluto-api's own",
        EVENTS_PATH: "Server-Sent Events that tell which series of a `project`, of its `run`s and `metric`s, have new rows",
    }
    managing = {
        "/admin/state": ("get", "what /readyz?verbose says, and how many requests and purges there were"),
        "/admin/usage": ("get", "what each token has used since the process began, and the questions that are asked most"),
        "/admin/history": ("get", "what was done in the last hour, in intervals of 10 s; `since` leaves out what was before"),
        "/admin/purge": ("post", "purges a `project`, a `run`, a `metric` or `everything`; the `mode` is `hard` or `soft`"),
    }
    # With `?verbose` it is needed for this one.
    open_: dict[str, Sequence[Schema]] = {"/livez": [], HEALTH_PATH: [], "/readyz": [{}, *_NEEDED]} if tokens else {}
    return {
        path: {
            method: {
                "summary": text,
                "responses": {"200": {"description": text}},
                **({"security": open_[path]} if path in open_ else {}),
            }
        }
        for path, (method, text) in ({path: ("get", text) for path, text in texts.items()} | managing).items()
    }
