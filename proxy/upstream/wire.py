"""A request on a connection of the pool, and what comes back: aiohttp's connector, protocol and parser, without its session.

For each request a session makes URL, header table, request and response anew, and looks for cookies, redirects, traces and
middlewares that there are none of here: most of what a call cost. Here a request is ready bytes but for its target and its key.
This leans on aiohttp's internals, as `upstream.pool` does: so aiohttp's version is bounded, and the tests of this room send all
that an upstream may send.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
from aiohttp import hdrs
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from proxy import __version__
from proxy.clock import Clock
from proxy.config.model import UpstreamSettings
from proxy.upstream.credential import Key
from proxy.upstream.forwarding import forwarding_headers
from proxy.upstream.pool import SoundConnector, open_pool

# Large enough to read an answer of some hundred kB without pausing the connection (measured: saves 0.2 ms of a miss).
_READ_BYTES = 2**20
# 101 is no interim response: the connection is another protocol's from then on.
_SWITCHING = 101


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """A response whose head has come; `content` is its body as it comes. Let go of it with `release` or `close`."""

    status: int
    headers: "CIMultiDictProxy[str]"
    content: aiohttp.StreamReader
    connection: Connection

    def release(self) -> None:
        """Give the connection back. It is closed unless all of the body has come."""
        self.connection.release()

    def close(self) -> None:
        """Close the connection: nobody wants the rest of the body."""
        self.connection.close()


class Wire:
    """Sends requests by the connections of a pool."""

    def __init__(self, connector: SoundConnector, settings: UpstreamSettings) -> None:
        """Takes a running event loop."""
        base = URL(settings.url, encoded=True)
        forwarding = forwarding_headers(settings)
        self._connector = connector
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=settings.connect_timeout_s)
        host = base.host_port_subcomponent or ""
        # aiohttp's connector is told by a request where to connect to. It adds the host to the fields for the tunnel: were it
        # not there from the start, the next connection would count as one to elsewhere.
        tunnel = None if forwarding.tunnel is None else CIMultiDict({**forwarding.tunnel, hdrs.HOST: host})
        self._to = aiohttp.ClientRequest(
            hdrs.METH_GET,
            base,
            proxy=None if settings.proxy is None else URL(settings.proxy.url),
            proxy_headers=tunnel,
        )
        # A forward proxy that can read the request is told all of the URL (RFC 9112 section 3.2.2).
        is_read_by_proxy = settings.proxy is not None and base.scheme == "http"
        self._prefix = (str(base) if is_read_by_proxy else base.raw_path).rstrip("/")
        fields = {
            hdrs.HOST: host,
            hdrs.ACCEPT: "application/json",
            hdrs.ACCEPT_ENCODING: "gzip",
            hdrs.USER_AGENT: f"pluto-proxy/{__version__}",
            **forwarding.request,
        }
        self._fields = "".join(f"{name}: {value}\r\n" for name, value in fields.items())

    async def get(self, target: str, key: Key) -> Response:
        """Send a request for a target with a key, once, and return the response when its head has come.

        Redirects aren't followed. Raises aiohttp.ClientError, HttpProcessingError where what comes is not HTTP, OSError.
        """
        connection = await self._connect()
        try:
            protocol, transport = _ends(connection)
            protocol.set_response_params(read_until_eof=True, read_bufsize=_READ_BYTES)
            head = f"GET {self._prefix}{target} HTTP/1.1\r\n{self._fields}Authorization: Bearer {key.secret}\r\n\r\n"
            transport.write(head.encode("ascii"))
            while True:
                message, content = await protocol.read()
                if not 100 <= message.code < 200 or message.code == _SWITCHING:
                    return Response(status=message.code, headers=message.headers, content=content, connection=connection)
        except BaseException:
            connection.close()
            raise

    async def _connect(self) -> Connection:
        try:
            return await self._connector.connect(self._to, [], self._timeout)
        except TimeoutError as exc:
            raise aiohttp.ConnectionTimeoutError("no connection in time") from exc


def _ends(connection: Connection) -> tuple[ResponseHandler, asyncio.Transport]:
    protocol, transport = connection.protocol, connection.transport
    if protocol is None or transport is None or transport.is_closing():
        raise aiohttp.ServerDisconnectedError
    return protocol, transport


@asynccontextmanager
async def open_wire(settings: UpstreamSettings, clock: Clock) -> AsyncIterator[Wire]:
    """Open the connections to the upstream. Raises ConfigError if upstream.ca_file cannot be used."""
    async with open_pool(settings, clock) as connector:
        yield Wire(connector, settings)
