"""Which pages of other origins may read answers (the Fetch standard's CORS protocol).

The upstream's own CORS headers are never passed on: they were meant for its pages. An origin that isn't listed gets the same
answers without these headers, and its browser keeps them from the page; without a preflight that succeeds it does not even send
what isn't simple.
"""

import re
from collections.abc import Collection

from aiohttp import web
from multidict import CIMultiDict

from proxy.core.question.form import shown
from proxy.errors import OriginRefused
from proxy.settings import Settings

# The fields that a page may read, beside those that any page may.
_EXPOSED = (
    "Age, Cache-Status, Content-Encoding, Date, ETag, RateLimit, Retry-After, WWW-Authenticate, "
    "X-Pluto-Complete-Through, X-Request-ID"
)
_PREFLIGHT_S = 7_200
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}")
_MOST_NAMES = 32


class Cors:
    """The listed origins, and the header fields that their pages need."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @property
    def _origins(self) -> Collection[str]:
        return self._settings.now.server.cors_origins

    def add(self, headers: "CIMultiDict[str]", origin: str | None) -> None:
        """Add to a response's headers what lets a page of this origin read it."""
        if not self._origins:
            return
        # Whether or not this request had one: a cache in between must not hand one origin's answer to another.
        add_vary(headers, "Origin")
        if origin is not None and origin in self._origins:
            headers["Access-Control-Allow-Origin"] = origin
            headers["Access-Control-Allow-Credentials"] = "true"
            headers["Access-Control-Expose-Headers"] = _EXPOSED

    def preflight(self, origin: str, asked_headers: str) -> web.Response:
        """Answer a preflight (`asked_headers`: its Access-Control-Request-Headers). Raises OriginRefused."""
        if origin not in self._origins:
            raise OriginRefused(
                f"pages of {shown(origin)!r} may not read through this proxy; its operator can list it in server.cors_origins"
            )
        response = web.Response(status=204)
        self.add(response.headers, origin)
        response.headers["Access-Control-Allow-Methods"] = "GET, HEAD"
        response.headers["Access-Control-Max-Age"] = str(_PREFLIGHT_S)
        # All names are allowed: fields that mean nothing here do no harm, and libraries add their own.
        names = [name.strip() for name in asked_headers.split(",")[:_MOST_NAMES]]
        if names := [name for name in names if _NAME.fullmatch(name)]:
            response.headers["Access-Control-Allow-Headers"] = ", ".join(names)
        response.headers["Vary"] = "Origin, Access-Control-Request-Headers"
        return response


def add_vary(headers: "CIMultiDict[str]", name: str) -> None:
    """Say in a response's headers that it depends on one more field of the request."""
    vary = headers.get("Vary")
    headers["Vary"] = name if vary is None else f"{vary}, {name}"


def is_preflight(request: web.BaseRequest) -> bool:
    """Tell whether a request is a preflight, by which browsers ask whether a page may send the request itself."""
    headers = request.headers
    return request.method == "OPTIONS" and "Origin" in headers and "Access-Control-Request-Method" in headers
