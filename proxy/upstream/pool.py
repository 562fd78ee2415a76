"""The connections to the upstream."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp

from proxy import __version__
from proxy.config import model
from proxy.upstream.resolver import TimelyResolver

if TYPE_CHECKING:
    from aiohttp.client_reqrep import ConnectionKey
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace

# The upstream closes a connection that idled for 5 s; giving it up earlier avoids sending into a closing one.
_KEEPALIVE_S = 4.0


class SoundConnector(aiohttp.TCPConnector):
    """Hands out no idle connection on which something has arrived since.

    Bytes that nobody asked for (a second response, from an upstream or a balancer that got out of step) would be read as the
    answer to the next question, and be stored under it. aiohttp looks for them when a connection is given back, not when it is
    used again; this leans on its internals, which is why its version is bounded, and a test sends such bytes.
    """

    async def _get(self, key: "ConnectionKey", traces: "list[Trace]") -> "Connection | None":
        idle = self._conns.get(key)
        if idle:
            for held in [held for held in idle if held[0].should_close]:
                idle.remove(held)
                held[0].close()
            if not idle:
                del self._conns[key]
        return await super()._get(key, traces)


@asynccontextmanager
async def open_session(settings: model.Upstream) -> AsyncIterator[aiohttp.ClientSession]:
    """Open the pool: no cookies, no redirects, no proxy or netrc from the environment."""
    resolver = TimelyResolver(settings.connect_timeout_s)
    connector = SoundConnector(limit=settings.max_connections, keepalive_timeout=_KEEPALIVE_S, resolver=resolver)
    async with aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=settings.connect_timeout_s),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={
            "Accept": "application/json",
            "Accept-Encoding": "gzip",
            "User-Agent": f"pluto-proxy/{__version__}",
        },
        trust_env=False,
        # An answer of some hundred kB is read without pausing the connection (measured: 0.2 ms of a miss).
        read_bufsize=2**20,
    ) as session:
        # The library would send once more by itself, outside of the budget, where a connection had been closed meanwhile.
        session._retry_connection = False  # noqa: SLF001 -- the same test that pins the pool pins this
        yield session
