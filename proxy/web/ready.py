"""A response whose head and body are bytes already, handed to the transport as they are."""

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from proxy.web.pieces import pieces

# Below this, head and body go out as one piece: copying is cheaper than a second system call, and than a second packet.
_JOIN_BYTES = 65_536


class ReadyResponse(web.StreamResponse):
    """Skips what aiohttp does between a response object and the bytes of it (measured: half the time of a warm hit).

    For HTTP/1.1 requests on a connection that stays open; anything else takes an ordinary response. It leans on the server's
    calling `prepare` and `write_eof` and looking at `keep_alive` alone: hence the upper bound on aiohttp's version.
    """

    def __init__(self, request: web.BaseRequest, head: bytes, body: bytes) -> None:
        # Not calling the base class: it would build the header table that this class is there to avoid.
        self._request = request
        self._head = head
        self._ready_body = body

    @property
    def body_bytes(self) -> int:
        """How many bytes of the body are still to be written."""
        return len(self._ready_body)

    @property
    def keep_alive(self) -> bool:
        """The connection stays open."""
        return True

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:  # noqa: ARG002 -- aiohttp's signature
        """Do nothing: there is nothing to prepare."""
        return None

    async def write_eof(self, data: bytes = b"") -> None:  # noqa: ARG002 -- aiohttp's signature
        """Write everything, and wait while the client reads slower than we write.

        The server keeps a response until the connection's next one: the body is let go of here, so that idle connections
        don't hold on to what memory has thrown out.
        """
        body, self._ready_body = self._ready_body, b""
        if len(body) < _JOIN_BYTES:
            await self._write(self._head + body)
            return
        await self._write(self._head)
        for piece in pieces(body):
            await self._write(piece)

    async def _write(self, data: bytes | memoryview) -> None:
        transport = self._request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client has gone")
        transport.write(data)
        await self._request.writer.drain()
