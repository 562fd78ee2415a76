"""The header fields for the forward proxy on the way to the upstream."""

from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp

from proxy.config.model import UpstreamSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardingHeaders:
    """Fields for the request itself, and for the CONNECT request for a tunnel, which only the forward proxy sees."""

    request: Mapping[str, str]
    tunnel: Mapping[str, str] | None


def forwarding_headers(settings: UpstreamSettings) -> ForwardingHeaders:
    """Return the fields by which the forward proxy, and nobody else, gets its password."""
    if settings.proxy is None or settings.proxy.login is None:
        return ForwardingHeaders(request={}, tunnel=None)
    login = {"Proxy-Authorization": aiohttp.encode_basic_auth(*settings.proxy.login)}
    if settings.url.lower().startswith("https:"):
        return ForwardingHeaders(request={}, tunnel=login)
    return ForwardingHeaders(request=login, tunnel=None)
