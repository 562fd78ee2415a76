"""The response to a query: read what the request demands, have the service answer, make the response."""

from aiohttp import web

from proxy.core.http.negotiation import acceptable
from proxy.core.question.query import Query
from proxy.errors import NotAcceptable
from proxy.service.answering import Answerer, Wish
from proxy.settings import Settings
from proxy.web.accounting.accounting import Accounting
from proxy.web.accounting.context import RequestContext
from proxy.web.gate.access_headers import AccessHeaders
from proxy.web.gate.guard import Guard
from proxy.web.reading.demands import DemandReader
from proxy.web.reading.fields import joined
from proxy.web.reply.response import respond
from proxy.web.shortcut.leases import Leases


class Responder:
    """Responds to queries, accounts for them, and has a lease made of what can be given again."""

    def __init__(
        self,
        *,
        answerer: Answerer,
        guard: Guard,
        demands: DemandReader,
        access_headers: AccessHeaders,
        accounting: Accounting,
        leases: Leases,
        settings: Settings,
    ) -> None:
        self._answerer = answerer
        self._guard = guard
        self._demands = demands
        self._access_headers = access_headers
        self._accounting = accounting
        self._leases = leases
        self._settings = settings

    async def respond(self, context: RequestContext, query: Query, *, client: str, deadline_s: float) -> web.Response:
        """Return the response to a request's query, by `deadline_s` (monotonic clock).

        `client` is the one in whose turn the query waits upstream. Raises ProxyError.
        """
        request, visit = context.request, context.visit
        settled = await self._answerer.admit(visit.grant, query, client=client)
        codings = acceptable(joined(request.headers, "Accept-Encoding"))
        if not codings:
            raise NotAcceptable("Accept-Encoding excludes identity; this proxy has gzip, zstd and identity")
        while True:
            version, demand = self._settings.version, self._demands.read(request.headers, query)
            wish = Wish(demand=demand, codings=codings, client=client, deadline_s=deadline_s)
            # Until the answer was there the token may have been revoked.
            found = await self._answerer.answer(query, wish, lambda: self._guard.judge_again(request, visit).grant)
            # A stored answer may be too old for the settings that hold by now. One that was just asked for is not.
            if self._settings.version == version or not found.answer.outcome.hit:
                break
        response = respond(found, query, joined(request.headers, "If-None-Match"))
        self._access_headers.add(response, request)
        self._accounting.answered(context, query, found.answer, not_modified=response.status == 304)
        if settled:
            self._leases.remember(context, query, demand, found, response)
        return response
