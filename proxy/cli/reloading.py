"""SIGHUP reloads the configuration of the process that serves (`proxy.settings`)."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from proxy import log
from proxy.app.parts import Parts
from proxy.app.reloading import Reloader
from proxy.cli.descriptors import fit_connections
from proxy.cli.listening import url_of
from proxy.cli.signals import Hangups
from proxy.cli.supervisor import Supervisor
from proxy.config import Config, LoadedConfig
from proxy.config.addresses import is_loopback
from proxy.errors import ConfigError
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

    urls = [url_of(opened.socket) for opened in sockets]

    def fit(config: Config) -> Config:
        check_covered(config, urls)
        return fit_connections(config)

    parts.settings.follow(lambda: log.set_level(parts.settings.now.log.level))
    reloader = Reloader(parts, read=reread.read, fit=fit, told=supervisor.reloading)
    task = asyncio.create_task(reloader.run(), name="reloader.run")
    try:
        with reread.hangups.taken(reloader.ask):
            yield
    finally:
        await end_tasks([task])


def check_covered(config: Config, urls: Iterable[str]) -> None:
    """Raise ConfigError where others can reach one of these addresses, and a configuration doesn't say who may ask.

    Its own server.listen was checked when it was read. The addresses that are open may be others.
    """
    # Who may connect to a Unix socket, its mode says.
    hosts = [urlsplit(url).hostname for url in urls if not url.startswith("unix:")]
    access, exposed = config.access, [host for host in hosts if host and not is_loopback(host)]
    if exposed and not (access.open or access.tokens_file or access.networks):
        what = f"access: the proxy listens on {exposed[0]}, which others can reach, until it is started again"
        advice = "set access.tokens_file or access.networks to say who may ask, or access.open = true if everybody may"
        raise ConfigError([f"{what}; {advice}"])
