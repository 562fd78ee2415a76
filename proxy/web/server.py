"""The HTTP server: aiohttp's own, without its application and router: there is one handler, and the table of routes is ours."""

import asyncio
from functools import partial

import structlog
from aiohttp import web
from aiohttp.http_exceptions import InvalidURLError

from proxy.core.form import shown
from proxy.errors import BadRequest, ProxyError
from proxy.web.handler import handle
from proxy.web.parts import Parts
from proxy.web.problem import problem

# As long a request line as the upstream takes.
MAX_LINE_BYTES = 16_384
_log = structlog.get_logger()


class Server(web.Server):
    """Answers every request with `web.handler.handle`. A handler ends when its client goes away."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(partial(handle, parts), handler_cancellation=True)
        self._parts = parts

    def __call__(self) -> web.RequestHandler:
        """Return what speaks HTTP on a new connection; no access log, since requests that matter have lines of their own."""
        return _Connection(self._parts, self)


class _Connection(web.RequestHandler):
    """Answers what isn't HTTP in the form of all our errors: aiohttp would name itself and its parser's state."""

    def __init__(self, parts: Parts, server: Server) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]  # how aiohttp is told to write none
            max_line_size=MAX_LINE_BYTES,
            # Nobody looks at a request's body.
            auto_decompress=False,
        )
        self._parts = parts

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """Return the response to a request that could not be parsed, or whose handler failed; the connection ends with it."""
        request_id = self._parts.ids.of(request)
        if status < 500:
            # What stands before the parser's first colon says what is wrong; after it come the bytes, credentials among them.
            # Of a target that is no URL it shows nothing but the target.
            told = "the target is no URL" if isinstance(exc, InvalidURLError) else message or str(exc)
            wrong = shown(told.strip().partition("\n")[0].partition(":")[0])
            error: ProxyError = BadRequest(f"not a request that HTTP/1.1 allows: {wrong}")
            _log.info("request.unreadable", reason=wrong, request_id=request_id)
        else:
            error = ProxyError("a fault in the proxy; its log tells more")
            _log.error("request.crashed", request_id=request_id, exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("part of an answer has gone out already")
        self._parts.telemetry.counted("none", error.code, 0.0)
        response = problem(error, request_id=request_id)
        response.headers["X-Request-ID"] = request_id
        response.headers["Server"] = "pluto-proxy"
        response.force_close()
        return response
