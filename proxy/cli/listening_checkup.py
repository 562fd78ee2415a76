"""The checks of `pluto-proxy doctor` on where the proxy listens, and on the certificate that it shows there."""

import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime

from proxy.cli.checkup import OTHERS, Finding, State, check_mode, fine
from proxy.cli.socket_files import reason_against
from proxy.config.addresses import Address, TcpAddress
from proxy.config.model import Config
from proxy.core.access.validity import Validity
from proxy.errors import ConfigError
from proxy.web.encryption.pair import read_pair

_DAY_S = 86_400
_SOON_S = 14 * _DAY_S
_RENEW = "renew it: the proxy notices by itself"


def check_ports(config: Config, *, runs: bool) -> Iterator[Finding]:
    """Say whether the addresses to listen on are free; `runs`: whether a proxy answers there."""
    for address in config.server.addresses:
        yield fine("port", f"a pluto-proxy answers at {address}") if runs else _check_port(address)


def _check_port(address: Address) -> Finding:
    reason = _reason_against(address) if isinstance(address, TcpAddress) else reason_against(address.path)
    if reason is not None:
        todo = "set server.listen to a free address of this machine, or end what listens there"
        return Finding(check="port", state=State.FAULT, text=f"cannot listen on {address}: {reason}", todo=todo)
    reach = "this machine only" if address.is_local else "other machines, too"
    return fine("port", f"{address} is free; it can be reached from {reach}")


def _reason_against(address: TcpAddress) -> str | None:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind((address.host, address.port))
    except (OSError, UnicodeError) as exc:
        return getattr(exc, "strerror", None) or "no host has this name"
    return None


def check_certificate(config: Config) -> Iterator[Finding]:
    """Look at the certificate that clients are shown, its dates, and the mode of its key's file."""
    certificate, key = config.server.tls_cert, config.server.tls_key
    if certificate is None or key is None:
        if all(address.is_local for address in config.server.addresses):
            yield fine("tls", "none: only this machine can connect")
        else:
            text = "none: tokens and answers can be read on the way, unless a front encrypts them"
            yield Finding(
                check="tls", state=State.ADVICE, text=text, todo="set server.tls_cert and server.tls_key, or put one there"
            )
        return
    try:
        pair = read_pair(certificate, key)
    except ConfigError as exc:
        yield Finding(check="tls", state=State.FAULT, text=exc.faults[0], todo="mend the file, or name another one")
        return
    yield _judge(pair.validity, time.time())
    yield from check_mode("tls key", key, OTHERS, "chmod o= ")


def _judge(validity: Validity, now_s: float) -> Finding:
    left_s = validity.end_s - now_s
    until = datetime.fromtimestamp(validity.end_s, UTC).strftime("%Y-%m-%d")
    if validity.begin_s > now_s:
        text = "the certificate is not good yet (or this machine's clock is wrong)"
        return Finding(check="tls", state=State.FAULT, text=text, todo="wait, or take one that is")
    if left_s < 0:
        return Finding(check="tls", state=State.FAULT, text=f"the certificate has expired on {until}", todo=_RENEW)
    text = f"the certificate is good until {until}, {left_s / _DAY_S:.0f} days more"
    return Finding(check="tls", state=State.ADVICE, text=text, todo=_RENEW) if left_s < _SOON_S else fine("tls", text)
