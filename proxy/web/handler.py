"""A request's way through the web room: it is judged, answered by the shortcut or the router, and accounted for."""

import structlog
from aiohttp import web

from proxy.errors import ProxyError
from proxy.web.accounting.accounting import Accounting
from proxy.web.accounting.context import RequestContext
from proxy.web.gate.access_headers import AccessHeaders
from proxy.web.gate.guard import Guard
from proxy.web.reply.problem import problem
from proxy.web.router import Router
from proxy.web.shortcut.leases import Leases

_log = structlog.get_logger()


class Handler:
    """Handles requests. Whatever happens, the client gets a response."""

    def __init__(
        self,
        *,
        guard: Guard,
        leases: Leases,
        router: Router,
        accounting: Accounting,
        access_headers: AccessHeaders,
    ) -> None:
        self._guard = guard
        self._leases = leases
        self._router = router
        self._accounting = accounting
        self._access_headers = access_headers

    async def handle(self, request: web.BaseRequest, raw: bytes | None = None) -> web.StreamResponse:
        """Answer any request that could be parsed, whatever its target; `raw` is all of its bytes, where they are at hand."""
        visit = self._guard.judge(request)
        prepared = self._leases.answer_parsed(request, visit, raw)
        if prepared is not None:
            return prepared
        context = self._accounting.begin(request, visit)
        try:
            response = await self._router.respond(context)
        except ProxyError as exc:
            response = self._refuse(context, exc)
        except Exception:  # noqa: BLE001 -- the last resort: whatever it is, the client gets a document and the log the traceback
            _log.exception("request.crashed", request_id=context.request_id)
            response = self._refuse(context, ProxyError("a fault in the proxy; its log tells more"))
        response.headers["X-Request-ID"] = context.request_id
        response.headers["Server"] = "pluto-proxy"
        self._accounting.end(context, response)
        return response

    def _refuse(self, context: RequestContext, error: ProxyError) -> web.Response:
        self._accounting.refused(context, error)
        response = problem(error, request_id=context.request_id)
        # No page of another origin has any business with `/admin/`.
        self._access_headers.add(response, context.request, to_pages=context.route != "admin")
        return response
