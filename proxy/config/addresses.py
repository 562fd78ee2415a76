"""The addresses that clients connect to, as `server.listen` has them."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from proxy.core.access.networks import in_plain_form

UNIX = "unix:"
# What a Unix socket's address has room for, less the byte that ends it.
_MOST_PATH_BYTES = 107
_FORMS = "must be HOST:PORT, such as 127.0.0.1:8787 or [::1]:8787, or unix:/PATH"


@lru_cache(maxsize=256)
def is_loopback(host: str) -> bool:
    """Tell whether a host name or address can only be reached from this machine. Cached, since each request asks."""
    try:
        return ipaddress.ip_address(in_plain_form(host)).is_loopback
    except ValueError:
        return host.lower() == "localhost"


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpAddress:
    """A host name or IP address, and a port; port 0 is any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_local(self) -> bool:
        """Whether it can only be reached from this machine."""
        return is_loopback(self.host)

    @property
    def is_unspecified(self) -> bool:
        """Whether it stands for every address of this machine, of one kind or both."""
        try:
            return ipaddress.ip_address(self.host).is_unspecified
        except ValueError:
            return False


@dataclass(frozen=True, slots=True, kw_only=True)
class UnixAddress:
    """The path of a Unix socket."""

    path: Path

    def __str__(self) -> str:
        return f"{UNIX}{self.path}"

    @property
    def is_local(self) -> bool:
        """Whether it can only be reached from this machine: always."""
        return True


Address = TcpAddress | UnixAddress


def read_address(text: str) -> Address:
    """Return the address in `HOST:PORT`, where an IPv6 address is in brackets, or in `unix:/PATH`. Raises ValueError.

    An IPv4 address in IPv6's form counts as that IPv4 address.
    """
    if text.startswith(UNIX):
        return UnixAddress(path=_path(text.removeprefix(UNIX)))
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if (
        not colon
        or not host
        or not (port.isascii() and port.isdigit())
        or int(port) > 65_535
        or (":" in host and not bracketed)
    ):
        raise ValueError(f"{text!r} {_FORMS}")
    return TcpAddress(host=_plain(host[1:-1] if bracketed else host), port=int(port))


def _plain(host: str) -> str:
    try:
        return str(ipaddress.ip_address(in_plain_form(host)))
    except ValueError:
        return host


def _path(text: str) -> Path:
    path = Path(text)
    if not path.is_absolute() or path.name in {"", ".."} or not text.isprintable() or text != text.strip():
        raise ValueError(f"'{UNIX}{text}' must name a file by its whole path, such as {UNIX}/run/pluto-proxy/proxy.sock")
    if len(text.encode(errors="surrogateescape")) > _MOST_PATH_BYTES:
        raise ValueError(f"'{UNIX}{text}' is too long: the path of a Unix socket has at most {_MOST_PATH_BYTES} bytes")
    return path


def read_addresses(texts: Sequence[str]) -> tuple[Address, ...]:
    """Return the addresses of a list, which must not be empty or name one twice. Raises ValueError."""
    addresses = tuple(map(read_address, texts))
    if not addresses:
        raise ValueError(f"names no address: each {_FORMS}")
    for address in addresses:
        if addresses.count(address) > 1:
            raise ValueError(f"names {address} more than once")
    return addresses
