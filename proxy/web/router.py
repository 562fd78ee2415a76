"""Who answers a request: one of the proxy's own pages, or `web.questions`. What all of them require is checked here."""

from collections.abc import Mapping

from aiohttp import web

from proxy.web.accounting.context import RequestContext
from proxy.web.gate.cors import Cors, is_preflight
from proxy.web.gate.hosts import AllowedHosts
from proxy.web.gate.methods import check_reads
from proxy.web.pages.admin import PREFIX as ADMIN_PREFIX
from proxy.web.pages.admin import Admin
from proxy.web.pages.health import PATHS as HEALTH_PATHS
from proxy.web.pages.health import Health, is_public
from proxy.web.pages.page import Page
from proxy.web.questions import Questions
from proxy.web.reading.fields import joined
from proxy.web.reading.targets import Target, read_target


class Router:
    """Has each request answered by whoever its path is for, if visit, host and method allow it."""

    def __init__(
        self, *, hosts: AllowedHosts, cors: Cors, health: Health, admin: Admin, pages: Mapping[str, Page], questions: Questions
    ) -> None:
        """`pages`: the other pages, by path."""
        self._hosts = hosts
        self._cors = cors
        self._health = health
        self._admin = admin
        self._pages = pages
        self._questions = questions

    async def respond(self, context: RequestContext) -> web.StreamResponse:
        """Return the response to a request. Raises ProxyError."""
        request, visit = context.request, context.visit
        target = read_target(request)
        if target.path in HEALTH_PATHS:
            return self._respond_health(context, target)
        preflight, page = is_preflight(request), self._pages.get(target.path)
        if preflight or (page is not None and page.is_public):
            # Browsers send no token with a preflight, which is about origins alone, nor where somebody opens a page.
            visit.check_network()
        else:
            visit.check()
        self._hosts.check(target.hosts)
        if target.path.startswith(ADMIN_PREFIX):
            context.matched("admin")
            visit.check()
            return await self._admin.respond(context, target)
        if preflight:
            return self._cors.preflight(request.headers["Origin"], request.headers.get("Access-Control-Request-Headers", ""))
        check_reads(request, target.path)
        if page is not None:
            context.matched(page.name)
            return await page.respond(context, target)
        return await self._questions.respond(context, target)

    def _respond_health(self, context: RequestContext, target: Target) -> web.Response:
        # Probes name the address they reach the proxy at, and these say nothing about anybody's data; only `?verbose` names
        # paths and states, which aren't for a page that has rebound its name.
        if not is_public(target):
            context.visit.check()
            context.visit.check_unlimited()
        check_reads(context.request, target.path)
        if target.query:
            self._hosts.check(target.hosts)
        return self._health.respond(target, joined(context.request.headers, "Accept") or "")
