"""`pluto-proxy serve`: serving until a signal ends it, and ending without losing a request."""

import asyncio
import contextlib
import gc
import importlib
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from importlib.util import find_spec

import structlog
from aiohttp import web

from proxy import log
from proxy.app import open_parts
from proxy.app.parts import Parts
from proxy.cli.descriptors import fit_connections
from proxy.cli.listening import check_exposure, exposed_hosts, let_go, listening
from proxy.cli.reloading import Reread, reloading
from proxy.cli.signals import Hangups, outlasting_signals
from proxy.cli.successor import restarting
from proxy.cli.supervisor import NOBODY, Supervisor
from proxy.config import Config, KeySource, LoadedConfig
from proxy.log.lines import Lines
from proxy.restart.restart import Restart, take_over

# How long a request that is under way may take beyond the upstream's deadline before it counts as stuck.
DRAIN_MARGIN_S = 5.0
# How long connections stay open after another process has taken over, for the next request of each, whose answer says that the
# connection ends. One that is closed while it is idle may have a request on its way.
LINGER_S = 15.0
_log = structlog.get_logger()


def run_server(read: Callable[[], LoadedConfig], supervisor: Supervisor, *, takeover: bool = False) -> int:
    """Serve until SIGTERM or SIGINT. Return the exit status.

    `read` reads the configuration: now, and at each SIGHUP. `takeover`: take over from the process that serves with this cache
    file, if one does. Raises ConfigError, StoreError or OSError if serving cannot begin.
    """
    loaded, reread = read(), Reread(read=read, hangups=Hangups(kept=True))
    config, ignored = loaded.config, loaded.ignored
    lines = log.configure(level=config.log.level, log_format=config.log.format)
    if ignored:
        # Only the names: the values can hold a password.
        _log.warning(
            "proxy_variables.ignored", variables=list(ignored), hint="set upstream.proxy to reach pluto-api by a proxy"
        )
    # uvloop does not exist for every platform: asyncio's own event loop takes its place.
    loops = importlib.import_module("uvloop" if find_spec("uvloop") else "asyncio")
    restart = Restart(take_over(config.cache.path) if takeover else None)
    with outlasting_signals(reread.hangups), asyncio.Runner(loop_factory=loops.new_event_loop) as runner:
        runner.run(serve(config, loaded.key, lines, supervisor, restart, reread=reread))
    return 0


async def serve(
    config: Config,
    key: KeySource | None,
    lines: Lines,
    supervisor: Supervisor = NOBODY,
    restart: Restart | None = None,
    *,
    reread: Reread | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, or until another process has taken over.

    Return when the requests under way have been answered. Raises OSError where the process that was to be replaced goes on.

    A second signal ends the process at once. With a `restart` SIGUSR2 starts a process that takes over. `lines` is the log's
    writer, whose state the metrics and `/readyz` show. Sockets that the `supervisor` hands over take the place of
    server.listen. `reread`: None where SIGHUP reloads nothing.
    """
    config = fit_connections(config)
    restarts = restarting() if restart is not None else contextlib.nullcontext()
    restart = restart or Restart()
    sockets = restart.sockets(config, supervisor.sockets())
    check_exposure(config, exposed_hosts(sockets))
    with _end_signals() as stop:
        async with (
            restart.around(),
            open_parts(config, key, lines=lines, succeeds=restart.takes_over) as parts,
            restart.over(parts, within_s=LINGER_S + longest_s(config)),
            running(parts) as runner,
        ):
            # The objects that exist by now stay: the garbage collector need not look through them again and again.
            gc.collect()
            gc.freeze()
            gc.enable()
            async with listening(runner, parts.web.server, config, sockets, owns=restart.owns) as opened:
                restart.serve(parts, opened, ended=stop.set)
                with restarts, supervisor.told(restart.successor):
                    async with reloading(parts, reread, sockets=opened, supervisor=supervisor):
                        await stop.wait()
                parts.web.intake.drain()
                _log.info("server.draining", in_flight=parts.fetching.fetcher.in_flight)
                if restart.is_over():
                    await let_go(runner)
                    await parts.web.server.emptied(within_s=LINGER_S)
    _log.info("server.stopped")


def longest_s(config: Config) -> float:
    """Return how many seconds a request that is under way may take."""
    return config.upstream.deadline_s + DRAIN_MARGIN_S


class _Runner(web.ServerRunner):
    """Ends with the deadline that holds by then."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts.web.server)
        self._settings = parts.settings

    async def cleanup(self) -> None:
        """See web.ServerRunner."""
        self._shutdown_timeout = longest_s(self._settings.now)
        await super().cleanup()


@contextlib.asynccontextmanager
async def running(parts: Parts) -> AsyncIterator[web.ServerRunner]:
    """Run a server that has no address yet.

    At the end the requests under way are answered. They may take upstream.deadline_s and DRAIN_MARGIN_S.
    """
    runner = _Runner(parts)
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
