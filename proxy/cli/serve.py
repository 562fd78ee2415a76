"""`pluto-proxy serve`: serving until a signal ends it, and ending without losing a request."""

import asyncio
import contextlib
import gc
import importlib
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from importlib.util import find_spec

import structlog
from aiohttp import web

from proxy import log
from proxy.app import open_parts
from proxy.app.parts import Parts
from proxy.cli.descriptors import fit_connections
from proxy.cli.listening import check_exposure, listening
from proxy.cli.signals import ignoring_signals
from proxy.cli.supervisor import NOBODY, Supervisor
from proxy.config import Config, KeySource
from proxy.log.lines import Lines

# How long a request that is under way may take beyond the upstream's deadline before it counts as stuck.
DRAIN_MARGIN_S = 5.0
_log = structlog.get_logger()


def run_server(config: Config, key: KeySource | None, supervisor: Supervisor, *, ignored: Sequence[str] = ()) -> int:
    """Serve until SIGTERM or SIGINT. Return the exit status.

    `ignored`: names of variables that set a proxy for other programs. Only the names are logged, since the values can hold a
    password. Raises ConfigError, StoreError or OSError if serving cannot begin.
    """
    lines = log.configure(level=config.log.level, log_format=config.log.format)
    if ignored:
        _log.warning(
            "proxy_variables.ignored", variables=list(ignored), hint="set upstream.proxy to reach pluto-api by a proxy"
        )
    # uvloop does not exist for every platform: asyncio's own event loop takes its place.
    loops = importlib.import_module("uvloop" if find_spec("uvloop") else "asyncio")
    with ignoring_signals(), asyncio.Runner(loop_factory=loops.new_event_loop) as runner:
        runner.run(serve(config, key, lines, supervisor))
    return 0


async def serve(config: Config, key: KeySource | None, lines: Lines, supervisor: Supervisor = NOBODY) -> None:
    """Serve until SIGTERM or SIGINT. Return when the requests under way have been answered.

    A second signal ends the process at once. `lines` is the log's writer, whose state the metrics and `/readyz` show.
    Sockets that the `supervisor` hands over take the place of server.listen.
    """
    config = fit_connections(config)
    sockets = supervisor.sockets()
    check_exposure(config, sockets)
    with _end_signals() as stop:
        async with open_parts(config, key, lines=lines) as parts, running(parts) as runner:
            # The objects that exist by now stay: the garbage collector need not look through them again and again.
            gc.collect()
            gc.freeze()
            gc.enable()
            async with listening(runner, parts.web.server, config, sockets):
                with supervisor.told():
                    await stop.wait()
                parts.web.intake.drain()
            _log.info("server.draining", in_flight=parts.fetching.fetcher.in_flight)
    _log.info("server.stopped")


@contextlib.asynccontextmanager
async def running(parts: Parts) -> AsyncIterator[web.ServerRunner]:
    """Run a server that has no address yet.

    At the end the requests under way are answered. They may take upstream.deadline_s and DRAIN_MARGIN_S.
    """
    timeout_s = parts.config.upstream.deadline_s + DRAIN_MARGIN_S
    runner = web.ServerRunner(parts.web.server, shutdown_timeout=timeout_s)
    await runner.setup()
    try:
        yield runner
    finally:
        await runner.cleanup()


@contextlib.contextmanager
def _end_signals() -> Iterator[asyncio.Event]:
    """Turn the first SIGTERM or SIGINT into an event. The next one has its usual effect."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGTERM, signal.SIGINT)

    def end() -> None:
        stop.set()
        for number in numbers:
            loop.remove_signal_handler(number)

    for number in numbers:
        loop.add_signal_handler(number, end)
    try:
        yield stop
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
