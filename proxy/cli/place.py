"""Where commands find a running proxy, and what they send to it."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from proxy.config.addresses import UNIX, TcpAddress, UnixAddress, read_address
from proxy.config.load import TOKEN_VARIABLE, URL_VARIABLE
from proxy.config.model import Config
from proxy.errors import ConfigError
from proxy.web.encryption.pair import read_chain

_LONGEST_TOKEN = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a running proxy is, and the token to send (`""`: none).

    `url` is its base URL, or `unix:/PATH`. Of a proxy that speaks TLS a certificate is accepted that the authorities in
    `ca_file` have issued, or those of the system where it is None. Where `certificate` is set only that one is, whatever name
    it is for: it is the SHA-256 of its DER form.
    """

    url: str
    token: str = field(default="", repr=False)
    ca_file: Path | None = None
    certificate: bytes | None = None


def place_of(
    url: str | None, token_file: Path | None, environ: Mapping[str, str], config: Config, *, ca_file: Path | None = None
) -> Place:
    """Return where to ask: at `url`, or where the environment says, or where the configuration listens.

    Raises ConfigError.
    """
    token = environ.get(TOKEN_VARIABLE, "").strip() if token_file is None else _read_token(token_file)
    if not token.isascii() or not token.isprintable():
        raise ConfigError(["the token holds something that no token has"])
    url = url or environ.get(URL_VARIABLE, "").strip()
    if not url:
        url = url_of(config)
        return Place(
            url=url, token=token, ca_file=ca_file, certificate=_own_certificate(config, url) if ca_file is None else None
        )
    if not _is_base(url):
        # What is wrong may be a password in it, which isn't shown.
        forms = "such as http://127.0.0.1:8787 or unix:/run/pluto-proxy/proxy.sock"
        raise ConfigError([f"--url ({URL_VARIABLE}) must be the address of a proxy, {forms}"])
    return Place(url=url.rstrip("/"), token=token, ca_file=ca_file)


def _is_base(url: str) -> bool:
    try:
        if url.startswith(UNIX):
            return isinstance(read_address(url), UnixAddress)
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.username is None and not parts.query


def url_of(config: Config) -> str:
    """Return the address at which this machine reaches a proxy with this configuration: a Unix socket if there is one.

    Raises ConfigError.
    """
    addresses = config.server.addresses
    for address in addresses:
        if isinstance(address, UnixAddress):
            return str(address)
    for address in addresses:
        if isinstance(address, TcpAddress) and address.port:
            return f"{config.server.scheme}://{_reached(address)}"
    raise ConfigError(["server.listen names no port: say where the proxy is with --url"])


def _reached(address: TcpAddress) -> TcpAddress:
    if not address.is_unspecified:
        return address
    return TcpAddress(host="::1" if ":" in address.host else "127.0.0.1", port=address.port)


def _own_certificate(config: Config, url: str) -> bytes | None:
    """Return the SHA-256 of the certificate that a proxy with this configuration shows, None where it shows none.

    It is hardly for the address by which this machine reaches the proxy. Raises ConfigError.
    """
    if config.server.tls_cert is None or url.startswith(UNIX):
        return None
    return hashlib.sha256(read_chain(config.server.tls_cert)[0]).digest()


def _read_token(path: Path) -> str:
    try:
        with path.open(encoding="utf-8-sig") as file:
            text = file.read(_LONGEST_TOKEN + 1).strip()
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "not a text file in UTF-8"
        raise ConfigError([f"--token-file: {path} cannot be read: {reason}"]) from None
    if not text or len(text) > _LONGEST_TOKEN:
        raise ConfigError([f"--token-file: {path} holds no token, or more than one"])
    return text
