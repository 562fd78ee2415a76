"""`/view/events`: one connection that tells a client which of the series that it watches have new rows."""

from secrets import token_hex

from aiohttp import web

from proxy.clock import Clock
from proxy.core.freshness.entry import digest_of
from proxy.service.answering import Answerer
from proxy.service.watching.values import Series
from proxy.service.watching.watching import Watching
from proxy.settings import Settings
from proxy.web.accounting.context import RequestContext
from proxy.web.gate.access_headers import AccessHeaders
from proxy.web.gate.guard import Guard
from proxy.web.gate.limits import ClientLimits, client_of
from proxy.web.pages.view.event_stream import EventStream, Watch
from proxy.web.pages.view.streams import Streams
from proxy.web.reading.targets import Target
from proxy.web.reading.views import SERIES, Reading, read_names
from proxy.web.reply.response import CACHE_CONTROL
from proxy.web.reply.server_sent import CONTENT_TYPE

PATH = "/view/events"


class Events:
    """Opens event streams."""

    def __init__(
        self,
        *,
        watching: Watching,
        streams: Streams,
        answerer: Answerer,
        guard: Guard,
        limits: ClientLimits,
        access_headers: AccessHeaders,
        clock: Clock,
        settings: Settings,
    ) -> None:
        self._watching = watching
        self._streams = streams
        self._answerer = answerer
        self._guard = guard
        self._limits = limits
        self._access_headers = access_headers
        self._clock = clock
        self._settings = settings
        # Another process has other numbers.
        self._boot = token_hex(4)

    async def respond(self, context: RequestContext, target: Target) -> web.StreamResponse:
        """Return a response whose body is the stream. Raises ProxyError."""
        request, visit = context.request, context.visit
        client = client_of(request, visit)
        # The turn is held while the request is judged, not while the stream goes on.
        async with self._limits.admitted(client, deadline_s=context.started_s + self._settings.now.upstream.deadline_s):
            visit = self._guard.judge_again(request, visit)
            series = _watch_list(target.query)
            for one in series:
                await self._answerer.admit(visit.grant, one.query, client=client)
        self._streams.check(client, watched=self._watching.series_with(series))
        stem = f"{self._boot}{digest_of(target.query.encode())[:8]}"
        watch = Watch(
            series=series,
            client=client,
            stem=stem,
            since=_since(request.headers.get("Last-Event-ID", ""), stem),
            visit=visit,
            request_id=context.request_id,
        )
        response = EventStream(
            request, watch, watching=self._watching, streams=self._streams, guard=self._guard, clock=self._clock
        )
        response.headers["Content-Type"] = CONTENT_TYPE
        response.headers["Cache-Control"] = CACHE_CONTROL
        response.headers["X-Content-Type-Options"] = "nosniff"
        # Balancers that collect answers would keep events to themselves.
        response.headers["X-Accel-Buffering"] = "no"
        self._access_headers.add(response, request)
        return response


def _watch_list(raw: str) -> tuple[Series, ...]:
    """Return the series that a raw query names, run by run, each once. Raises BadQuery."""
    reading = Reading(raw, SERIES)
    named = read_names(reading)
    reading.check()
    return tuple(Series(project=named.project, run=run, metric=metric) for run in named.runs for metric in named.metrics)


def _since(last_id: str, stem: str) -> int | None:
    """Return the number of the last change that a client was told of; None where it is to be told of everything."""
    given, _, number = last_id.rpartition("-")
    return int(number) if given == stem and number.isascii() and number.isdigit() and len(number) < 19 else None
