"""The connections to the upstream."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import aiohttp
from aiohttp.abc import AbstractResolver
from aiohttp.client_proto import ResponseHandler

from proxy.clock import Clock
from proxy.config.model import UpstreamSettings
from proxy.upstream.resolver import TimelyResolver
from proxy.upstream.tls import ssl_context

if TYPE_CHECKING:
    from aiohttp.client_reqrep import ClientRequest, ConnectionKey
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace

# The upstream closes a connection that was idle for 5 s. Closing it earlier avoids sending a request into a closing one.
_KEEPALIVE_S = 4.0


class SoundConnector(aiohttp.TCPConnector):
    """Closes an idle connection, instead of using it again, if bytes have arrived on it or it is older than `max_age_s`.

    Unexpected bytes (a second response of an upstream or a balancer that is out of step) would be read as the answer to the
    next query, and be stored under it. aiohttp looks for such bytes when a connection is returned, not when it is used again.
    This class relies on aiohttp's internals: so aiohttp's version is bounded, and a test sends such bytes.

    The upstream's name is looked up for new connections only. Without a greatest age, a connection that is always in use would
    lead to an old address after the name has moved. An old connection is closed between two requests.
    """

    def __init__(
        self, *, max_age_s: float, clock: Clock, limit: int, ssl_context: ssl.SSLContext, resolver: AbstractResolver
    ) -> None:
        super().__init__(limit=limit, keepalive_timeout=_KEEPALIVE_S, ssl=ssl_context, resolver=resolver)
        self._max_age_s = max_age_s
        self._clock = clock
        self._begun_s: WeakKeyDictionary[ResponseHandler, float] = WeakKeyDictionary()

    async def _create_connection(
        self,
        req: "ClientRequest",
        traces: "list[Trace]",
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 -- aiohttp's signature
    ) -> ResponseHandler:
        begun_s = self._clock.monotonic_s()
        made = await super()._create_connection(req, traces, timeout)
        self._begun_s[made] = begun_s
        return made

    def _release(self, key: "ConnectionKey", protocol: ResponseHandler, *, should_close: bool = False) -> None:
        super()._release(key, protocol, should_close=should_close or self._is_old(protocol))

    def _is_old(self, connection: ResponseHandler) -> bool:
        # A connection that is returned before it was used (its tunnel failed) has no age.
        now_s = self._clock.monotonic_s()
        return now_s - self._begun_s.get(connection, now_s) >= self._max_age_s

    async def _get(self, key: "ConnectionKey", traces: "list[Trace]") -> "Connection | None":
        idle = self._conns.get(key)
        if idle:
            for held in [held for held in idle if held[0].should_close or self._is_old(held[0])]:
                idle.remove(held)
                held[0].close()
            if not idle:
                del self._conns[key]
        return await super()._get(key, traces)


@asynccontextmanager
async def open_pool(settings: UpstreamSettings, clock: Clock) -> AsyncIterator[SoundConnector]:
    """Open the pool of connections. Raises ConfigError if upstream.ca_file cannot be used."""
    connector = SoundConnector(
        max_age_s=settings.connection_max_age_s,
        clock=clock,
        limit=settings.max_connections,
        resolver=TimelyResolver(settings.connect_timeout_s),
        ssl_context=ssl_context(settings.ca_file),
    )
    try:
        yield connector
    finally:
        await connector.close()
