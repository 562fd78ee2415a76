"""What a call failed of, in this proxy's own words: aiohttp's messages can hold the request's headers, and so the key."""

import errno
import socket
import ssl

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError

from proxy.config.model import UpstreamSettings
from proxy.errors import UpstreamFailed, UpstreamTimeout
from proxy.upstream.tls import certificate_reason, handshake_reason

_PROXY = "the proxy before it (upstream.proxy)"
_REASONS = {
    errno.ECONNREFUSED: "it was refused",
    errno.EHOSTUNREACH: "no route to the host",
    errno.ENETUNREACH: "no route to the network",
    errno.ETIMEDOUT: "no answer",
    errno.ECONNRESET: "it was reset",
    errno.EMFILE: "this process has too many files open",
    errno.ENFILE: "this machine has too many files open",
}


def failure_of(exc: aiohttp.ClientError | HttpProcessingError | OSError, settings: UpstreamSettings) -> UpstreamFailed:
    """Return the error for a failed call. It says why, and whether the same call may succeed the next moment (`transient`)."""
    transient = False
    match exc:
        case aiohttp.ClientConnectorError() | aiohttp.ClientHttpProxyError():
            reason = _connection_reason(exc, settings)
        case aiohttp.ServerDisconnectedError():
            who = "it" if settings.proxy is None else "it, or the proxy before it,"
            reason, transient = f"{who} closed the connection without an answer", True
        case aiohttp.ClientPayloadError():
            reason, transient = "its answer broke off or could not be decompressed", True
        case OSError():
            reason, transient = "the connection broke", True
        case HttpProcessingError():
            reason = "what it sent is not HTTP"
        case _:
            reason = type(exc).__name__
    return UpstreamFailed(f"the upstream could not be read: {reason}", transient=transient)


def connect_timeout(settings: UpstreamSettings) -> UpstreamTimeout:
    """Return the error for a call that got no connection in time."""
    way = "" if settings.proxy is None else f" by {_PROXY}"
    return UpstreamTimeout(f"no connection to the upstream{way} within {settings.connect_timeout_s:g} s")


def _connection_reason(exc: aiohttp.ClientConnectorError | aiohttp.ClientHttpProxyError, settings: UpstreamSettings) -> str:
    match exc:
        case aiohttp.ClientConnectorCertificateError(certificate_error=ssl.SSLCertVerificationError() as error):
            return certificate_reason(error)
        case aiohttp.ClientSSLError():
            return handshake_reason(exc.os_error)
        case aiohttp.ClientConnectorDNSError():
            # With a forward proxy, this process looks up only the proxy's name, and the proxy looks up the upstream's.
            whose = "its host name" if settings.proxy is None else f"the host name of {_PROXY}"
            return f"{whose} {_lookup_reason(exc.os_error)}"
        case aiohttp.ClientProxyConnectionError():
            return f"no connection to {_PROXY}{_os_reason(exc.os_error)}"
        case aiohttp.ClientConnectorError():
            return f"no connection{_os_reason(exc.os_error)}"
        case _:
            return _refused_by_proxy(exc.status)


def _refused_by_proxy(status: int) -> str:
    match status:
        case 407:
            told = "wants a user and a password, or other ones"
        case 403:
            told = "forbids to connect to it"
        case _:
            told = "did not connect to it"
    return f"{_PROXY} {told}: it answered {status}"


def _lookup_reason(error: OSError) -> str:
    return "could not be looked up: no name server answered" if error.errno == socket.EAI_AGAIN else "has no address"


def _os_reason(error: OSError) -> str:
    reason = "it was closed while it was being made" if isinstance(error, ConnectionError) else None
    reason = _REASONS.get(error.errno or 0, reason)
    return "" if reason is None else f": {reason}"
