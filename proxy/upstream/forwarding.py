"""What the forward proxy before the upstream is told beside the question."""

from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp

from proxy.config import model


@dataclass(frozen=True, slots=True, kw_only=True)
class Forwarding:
    """Fields for the question itself, and for the request for a tunnel to an encrypted upstream, which the proxy alone sees."""

    question: Mapping[str, str]
    tunnel: Mapping[str, str] | None


def forwarding(settings: model.Upstream) -> Forwarding:
    """Return what is told, so that the proxy gets its password, and nobody else does."""
    if settings.proxy is None or settings.proxy.login is None:
        return Forwarding(question={}, tunnel=None)
    told = {"Proxy-Authorization": aiohttp.encode_basic_auth(*settings.proxy.login)}
    if settings.url.lower().startswith("https:"):
        return Forwarding(question={}, tunnel=told)
    return Forwarding(question=told, tunnel=None)
