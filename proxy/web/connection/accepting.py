"""Accepting connections of clients that are to shake hands, as a site of aiohttp's runner."""

import asyncio
import socket

import structlog
from aiohttp import web

from proxy.web.connection.handshakes import Handshakes

# So many connections are accepted before others have their turn.
_AT_ONCE = 64
# Where none can be accepted it is tried again after so many seconds, as event loops do.
_PAUSE_S = 1.0
_log = structlog.get_logger()


class TlsSite(web.BaseSite):
    """Accepts connections to a socket, whose clients then have to shake hands."""

    def __init__(self, runner: web.ServerRunner, opened: socket.socket, handshakes: Handshakes) -> None:
        super().__init__(runner)
        self._socket = opened
        self._descriptor = opened.fileno()
        self._handshakes = handshakes
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None

    @property
    def name(self) -> str:
        """How aiohttp calls it."""
        return f"tls:{self._descriptor}"

    async def start(self) -> None:
        """Begin."""
        await super().start()
        self._begin()

    async def stop(self) -> None:
        """Accept no more, and close the socket."""
        await super().stop()
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._descriptor)
        self._socket.close()

    def _begin(self) -> None:
        self._loop.add_reader(self._descriptor, self._accept)

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                opened, peer = self._socket.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as exc:
                # As a rule there is no room for another descriptor. The connection is still there, and would be seen at once.
                _log.warning("connection.not_accepted", reason=exc.strerror)
                self._loop.remove_reader(self._descriptor)
                self._pause = self._loop.call_later(_PAUSE_S, self._begin)
                return
            opened.setblocking(False)
            self._handshakes.begin(opened, peer)
