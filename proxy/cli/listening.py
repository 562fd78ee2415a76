"""Opening the addresses that clients connect to."""

import errno
import ipaddress
import socket
from collections.abc import Iterable, Sequence

import structlog
from aiohttp import web

from proxy.config import Config
from proxy.config.model import is_loopback, split_listen
from proxy.core.access.networks import in_plain_form
from proxy.errors import ConfigError

_BACKLOG = 1024
_ADVICE = {
    errno.EADDRINUSE: "something listens there already",
    errno.EACCES: "ports below 1024 are for the administrator",
    errno.EADDRNOTAVAIL: "this machine has no such address",
    errno.EAFNOSUPPORT: "this machine has no IPv6; 0.0.0.0 is every address of IPv4",
}
_log = structlog.get_logger()


def check_exposure(config: Config, sockets: Iterable[socket.socket]) -> None:
    """Raise ConfigError where others can reach a socket that was handed over, and nothing says who may ask.

    For server.listen the configuration was checked when it was read. Who may connect to a Unix socket, its mode says.
    """
    hosts = [opened.getsockname()[0] for opened in sockets if opened.family in {socket.AF_INET, socket.AF_INET6}]
    exposed = [host for host in hosts if not is_loopback(host)]
    access = config.access
    if exposed and not (access.open or access.tokens_file or access.networks):
        what = f"the socket on {exposed[0]} that the supervisor hands over can be reached by others"
        advice = "set access.tokens_file or access.networks to say who may, or access.open = true if everybody may"
        raise ConfigError([f"{what}, who would read everything that the shared key can; {advice}"])


async def listen_on(runner: web.ServerRunner, config: Config, sockets: Sequence[socket.socket]) -> None:
    """Let clients connect to sockets that were handed over; where there are none, to server.listen.

    Raises OSError with a message that says what may be wrong.
    """
    if not sockets:
        await listen(runner, *split_listen(config.server.listen))
        return
    for opened in sockets:
        await web.SockSite(runner, opened, backlog=_BACKLOG).start()
        _log.info("server.started", url=_shown(opened))


def _shown(opened: socket.socket) -> str:
    name = opened.getsockname()
    return f"unix:{name}" if opened.family == socket.AF_UNIX else f"http://{_authority(name[0], name[1])}"


async def listen(runner: web.ServerRunner, host: str, port: int) -> None:
    """Let clients connect to an address, or to the addresses of a host name. Port 0 means any free port.

    `::` is every address of IPv6 and IPv4, whatever the system's default is. An IPv4 address in IPv6's form counts as that IPv4
    address. Raises OSError with a message that says what may be wrong.
    """
    host = in_plain_form(host)
    try:
        await _site(runner, host, port).start()
    except OSError as exc:
        raise OSError(_failure(host, port, f"{exc.strerror}; {_ADVICE.get(exc.errno or 0, 'is the name right?')}")) from exc
    except UnicodeError as exc:
        raise OSError(_failure(host, port, "no host can have this name")) from exc
    for address in runner.addresses:
        _log.info("server.started", url=f"http://{_authority(address[0], address[1])}")


def _site(runner: web.ServerRunner, host: str, port: int) -> web.BaseSite:
    if not _is_every_address(host):
        return web.TCPSite(runner, host, port, backlog=_BACKLOG)
    if not socket.has_dualstack_ipv6():
        raise OSError(errno.EAFNOSUPPORT, "Address family not supported")
    # Opened by the event loop, it would serve IPv6 alone.
    opened = socket.create_server((host, port), family=socket.AF_INET6, backlog=_BACKLOG, dualstack_ipv6=True)
    return web.SockSite(runner, opened, backlog=_BACKLOG)


def _is_every_address(host: str) -> bool:
    try:
        return ipaddress.IPv6Address(host).is_unspecified
    except ValueError:
        return False


def _failure(host: str, port: int, reason: str) -> str:
    return f"cannot listen on {_authority(host, port)}: {reason}; set server.listen"


def _authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
