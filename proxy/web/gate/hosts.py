"""Which `Host` a request may name.

A page from anywhere can make a browser resolve its own host name to 127.0.0.1 and read this proxy as its own origin (DNS
rebinding). The browser then names that host, which is neither a loopback name nor one that the operator allowed.
"""

from collections.abc import Sequence

from proxy.config.addresses import is_loopback
from proxy.core.question.form import shown
from proxy.errors import WrongHost
from proxy.settings import Settings


class AllowedHosts:
    """The hosts that requests may name: loopback ones, and those that the operator allowed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def check(self, hosts: Sequence[str]) -> None:
        """Raise WrongHost unless a request names exactly one host, and one of these."""
        if len(hosts) == 1:
            name = host_name(hosts[0])
            if name and (is_loopback(name) or name in self._settings.now.server.allowed_hosts):
                return
        named = " and ".join(repr(shown(host)) for host in hosts[:2]) or "none"
        raise WrongHost(
            f"the request names the host {named}, which this proxy does not answer for; "
            "use its loopback address, or add the name to server.allowed_hosts"
        )


def host_name(host: str) -> str:
    """Return the name or address in a Host header in lower case, without port, brackets or final dot; `""` where malformed."""
    if host.startswith("["):
        name, bracket, port = host[1:].partition("]")
        port = port.removeprefix(":") if bracket else "x"
    else:
        name, _, port = host.partition(":")
    if port and not (port.isascii() and port.isdigit()):
        return ""
    return name.lower().removesuffix(".")
