"""Requests for a route of the read API: find the route, wait for the client's turn, read the query, have it responded to."""

from aiohttp import web

from proxy.core.question.form import shown
from proxy.core.question.route import RouteTable
from proxy.errors import NotFound
from proxy.settings import Settings
from proxy.web.accounting.context import RequestContext
from proxy.web.gate.guard import Guard
from proxy.web.gate.limits import ClientLimits, client_of
from proxy.web.pages.openapi import PATH as OPENAPI_PATH
from proxy.web.reading.queries import QueryReader
from proxy.web.reading.targets import Target
from proxy.web.responder import Responder


class Questions:
    """Takes requests for the routes of a table, and holds each client to its limits."""

    def __init__(
        self,
        *,
        routes: RouteTable,
        limits: ClientLimits,
        guard: Guard,
        queries: QueryReader,
        responder: Responder,
        settings: Settings,
    ) -> None:
        self._routes = routes
        self._limits = limits
        self._guard = guard
        self._queries = queries
        self._responder = responder
        self._settings = settings

    async def respond(self, context: RequestContext, target: Target) -> web.Response:
        """Return the response to a request for a target. Raises ProxyError, among them NotFound and ClientLimited."""
        matched = self._routes.match(target.path)
        if matched is None:
            raise NotFound(f"{shown(target.path)} is not a route of this proxy; {OPENAPI_PATH} lists them")
        route, segment = matched
        context.matched(route.name)
        client = client_of(context.request, context.visit)
        deadline_s = context.started_s + self._settings.now.upstream.deadline_s
        if not self._limits.enabled:
            query = self._queries.read(route, segment, target.query)
            return await self._responder.respond(context, query, client=client, deadline_s=deadline_s)
        async with self._limits.admitted(client, deadline_s=deadline_s):
            # The token may have been revoked while the request waited: then nothing is done for it.
            self._guard.judge_again(context.request, context.visit)
            # The query is read within the turn: a long one takes time, and more if it is refused, which nothing remembers.
            query = self._queries.read(route, segment, target.query)
            return await self._responder.respond(context, query, client=client, deadline_s=deadline_s)
