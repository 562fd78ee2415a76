"""Errors as documents (RFC 9457), the one place where an error becomes a response."""

import math

import msgspec
from aiohttp import web

from proxy.errors import BadQuery, ClientLimited, MethodNotAllowed, ProxyError, Unauthorized, UpstreamBusy

CONTENT_TYPE = "application/problem+json"


def problem(error: ProxyError, *, request_id: str) -> web.Response:
    """Return the response for an error.

    Beside RFC 9457's members it has `error`, the text that pluto-api's clients look for, `code`, `request_id`, and for a bad
    query `faults`, one for each faulty parameter. A 503 says when to ask again, a 401 what to ask with (RFC 6750 section 3).
    """
    document = {
        "type": "about:blank",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "error": f"{error.title}: {error.detail}",
        "code": error.code,
        "request_id": request_id,
    }
    headers = {"Content-Type": CONTENT_TYPE, "Cache-Control": "no-store"}
    match error:
        case BadQuery():
            document["faults"] = [{"parameter": fault.parameter, "message": fault.message} for fault in error.faults]
        case UpstreamBusy():
            headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
        case ClientLimited():
            seconds = max(1, math.ceil(error.retry_after_s))
            # draft-ietf-httpapi-ratelimit-headers: nothing remains (r) of what this policy allows, for so many seconds (t).
            headers |= {"Retry-After": str(seconds), "RateLimit": f'"{error.policy}";r=0;t={seconds}'}
        case MethodNotAllowed():
            headers["Allow"] = error.allowed
        case Unauthorized():
            headers["WWW-Authenticate"] = 'Bearer realm="pluto-proxy"' + (', error="invalid_token"' if error.given else "")
        case _:
            pass
    return web.Response(status=error.status, body=msgspec.json.encode(document), headers=headers)
