"""Serving until a signal says to end, and ending without losing a request."""

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
from proxy.cli.descriptors import make_room
from proxy.cli.listening import listen
from proxy.cli.signals import outlasted
from proxy.config import Config, KeySource
from proxy.config.model import split_listen
from proxy.log.lines import Lines

# What a request under way may take beyond the upstream's deadline until it counts as stuck.
DRAIN_MARGIN_S = 5.0
_log = structlog.get_logger()


def run_server(config: Config, key: KeySource, *, ignored: Sequence[str] = ()) -> int:
    """Serve until SIGTERM or SIGINT; return the exit status.

    `ignored`: the variables whose proxy others would use. Their values can hold a password: only their names are told.
    Raises ConfigError, StoreError or OSError where serving cannot begin.
    """
    lines = log.configure(level=config.log.level, log_format=config.log.format)
    if ignored:
        _log.warning(
            "proxy_variables.ignored", variables=list(ignored), hint="set upstream.proxy to reach pluto-api by a proxy"
        )
    # Where uvloop can't be had, there is the standard library's.
    loops = importlib.import_module("uvloop" if find_spec("uvloop") else "asyncio")
    with outlasted(), asyncio.Runner(loop_factory=loops.new_event_loop) as runner:
        runner.run(serve(config, key, lines))
    return 0


async def serve(config: Config, key: KeySource, lines: Lines) -> None:
    """Serve; return once it was told to end and what was under way has been answered.

    A second signal ends the waiting. `lines` are those of the log, which the metrics and `/readyz` tell about.
    """
    config = make_room(config)
    host, port = split_listen(config.server.listen)
    with _signals() as told:
        async with open_parts(config, key, lines=lines) as parts, running(parts) as runner:
            # What is there by now stays: the garbage collector needn't look through all of it again and again.
            gc.collect()
            gc.freeze()
            gc.enable()
            await listen(runner, host, port)
            await told.wait()
            parts.web.intake.drain()
            _log.info("server.draining", in_flight=parts.fetching.fetcher.in_flight)
    _log.info("server.stopped")


@contextlib.asynccontextmanager
async def running(parts: Parts) -> AsyncIterator[web.ServerRunner]:
    """Run a server without an address yet; at the end what is under way is answered, for as long as it may take."""
    timeout_s = parts.config.upstream.deadline_s + DRAIN_MARGIN_S
    runner = web.ServerRunner(parts.web.server, shutdown_timeout=timeout_s)
    await runner.setup()
    try:
        yield runner
    finally:
        await runner.cleanup()


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
