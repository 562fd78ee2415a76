"""SIGHUP reloads the configuration of the process that serves (`proxy.settings`)."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from proxy import log
from proxy.app.parts import Parts
from proxy.app.reloading import Reloader
from proxy.cli.descriptors import fit_connections
from proxy.cli.listening import check_exposure, exposed_hosts
from proxy.cli.signals import Hangups
from proxy.cli.supervisor import Supervisor
from proxy.config import Config, LoadedConfig
from proxy.restart.sockets import ListeningSocket
from proxy.tasks import end_tasks


@dataclass(frozen=True, slots=True, kw_only=True)
class Reread:
    """How the configuration is read again, and the signals that ask for it."""

    read: Callable[[], LoadedConfig]
    hangups: Hangups


@asynccontextmanager
async def reloading(
    parts: Parts, reread: Reread | None, *, sockets: Sequence[ListeningSocket], supervisor: Supervisor
) -> AsyncIterator[None]:
    """Reload the configuration at each SIGHUP, for as long as the context lasts; never where `reread` is None.

    `sockets`: those that clients connect to, which stay.
    """
    if reread is None:
        yield
        return

    exposed = exposed_hosts(sockets)

    def fit(config: Config) -> Config:
        check_exposure(config, exposed)
        return fit_connections(config)

    parts.settings.follow(lambda: log.set_level(parts.settings.now.log.level))
    reloader = Reloader(parts, read=reread.read, fit=fit, told=supervisor.reloading)
    task = asyncio.create_task(reloader.run(), name="reloader.run")
    try:
        with reread.hangups.taken(reloader.ask):
            yield
    finally:
        await end_tasks([task])
