"""The answers of leases on their way out: written to a connection's socket itself, past its transport."""

import asyncio
import os
import socket
from contextlib import suppress

from proxy.web.shortcut.lease import Lease


class Outlet:
    """Writes answers to one connection. Only while its transport is open and holds nothing back: that would have to come first.

    `descriptor` is that of the connection's socket, None where the transport has to encrypt what is written.
    """

    __slots__ = ("_socket", "_transport", "descriptor")

    def __init__(self, transport: asyncio.WriteTransport, descriptor: int | None) -> None:
        self._transport = transport
        self.descriptor = descriptor
        self._socket: socket.socket | None = None

    def end(self) -> None:
        """Let go of the socket, which is the transport's to close. To be called when the connection is lost, at the latest."""
        self.descriptor = None
        if self._socket is not None:
            self._socket.detach()
            self._socket = None

    def write(self, lease: Lease) -> None:
        """Write an answer; what the socket doesn't take at once is left to the transport."""
        try:
            if self.descriptor is None:
                sent = 0
            elif lease.file is not None:
                sent = self._send_file(lease, lease.file, self.descriptor)
            elif lease.body:
                sent = os.writev(self.descriptor, (lease.head, lease.body))
            else:
                sent = os.write(self.descriptor, lease.head)
        except OSError:
            sent = 0  # whatever it is, the transport meets it as well and knows what to do
        if sent < lease.whole_bytes:
            self.leave(lease, sent)

    def leave(self, lease: Lease, sent: int) -> None:
        """Leave an answer to the transport, but for so many bytes that the socket has taken.

        The transport never gets the lease's own head, which the next request will write in.
        """
        head_bytes = len(lease.head)
        if sent < head_bytes:
            self._transport.write(bytes(lease.head[sent:]))
            self._transport.write(lease.body)
        else:
            self._transport.write(memoryview(lease.body)[sent - head_bytes :])

    def _send_file(self, lease: Lease, file: int, descriptor: int) -> int:
        """Send the head, and the body from its file, which the kernel needn't copy; return how many bytes went out.

        The head waits in the kernel for the body's first bytes. They always come: from the file or, where the socket takes none
        of them now, from the transport. Raises OSError where not even the head goes out.
        """
        if self._socket is None:
            # It is there to say MSG_MORE. (A Unix socket's family would do as well: nothing is asked of the kernel about it.)
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, fileno=descriptor)
        sent = self._socket.send(lease.head, socket.MSG_MORE)
        if sent == len(lease.head):
            with suppress(OSError):
                sent += os.sendfile(descriptor, file, 0, len(lease.body))
        return sent


def file_of(body: bytes) -> int | None:
    """Return the descriptor of a file in memory that holds a body, None where the system has none to give."""
    if not (hasattr(os, "memfd_create") and hasattr(socket, "MSG_MORE")):
        return None
    try:
        file = os.memfd_create("answer")
    except OSError:
        return None
    try:
        if os.pwrite(file, body, 0) == len(body):
            return file
    except OSError:
        pass
    os.close(file)
    return None
