"""`/view/series`: series as charts draw them."""

import asyncio
from collections.abc import Sequence

from aiohttp import web

from proxy.core.freshness.entry import Coding, digest_of
from proxy.core.http.coding import encode
from proxy.core.http.negotiation import acceptable
from proxy.core.http.validators import is_named
from proxy.errors import NotAcceptable
from proxy.service.view.viewing import Requester, Seen, Viewer
from proxy.settings import Settings
from proxy.slices import in_slices
from proxy.web.accounting.busiest import Busiest
from proxy.web.accounting.context import RequestContext
from proxy.web.gate.access_headers import AccessHeaders
from proxy.web.gate.guard import Guard
from proxy.web.gate.limits import ClientLimits, client_of
from proxy.web.reading.fields import joined
from proxy.web.reading.targets import Target
from proxy.web.reading.views import ViewQuery, read_view
from proxy.web.reply.response import CACHE_CONTROL, BodyResponse
from proxy.web.reply.views import csv_of, json_of

# Compressing more than this goes to a thread.
_INLINE_BYTES = 16_384
_CONTENT = {
    "json": {"Content-Type": "application/json"},
    "csv": {
        "Content-Type": "text/csv; charset=utf-8; header=present",
        "Content-Disposition": 'attachment; filename="series.csv"',
    },
}


class SeriesPage:
    """The page."""

    def __init__(
        self,
        *,
        viewer: Viewer,
        guard: Guard,
        limits: ClientLimits,
        access_headers: AccessHeaders,
        busiest: Busiest,
        settings: Settings,
    ) -> None:
        self._viewer = viewer
        self._busiest = busiest
        self._guard = guard
        self._limits = limits
        self._access_headers = access_headers
        self._settings = settings

    async def respond(self, context: RequestContext, target: Target) -> web.Response:
        """Return the response to a request. Raises ProxyError."""
        request = context.request
        client = client_of(request, context.visit)
        deadline_s = context.started_s + self._settings.now.upstream.deadline_s
        async with self._limits.admitted(client, deadline_s=deadline_s):
            # The token may have been revoked while the request waited: then nothing is done for it.
            self._guard.judge_again(request, context.visit)
            asked = read_view(target.query)
            codings = acceptable(joined(request.headers, "Accept-Encoding"))
            if not codings:
                raise NotAcceptable("Accept-Encoding excludes identity; this proxy has gzip, zstd and identity")
            requester = Requester(
                client=client,
                deadline_s=deadline_s,
                granted=lambda: self._guard.judge_again(request, context.visit).grant,
            )
            body = await self._body(asked, requester)
            response = await _respond(body, codings[0], asked.form, joined(request.headers, "If-None-Match"))
            # To lay out and compress a million buckets takes seconds.
            self._guard.judge_again(request, context.visit)
        self._busiest.note(asked.question)
        self._access_headers.add(response, request)
        return response

    async def _body(self, asked: ViewQuery, requester: Requester) -> bytes:
        while True:
            seen = await self._viewer.view(asked.wanted, asked.view, requester)
            body = await self._laid_out(asked, seen)
            # What was purged while it was laid out is not handed out either.
            if self._viewer.stands(seen):
                return body

    async def _laid_out(self, asked: ViewQuery, seen: Sequence[Seen]) -> bytes:
        if asked.form == "json":
            return await in_slices(json_of(seen, asked.view))
        # A file has no place to tell that a series is missing.
        if (error := next((one.error for one in seen if one.error is not None), None)) is not None:
            raise error
        return await in_slices(csv_of(seen, asked.view))


async def _respond(body: bytes, coding: Coding, form: str, if_none_match: str | None) -> web.Response:
    tag = digest_of(body)
    headers = {"Cache-Control": CACHE_CONTROL, "Vary": "Accept-Encoding", "ETag": f'W/"{tag}"'}
    if if_none_match is not None and is_named(if_none_match, tag):
        return web.Response(status=304, headers=headers)
    headers |= _CONTENT[form]
    if coding is not Coding.IDENTITY:
        headers["Content-Encoding"] = coding
        body = encode(body, coding) if len(body) <= _INLINE_BYTES else await asyncio.to_thread(encode, body, coding)
    return BodyResponse(body=body, headers=headers)
