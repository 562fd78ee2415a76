"""What pluto-api says of itself and of its keys, said by the proxy: these two are never forwarded.

Clients ask for `auth/validate` to see whether their token is good. The upstream's answer would name the owner of the shared
key, and `/api/health` would cost a call each time that a probe looks.
"""

import msgspec
from aiohttp import web

from proxy.service.tenancy import VALIDATE_TARGET, Tenancy
from proxy.settings import Settings
from proxy.web.accounting.context import RequestContext
from proxy.web.gate.access_headers import AccessHeaders
from proxy.web.gate.guard import Guard
from proxy.web.gate.limits import ClientLimits, client_of
from proxy.web.reading.targets import Target

VALIDATE_PATH = VALIDATE_TARGET
HEALTH_PATH = "/api/health"
_NO_STORE = {"Cache-Control": "no-store"}


class Identity:
    """The two pages."""

    def __init__(
        self, tenancy: Tenancy, access_headers: AccessHeaders, *, guard: Guard, limits: ClientLimits, settings: Settings
    ) -> None:
        self._tenancy = tenancy
        self._access_headers = access_headers
        self._guard = guard
        self._limits = limits
        self._settings = settings

    async def validate(self, context: RequestContext, _target: Target) -> web.Response:
        """Return the response to somebody whose token is good, or who needs none.

        The texts are empty as long as nobody has told whose data the proxy reads: the token is good all the same.
        """
        request, visit = context.request, context.visit
        deadline_s = context.started_s + self._settings.now.upstream.deadline_s
        async with self._limits.admitted(client_of(request, visit), deadline_s=deadline_s):
            organization = await self._organization()
            # The token may have been revoked while the request waited.
            self._guard.judge_again(request, visit)
        body = msgspec.json.encode({"valid": True, "organization": organization})
        response = web.Response(body=body, content_type="application/json", headers=_NO_STORE)
        self._access_headers.add(response, context.request)
        return response

    async def _organization(self) -> dict[str, str]:
        tenant = self._tenancy.current()
        if tenant.organization is None or not tenant.organization.slug:
            await tenant.told(within_s=self._settings.now.freshness.stale_wait_s)
        said = tenant.organization
        return {"id": "", "slug": ""} if said is None else {"id": said.id, "slug": said.slug}

    async def health(self, context: RequestContext, _target: Target) -> web.Response:
        """Return the response to whoever asks whether the process lives."""
        response = web.Response(text="OK", headers=_NO_STORE)
        self._access_headers.add(response, context.request)
        return response
