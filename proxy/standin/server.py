"""The stand-in itself: its parts, its application, and a way to serve it."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from aiohttp.typedefs import Handler

from proxy.standin import control
from proxy.standin.answers import KEEP_ALIVE_S, start
from proxy.standin.auth import Keys
from proxy.standin.catalogue import Catalogue
from proxy.standin.config import StandinConfig
from proxy.standin.counters import Counters
from proxy.standin.exchange import Exchange
from proxy.standin.faults import Faults
from proxy.standin.growth import Growth
from proxy.standin.querystring import split_target
from proxy.standin.ratelimit import RateLimit
from proxy.standin.rows import Rows
from proxy.standin.storage import Storage

# Above the upstream's own limit of 16 KiB, so that the stand-in sees what is too long and answers 431 itself.
_MAX_LINE_BYTES = 128 * 1024
_MAX_UPLOAD_BYTES = 64 * 1024 * 1024
_SHUTDOWN_S = 1.0


class Standin:
    """A pluto-api to test against. All parts may be changed at any time, while it is served too.

    `clock` is wall seconds (growth, Date), `monotonic` is for the counters and the rate limit, `sleep` for delays.
    """

    def __init__(
        self,
        config: StandinConfig | None = None,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        config = config or StandinConfig()
        self.clock = clock
        self.sleep = sleep
        self.mode = config.mode
        self.key_order = config.key_order
        self.gzip = config.gzip
        self.keys = Keys(config.keys)
        self.rows = Rows()
        self.growth = None if config.growth is None else Growth(config.growth, self.rows, clock())
        self.catalogue = Catalogue(self.rows, self.growth, clock)
        self.storage = Storage()
        self.web_url = config.web_url
        self.faults = Faults()
        self.counters = Counters(monotonic)
        self.rate_limit: RateLimit | None = None
        if config.rate_per_s is not None:
            self.rate_limit = RateLimit(per_s=config.rate_per_s, burst=config.burst, monotonic=monotonic)
        self.closing = asyncio.Event()

    def materialise(self) -> None:
        """Bring the growing runs up to the clock's now; each query does it by itself."""
        if self.growth is not None:
            self.growth.advance(self.clock())

    def app(self) -> web.Application:
        """The application, for a server of one's own: `serve()` also sets up what an application can't."""

        # A middleware, since aiohttp's routes see decoded paths, and the upstream's rules are about raw ones.
        @web.middleware
        async def everything(request: web.Request, handler: Handler) -> web.StreamResponse:  # noqa: ARG001 -- a signature of aiohttp
            path, _ = split_target(request.raw_path)
            if not path.startswith(control.PREFIX):
                return await Exchange(self, request).run()
            answer = await control.answer(self, request, path)
            response = await start(request, answer, encoding=None, now_s=self.clock())
            await response.write(b"".join(answer.pieces()))
            return response

        app = web.Application(middlewares=[everything], client_max_size=_MAX_UPLOAD_BYTES)
        app.on_startup.append(self._open)
        app.on_shutdown.append(self._close)
        app.on_response_prepare.append(_drop_default_type)
        return app

    async def _open(self, _app: web.Application) -> None:
        self.closing.clear()

    async def _close(self, _app: web.Application) -> None:
        self.closing.set()

    @asynccontextmanager
    async def serve(self, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
        """Serve it on loopback; the value is its base URL, without a slash at the end.

        As upstream, idle connections end after 5 s and a head over 16 KiB gets 431. A client's going away cancels its
        call. Held and hanging calls end with the server, which may be served again afterwards.
        """
        runner = web.AppRunner(
            self.app(),
            access_log=None,
            handler_cancellation=True,
            keepalive_timeout=KEEP_ALIVE_S,
            max_line_size=_MAX_LINE_BYTES,
            max_field_size=_MAX_LINE_BYTES,
            shutdown_timeout=_SHUTDOWN_S,
        )
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
            yield f"http://{host}:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()


async def _drop_default_type(_request: web.Request, response: web.StreamResponse) -> None:
    """Redirects have no Content-Type upstream; aiohttp gives each body one."""
    if response.headers.get("Content-Type") == "application/octet-stream":
        del response.headers["Content-Type"]
