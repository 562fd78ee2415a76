"""The HTTP server: aiohttp's own, without its application and its router. All requests go to one handler, `web.handler`."""

import asyncio
import socket
from collections.abc import Awaitable
from contextlib import suppress

import structlog
from aiohttp import HttpVersion11, web
from aiohttp.http_exceptions import InvalidURLError

from proxy.core.question.form import shown
from proxy.errors import BadRequest, ProxyError
from proxy.settings import Settings
from proxy.web.accounting.accounting import Accounting
from proxy.web.connection.accepting import TlsSite
from proxy.web.connection.boundary import END_OF_HEAD, Boundary
from proxy.web.connection.crowd import Crowd, Seat
from proxy.web.connection.half_closed import HalfClosed
from proxy.web.connection.handshakes import Handshakes, source_of
from proxy.web.connection.head_sizes import HeadLimit
from proxy.web.encryption.certificate import Certificate
from proxy.web.handler import Handler
from proxy.web.intake import Intake
from proxy.web.pages.view.event_stream import EventStream
from proxy.web.reply.problem import problem
from proxy.web.shortcut.leases import Leases
from proxy.web.shortcut.writing import Outlet

# As long a request line as the upstream takes.
MAX_LINE_BYTES = 16_384
_UNREAD_BYTES = 65_536
# A connection is looked at so often at least: its timeout may be another one by then.
_LOOK_S = 20.0
_NEVER_S = 10 * 365 * 86_400.0
_log = structlog.get_logger()


class Server(web.Server):
    """Has every request handled, until it is answered or its client goes away."""

    def __init__(
        self,
        settings: Settings,
        *,
        handler: Handler,
        leases: Leases,
        intake: Intake,
        accounting: Accounting,
        certificate: Certificate | None,
    ) -> None:
        """`certificate`: what clients of TCP are shown, None where connections aren't encrypted."""
        super().__init__(_answer, handler_cancellation=True)
        self._crowd = Crowd(settings)
        self.handshakes = None if certificate is None else Handshakes(certificate, self._crowd, self._connect)
        self._handler = handler
        self._leases = leases
        self._intake = intake
        self._accounting = accounting
        self._empty = asyncio.Event()

    async def emptied(self, *, within_s: float) -> None:
        """Wait until no connection is left, for so many seconds at most. Connections must not be accepted any more.

        Those whose handshake is under way are to come yet.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                if self.handshakes is not None:
                    await self.handshakes.settled()
                while self.connections:
                    self._empty.clear()
                    await self._empty.wait()

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        """Forget a connection."""
        super().connection_lost(handler, exc)
        if not self.connections:
            self._empty.set()

    def __call__(self) -> web.RequestHandler:
        """Return the protocol of a new connection."""
        return self._connect()

    def site(self, runner: web.ServerRunner, opened: socket.socket, *, backlog: int) -> web.BaseSite:
        """Return what lets clients connect to a listening socket. Those of Unix sockets need no TLS: nobody can listen in."""
        if self.handshakes is None or opened.family == socket.AF_UNIX:
            return web.SockSite(runner, opened, backlog=backlog)
        return TlsSite(runner, opened, self.handshakes)

    async def shutdown(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 -- aiohttp's signature
        """End what has not become a connection yet, and then the connections."""
        if self.handshakes is not None:
            await self.handshakes.aclose()
        await super().shutdown(timeout)

    def _connect(self, seat: Seat | None = None) -> "_Connection":
        # There is no access log: requests that matter have lines of their own.
        return _Connection(
            self,
            self._crowd,
            handler=self._handler,
            leases=self._leases,
            intake=self._intake,
            accounting=self._accounting,
            seat=seat,
        )


def _answer(request: web.BaseRequest) -> Awaitable[web.StreamResponse]:
    connection = request.protocol
    if not isinstance(connection, _Connection):
        raise TypeError("a request comes by a connection of this server")
    return connection.answer(request)


class _Connection(web.RequestHandler):
    """A client's connection: aiohttp's own, with the shortcut before its parser, bounds, and the proxy's form of errors."""

    def __init__(
        self,
        server: Server,
        crowd: Crowd,
        *,
        handler: Handler,
        leases: Leases,
        intake: Intake,
        accounting: Accounting,
        seat: Seat | None,
    ) -> None:
        """`seat`: its place in the crowd, if it has been counted."""
        loop = asyncio.get_running_loop()
        super().__init__(
            server,
            loop=loop,
            access_log=None,  # type: ignore[arg-type]  # how aiohttp is told to write none
            max_line_size=MAX_LINE_BYTES,
            # Nobody looks at a request's body.
            auto_decompress=False,
            # `_look` closes idle connections: aiohttp knows neither what is unread nor the requests that weren't parsed.
            keepalive_timeout=_NEVER_S,
        )
        self._time = loop.time
        self._head_limit = HeadLimit(self._parser)  # type: ignore[arg-type]  # aiohttp's own names it by what it may be made of
        self._parser = self._head_limit  # type: ignore[assignment]  # all of a parser that a server uses
        self._crowd = crowd
        self._handler = handler
        self._leases = leases
        self._intake = intake
        self._accounting = accounting
        self._address = ""
        self._seat = seat
        self._timer: asyncio.TimerHandle | None = None
        self._unread_bytes = 0
        # Whether a request came that is being answered.
        self._answering = False
        # All bytes that came since the connection was idle, where they came in one piece and end as one request does.
        self._raw: bytes | None = None
        # Idle: all that came is answered, and the next byte begins a request.
        self._idle, self._boundary = True, Boundary()
        self._outlet: Outlet | None = None
        self._encrypted = False
        self._answered = self._answered_before = 0
        self._knows_interim = True
        self._writing = self._endless = False
        self._half_closed: HalfClosed | None = None
        self.since_s = 0.0
        """When the client last sent, or read, something (the event loop's clock)."""

    @property
    def peername(self) -> str | None:
        """The address that the connection comes from, in plain form, or UNIX: it becomes the `remote` of requests."""
        return self._address or None

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request that came by this connection."""
        self._answering = True
        try:
            response = await self._handler.handle(request, None if request.body_exists else self._raw)
            if self._intake.draining:
                # So the client opens another one for its next request. Were the connection closed while it is idle, a request
                # could be on its way already.
                response.force_close()
            return response
        finally:
            self._answering = False
            self.since_s = self._time()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, unless there are too many connections."""
        super().connection_made(transport)
        opened = transport.get_extra_info("socket")
        self._encrypted = transport.get_extra_info("sslcontext") is not None
        if self.transport is not None:
            self._outlet = Outlet(self.transport, None if self._encrypted else opened.fileno())
        if self._encrypted and self.transport is not None:
            # As it is without TLS. Unless told otherwise TLS keeps eight times as much for whoever reads slowly.
            self.transport.set_write_buffer_limits(high=_UNREAD_BYTES)
        self._address = source_of(opened.family, transport.get_extra_info("peername"))
        self.since_s = self._time()
        if self._seat is None:
            self._seat = self._crowd.enter(self._address)
        if self._seat.granted:
            self._look_again()
        elif self.transport is not None:
            _log.warning("connection.refused", address=self._address)
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Answer at once if the bytes are a request that was seen before, and none is under way; else have them parsed."""
        transport = self.transport
        if (
            self._idle
            and self._outlet is not None
            and transport is not None
            and not transport.get_write_buffer_size()
            and self._leases.answer(self._address, data, self._outlet)
        ):
            self.since_s = self._time()
            return
        self._raw = data if self._idle and data.find(END_OF_HEAD) == len(data) - len(END_OF_HEAD) else None
        if self._idle:
            self._boundary.begin()
        self._idle, parsed_before = False, self._request_count
        super().data_received(data)
        self._boundary.note(data, self._request_count - parsed_before)
        if len(self._messages) != 1:
            self._raw = None
        self._knows_interim = self._knows_interim and not any(map(_is_old, self._messages))

    def eof_received(self) -> bool:  # type: ignore[override]  # aiohttp's returns None, which asyncio takes for False
        """Keep a connection open whose client has ended its side, while anything that it asked is unanswered.

        (aiohttp ends it at once. So does TLS: there nobody can end their side alone.)
        """
        transport = self.transport
        if transport is None or self._encrypted or not self._is_asked or not self._head_limit.is_bodied:
            return False
        if self._endless:
            return False  # to wait until such an answer is complete would be to wait for the client itself
        self._answered_before = self._answered
        self._half_closed = HalfClosed(transport, self._waits)
        return True

    @property
    def _is_asked(self) -> bool:
        """Whether requests are unanswered, those included that are parsed but not yet handled."""
        return self._request_count > self._answered

    def _waits(self) -> bool:
        """Tell whether a request has waited since the last call, and an interim response may be sent before its answer."""
        before, self._answered_before = self._answered_before, self._answered
        return before == self._answered and not self._writing and self._knows_interim

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Write a response. The connection is idle again if all that the client has sent is answered, and more may come."""
        self._writing, self._endless = True, isinstance(resp, EventStream)
        if self._endless and self._half_closed is not None and self.transport is not None:
            self.transport.abort()
        finished = await super().finish_response(request, resp, start_time)
        self._writing = self._endless = False
        self._answered += 1
        if self._half_closed is not None and not self._is_asked:
            self.close()
        stays = bool(finished[0].keep_alive) and not finished[1]
        if request.body_exists:
            self._boundary.note_body()
        self._idle = stays and not self._messages and self._boundary.is_here
        return finished

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the connection."""
        if self._timer is not None:
            self._timer.cancel()
        if self._half_closed is not None:
            self._half_closed.end()
        if self._seat is not None:
            self._seat.leave()
        if self._outlet is not None:
            self._outlet.end()
        super().connection_lost(exc)

    def resume_writing(self) -> None:
        """Go on writing, since the client has read.

        That is noted here, since `_look` would miss it: with the next chunk of a body as much is unread as before.
        """
        super().resume_writing()
        self.since_s = self._time()

    def _look(self) -> None:
        """Close the connection if its client neither sends a request nor reads its answer.

        A look now and then does in place of a timer for each request, which would cost every hit.
        """
        transport = self.transport
        if transport is None:
            return
        now_s = self._time()
        unread_bytes = transport.get_write_buffer_size()
        if unread_bytes != self._unread_bytes or ((self._answering or self._writing) and not unread_bytes):
            self._unread_bytes, self.since_s = unread_bytes, now_s
        if now_s - self.since_s >= self._crowd.idle_timeout_s:
            transport.abort()
        else:
            self._look_again()

    def _look_again(self) -> None:
        wait_s = min(self._crowd.idle_timeout_s / 4, _LOOK_S)
        self._timer = asyncio.get_running_loop().call_later(wait_s, self._look)

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """Return the response to a request that could not be parsed, or whose handler failed; the connection ends with it."""
        request_id = self._accounting.id_of(request)
        if status < 500:
            # What stands before the parser's first colon says what is wrong; after it come the bytes, credentials among them.
            # Of a target that is no URL it shows nothing but the target.
            reason = "the target is no URL" if isinstance(exc, InvalidURLError) else message or str(exc)
            wrong = shown(reason.strip().partition("\n")[0].partition(":")[0])
            error: ProxyError = BadRequest(f"not a request that HTTP/1.1 allows: {wrong}")
            _log.info("request.unreadable", reason=wrong, request_id=request_id)
        else:
            error = ProxyError("a fault in the proxy; its log tells more")
            _log.error("request.crashed", request_id=request_id, exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("part of an answer has gone out already")
        self._accounting.unreadable(error)
        response = problem(error, request_id=request_id)
        response.headers["X-Request-ID"] = request_id
        response.headers["Server"] = "pluto-proxy"
        response.force_close()
        return response


def _is_old(asked: tuple[object, object]) -> bool:
    """Tell whether a request is of HTTP/1.0. (What could not be parsed has no version; its answer is the connection's last.)"""
    return getattr(asked[0], "version", HttpVersion11) < HttpVersion11
