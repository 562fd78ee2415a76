"""Serving until a signal says to end, and ending without losing a request."""

import asyncio
import contextlib
import signal
from collections.abc import Iterator

import structlog
from aiohttp import web

from proxy import log
from proxy.app import create_app
from proxy.config import Config, KeySource
from proxy.config.model import split_listen
from proxy.web.keys import PARTS

# As long a request line as the upstream takes; what is longer gets aiohttp's 400.
MAX_LINE_BYTES = 16_384
# What a request under way may take beyond the upstream's deadline until it counts as stuck.
DRAIN_MARGIN_S = 5.0
_BACKLOG = 1024
_log = structlog.get_logger()


def run_server(config: Config, key: KeySource) -> int:
    """Serve until SIGTERM or SIGINT; return the exit status.

    Raises ConfigError, StoreError or OSError where serving cannot begin.
    """
    log.configure(level=config.log.level, log_format=config.log.format)
    app = create_app(config, key)
    asyncio.run(serve(app, config))
    return 0


async def serve(app: web.Application, config: Config) -> None:
    """Serve an application; return once it was told to end and what was under way has been answered.

    A second signal ends the waiting.
    """
    host, port = split_listen(config.server.listen)
    runner = make_runner(app, config)
    with _signals() as told:
        await runner.setup()
        try:
            await _listen(runner, host, port)
            await told.wait()
            app[PARTS].draining = True
            _log.info("server.draining", in_flight=app[PARTS].fetcher.in_flight)
        finally:
            await runner.cleanup()
    _log.info("server.stopped")


def make_runner(app: web.Application, config: Config) -> web.AppRunner:
    """Return the runner that the application is made for: a handler ends when its client goes away."""
    return web.AppRunner(
        app,
        access_log=None,
        handler_cancellation=True,
        shutdown_timeout=config.upstream.deadline_s + DRAIN_MARGIN_S,
        max_line_size=MAX_LINE_BYTES,
    )


async def _listen(runner: web.AppRunner, host: str, port: int) -> None:
    site = web.TCPSite(runner, host, port, backlog=_BACKLOG)
    try:
        await site.start()
    except OSError as exc:
        raise OSError(f"cannot listen on {host}:{port}: {exc.strerror}; is it taken? set server.listen") from exc
    for address in runner.addresses:
        shown = f"[{address[0]}]" if ":" in address[0] else address[0]
        _log.info("server.started", url=f"http://{shown}:{address[1]}")


@contextlib.contextmanager
def _signals() -> Iterator[asyncio.Event]:
    """Turn the first SIGTERM or SIGINT into an event; the next one has its usual effect."""
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGTERM, signal.SIGINT)

    def tell() -> None:
        told.set()
        for number in numbers:
            loop.remove_signal_handler(number)

    for number in numbers:
        loop.add_signal_handler(number, tell)
    try:
        yield told
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
