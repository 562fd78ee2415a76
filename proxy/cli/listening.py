"""Opening the addresses that clients connect to: all of them, or none."""

import asyncio
import errno
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import structlog
from aiohttp import web

from proxy.cli.socket_files import open_socket_file
from proxy.config import Config
from proxy.config.addresses import UNIX, Address, TcpAddress, is_loopback
from proxy.config.load import WHO_ADVICE
from proxy.config.model import ServerSettings
from proxy.errors import ConfigError
from proxy.restart.sockets import BY_SUPERVISOR, ListeningSocket
from proxy.web.connection.server import Server

_BACKLOG = 1024
_ADVICE = {
    errno.EADDRINUSE: "something listens there already",
    errno.EACCES: "ports below 1024 are for the administrator",
    errno.EADDRNOTAVAIL: "this machine has no such address",
    errno.EAFNOSUPPORT: "this machine has no IPv6; 0.0.0.0 is every address of IPv4",
}
# Of a host name's addresses, those of a kind that this machine doesn't have are passed over.
_OF_ANOTHER_KIND = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})
_log = structlog.get_logger()


def exposed_hosts(sockets: Iterable[ListeningSocket]) -> list[str]:
    """Return the addresses of open sockets that others can reach. Who may connect to a Unix socket, its mode says."""
    inet = [opened.socket for opened in sockets if opened.socket.family in {socket.AF_INET, socket.AF_INET6}]
    return [host for host in (opened.getsockname()[0] for opened in inet) if not is_loopback(host)]


def check_exposure(config: Config, exposed: Sequence[str]) -> None:
    """Raise ConfigError where others can reach open sockets, at these addresses, and a configuration doesn't say who may ask.

    Its own server.listen was checked when it was read. The sockets may be others: those of a supervisor, and before a restart
    those of an earlier configuration.
    """
    if exposed and not config.access.says_who:
        what = f"access: the proxy listens on {exposed[0]}, which others can reach"
        raise ConfigError([f"{what}, who would read everything that the shared key can; {WHO_ADVICE}"])


@asynccontextmanager
async def listening(
    runner: web.ServerRunner,
    server: Server,
    config: Config,
    handed_over: Sequence[ListeningSocket] = (),
    *,
    owns: Callable[[ListeningSocket], bool] = lambda _: True,
) -> AsyncIterator[list[ListeningSocket]]:
    """Let clients connect to sockets that were handed over, and to the addresses in server.listen that none of them is for.

    Where a supervisor opened them, to nothing else. Yields the sockets. At the end the files of Unix sockets that are in
    server.listen are removed, as far as they are this process's by then (`owns`). The sockets are the runner's, and end with
    it. Raises OSError with a message that says which address cannot be opened, and what may be wrong; none is open then.
    """
    sockets = list(handed_over)
    with ExitStack() as failing, ExitStack() as files:
        files.callback(lambda: _remove_files(sockets, owns))
        for opened in handed_over:
            failing.callback(opened.socket.close)
        for address in _missing(config, handed_over):
            for new in await _open(address, config.server):
                failing.callback(new.socket.close)
                sockets.append(new)
        for opened in sockets:
            await server.site(runner, opened.socket, backlog=_BACKLOG).start()
        failing.pop_all()
        for opened in sockets:
            _log.info("server.started", url=url_of(opened.socket, config.server.scheme))
        yield sockets


def _remove_files(sockets: Iterable[ListeningSocket], owns: Callable[[ListeningSocket], bool]) -> None:
    for opened in sockets:
        if opened.file is not None and owns(opened):
            opened.file.remove()


def _missing(config: Config, handed_over: Sequence[ListeningSocket]) -> list[Address]:
    """Return the addresses in server.listen that are still to be opened."""
    there = {opened.address for opened in handed_over}
    return [] if BY_SUPERVISOR in there else [address for address in config.server.addresses if str(address) not in there]


async def let_go(runner: web.ServerRunner) -> None:
    """Accept connections no more. Those that are open stay."""
    for site in list(runner.sites):
        await site.stop()


def url_of(opened: socket.socket, scheme: str = "http") -> str:
    """Return the URL of a listening socket, `unix:/PATH` for a Unix socket."""
    name = opened.getsockname()
    return f"{UNIX}{name}" if opened.family == socket.AF_UNIX else f"{scheme}://{TcpAddress(host=name[0], port=name[1])}"


async def _open(address: Address, settings: ServerSettings) -> list[ListeningSocket]:
    """Open an address, of a host name all that it has."""
    try:
        if isinstance(address, TcpAddress):
            return [ListeningSocket(address=str(address), socket=opened) for opened in await _open_tcp(address)]
        file = await open_socket_file(address.path, mode=settings.socket_permissions, backlog=_BACKLOG)
    except OSError as exc:
        advice = _ADVICE.get(exc.errno or 0, "is the name right?") if isinstance(address, TcpAddress) else ""
        reason = f"{exc.strerror}; {advice}" if advice else exc.strerror
        raise OSError(f"cannot listen on {address}: {reason}; set server.listen") from exc
    except UnicodeError as exc:
        raise OSError(f"cannot listen on {address}: no host can have this name; set server.listen") from exc
    return [ListeningSocket(address=str(address), socket=file.socket, file=file)]


async def _open_tcp(address: TcpAddress) -> list[socket.socket]:
    if address.host == "::":
        if not socket.has_dualstack_ipv6():
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported")
        return [_listen(socket.AF_INET6, ("::", address.port), dual=True)]
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    opened: list[socket.socket] = []
    missing: OSError | None = None
    with ExitStack() as failing:
        for family, place in dict.fromkeys((family, place) for family, _, _, _, place in found):
            try:
                opened.append(_listen(family, place))
                failing.callback(opened[-1].close)
            except OSError as exc:
                if exc.errno not in _OF_ANOTHER_KIND:
                    raise
                missing = exc
        if missing is not None and not opened:
            raise missing
        failing.pop_all()
    return opened


def _listen(family: int, place: tuple[Any, ...], *, dual: bool = False) -> socket.socket:
    """Listen on a place, of IPv6 alone unless both are asked for (`dual`), whatever the system's default is."""
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(not dual))
        opened.bind(place)
        opened.listen(_BACKLOG)
    except OSError:
        opened.close()
        raise
    opened.setblocking(False)
    return opened
