"""Clients that have ended their side of a connection, and may still be reading.

A client may end sending after its request and read on (TCP's half-close). A client that has gone looks the same: both sent
their end. The first must get its response; the second must not keep a place in the line. Only sending something tells them
apart: a closed socket answers bytes with a reset. So a client that isn't answered at once is sent an interim response, `100
Continue`. Every HTTP/1.1 client skips it (RFC 9110 section 15.2), and a client that has gone answers it with a reset. HTTP/1.0
has no interim responses: there the response itself shows whether the client has gone.
"""

import asyncio
import socket
from collections.abc import Callable

_INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n"
# Hits and quick answers are there sooner, and nothing comes before them.
PERIOD_S = 0.1


class HalfClosed:
    """Watches a connection whose client has ended its side, and ends it if the client has gone."""

    def __init__(self, transport: asyncio.WriteTransport, waits: Callable[[], bool]) -> None:
        """`waits`: whether the client waits for an answer, and an interim response may be sent before it."""
        self._transport = transport
        self._waits = waits
        self._asked = False
        self._timer = asyncio.get_running_loop().call_later(PERIOD_S, self._look)

    def end(self) -> None:
        """Stop watching."""
        self._timer.cancel()

    def _look(self) -> None:
        if self._transport.is_closing():
            return
        if self._transport.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._transport.abort()
            return
        # What the client hasn't read yet tells as much once it arrives.
        if self._waits() and not self._asked and not self._transport.get_write_buffer_size():
            self._asked = True
            self._transport.write(_INTERIM)
        self._timer = asyncio.get_running_loop().call_later(PERIOD_S, self._look)
