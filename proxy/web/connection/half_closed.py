"""Clients that have ended their side of a connection, and may be reading still.

A client may end sending once it has asked, and read on (TCP's half-close); one that has gone looks just the same: both sent
their end. The first gets its answer, the second must not keep a place in the line. What tells them apart is only what comes
back for something sent: for bytes to a socket that is closed comes a reset. So who isn't answered at once is sent an interim
response, `100 Continue`, which every HTTP/1.1 client passes over (RFC 9110 section 15.2) and which a client that has gone
answers with a reset. HTTP/1.0 has none: nobody is sent one there, and who has gone is found out by the answer itself.
"""

import asyncio
import socket
from collections.abc import Callable

_INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n"
# Hits and quick answers are there sooner, and nothing comes before them.
PERIOD_S = 0.1


class HalfClosed:
    """Watches a connection whose client has ended its side, and ends it where the client has gone."""

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
