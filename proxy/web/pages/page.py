"""A page of the proxy's own, beside the routes of the read API."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from proxy.web.accounting.context import RequestContext
from proxy.web.reading.targets import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What answers the requests for one path.

    - `name` is what it is called in metrics and the log, as a route is.
    - `respond` returns the response to a GET or HEAD, and raises ProxyError.
    - `is_public`: whether it is for those as well who have sent no token. Such a page says nothing about anybody's data.
    """

    name: str
    respond: Callable[[RequestContext, Target], Awaitable[web.StreamResponse]]
    is_public: bool = False
