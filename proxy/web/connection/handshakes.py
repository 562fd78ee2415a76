"""TLS before a connection: clients are counted from the first moment, and their handshakes have a deadline.

An event loop that is told to serve TLS tells nobody of a connection whose handshake hasn't ended, so that any number of them
could be open. So connections are accepted here, counted, and handed to the event loop then.
"""

import asyncio
import socket
from collections.abc import Callable

import structlog
from aiohttp import web

from proxy.core.access.networks import UNIX, in_plain_form
from proxy.web.connection.crowd import Crowd, Seat
from proxy.web.encryption.certificate import Certificate

# Clients on the other side of the world need half a second.
DEADLINE_S = 10.0
_log = structlog.get_logger()


def source_of(family: int, peer: object) -> str:
    """Return where a connection comes from: its address in plain form, UNIX, or `""` where it cannot be told.

    `family` is its socket's, `peer` the name of its other end.
    """
    if family == socket.AF_UNIX:
        return UNIX
    return in_plain_form(str(peer[0])) if isinstance(peer, tuple) else ""


class Handshakes:
    """Has clients shake hands, after which they have a connection."""

    def __init__(self, certificate: Certificate, crowd: Crowd, connect: Callable[[Seat], web.RequestHandler]) -> None:
        """`connect` makes the protocol of a connection that has a seat."""
        self._certificate = certificate
        self._crowd = crowd
        self._connect = connect
        self._under_way: set[asyncio.Task[None]] = set()
        self.done = self.failed = 0
        """How many handshakes were completed, and how many were not."""

    def begin(self, opened: socket.socket, peer: object) -> None:
        """Begin a handshake on a connection that was accepted, unless there are too many connections."""
        source = source_of(opened.family, peer)
        seat = self._crowd.enter(source)
        if not seat.granted:
            _log.warning("connection.refused", address=source)
            seat.leave()
            opened.close()
            return
        task = asyncio.get_running_loop().create_task(self._shake(opened, source, seat), name="handshake")
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _shake(self, opened: socket.socket, source: str, seat: Seat) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: self._connect(seat),
                opened,
                ssl=self._certificate.context,
                ssl_handshake_timeout=min(DEADLINE_S, self._crowd.idle_timeout_s),
                # So long the last of an answer may go unread, as without TLS.
                ssl_shutdown_timeout=self._crowd.idle_timeout_s,
            )
        except OSError as exc:
            self.failed += 1
            _log.info("handshake.failed", address=source, reason=_reason(exc))
            seat.leave()
            return
        except BaseException:
            seat.leave()
            raise
        self.done += 1

    async def settled(self) -> None:
        """Wait until no handshake is under way."""
        while self._under_way:
            await asyncio.wait(self._under_way)

    async def aclose(self) -> None:
        """End the handshakes that are under way."""
        for task in self._under_way:
            task.cancel()
        if self._under_way:
            await asyncio.wait(self._under_way)


def _reason(error: OSError) -> str:
    """Say why a handshake failed: OpenSSL's word for it where it has one."""
    told: str | None = getattr(error, "reason", None)
    return told.replace("_", " ").lower() if told else error.strerror or str(error) or "the client has gone"
