"""Where a request comes from, and whether that is one of the listed networks.

An IPv4 address in IPv6's form (`::ffff:10.0.0.1`, as on a socket for both) counts as that IPv4 address, also in lists of
networks.

Who connects to a Unix socket has no address, and is on this machine. All of them count as one client that comes from UNIX,
which lists of networks can name.
"""

import ipaddress
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final, Literal

UNIX: Final = "unix"
"""Where those come from who connect to a Unix socket."""
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Source = Address | Literal["unix"]
_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
_HOST_BITS = 64
# Some proxies add the port.
_WITH_PORT = re.compile(r"(?:\[([^\]]*)\]|([0-9.]+))(?::[0-9]{1,5})?")


def read_network(text: str) -> Network:
    """Return the network that `10.0.0.0/8`, or a single address, names. Raises ValueError saying what is wrong."""
    try:
        network = ipaddress.ip_network(text)
    except ValueError as exc:
        raise ValueError(f"{text!r} must be a network such as 10.0.0.0/8 or fd00::/8, or one address: {exc}") from None
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_MAPPED):
        mapped = ipaddress.IPv4Address(network.network_address.packed[-4:])
        return ipaddress.IPv4Network((mapped, network.prefixlen - _MAPPED.prefixlen))
    return network


def read_address(text: str) -> Address | None:
    """Return the address in a text, with or without a port; None where there is none."""
    text = text.strip()
    if (found := _WITH_PORT.fullmatch(text)) is not None:
        text = found[1] or found[2] or ""
    try:
        return ipaddress.ip_address(in_plain_form(text))
    except ValueError:
        return None


@lru_cache(maxsize=1024)
def in_plain_form(text: str) -> str:
    """Return an IPv4 address in IPv6's form as that IPv4 address, and any other text as it is."""
    try:
        return str(ipaddress.IPv6Address(text).ipv4_mapped or text)
    except ValueError:
        return text


@lru_cache(maxsize=1024)
def client_network(text: str) -> str:
    """Return the text by which clients are told apart: an address; of IPv6 its first 64 bits, since hosts choose the rest."""
    address = read_address(text)
    if not isinstance(address, ipaddress.IPv6Address):
        return text if address is None else str(address)
    return str(ipaddress.IPv6Network((int(address) >> _HOST_BITS << _HOST_BITS, 128 - _HOST_BITS)))


class Networks:
    """A set of networks, among which UNIX may be."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        texts = tuple(texts)
        self._unix = UNIX in texts
        self._networks = tuple(read_network(text) for text in texts if text != UNIX)

    def __bool__(self) -> bool:
        return self._unix or bool(self._networks)

    def __contains__(self, source: Source | None) -> bool:
        if source is None or source == UNIX:
            return self._unix and source is not None
        return any(source in network for network in self._networks)


def client_address(peer: str, forwarded: Sequence[str], trusted: Networks) -> Source | None:
    """Return the address of the client; None where it cannot be told.

    `peer` is the address at the other end of the connection, or UNIX. `forwarded` are the lines of `X-Forwarded-For`: each
    proxy appends the address that it was asked from. From the right, each address is believed as long as the one that reported
    it is trusted; anybody could have written what stands further left.
    """
    address: Source | None = UNIX if peer == UNIX else read_address(peer)
    for hop in reversed([hop for hop in ",".join(forwarded).split(",") if hop.strip()]):
        if address not in trusted:
            return address
        address = read_address(hop)
    return address
