"""The answer of a lease on its way out: written to the socket itself, past the transport."""

import asyncio
import os
import socket
from contextlib import suppress

from proxy.web.shortcut.lease import Lease


def write(lease: Lease, transport: asyncio.WriteTransport, descriptor: int | None) -> None:
    """Write an answer, in one call of the system where the socket takes all of it; what it doesn't take is the transport's.

    `descriptor` is the socket's, None where the transport has to encrypt what is written: then all is left to it. Only for a
    transport that is open and holds nothing back: what it holds would have to come first. The transport never gets the lease's
    own bytes, which are written anew for the next request.
    """
    try:
        if descriptor is None:
            sent = 0
        elif lease.file is not None:
            sent = _send_file(lease, lease.file, descriptor)
        elif lease.body:
            sent = os.writev(descriptor, (lease.head, lease.body))
        else:
            sent = os.write(descriptor, lease.head)
    except OSError:
        sent = 0  # whatever it is, the transport meets it as well and knows what to do
    if sent == lease.whole_bytes:
        return
    head_bytes = len(lease.head)
    if sent < head_bytes:
        transport.write(bytes(lease.head[sent:]))
        transport.write(lease.body)
    else:
        transport.write(memoryview(lease.body)[sent - head_bytes :])


def file_of(body: bytes) -> int | None:
    """Return the descriptor of a file in memory that holds a body, None where the system has none to give."""
    if not hasattr(os, "memfd_create"):
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


def _send_file(lease: Lease, file: int, descriptor: int) -> int:
    """Send the head, and the body from its file, which the kernel needn't copy; return how many bytes went out.

    The head waits in the kernel for the body's first bytes. They always come: from the file or, where the socket takes none of
    them now, from the transport. Raises OSError where not even the head goes out.
    """
    # A Unix socket's family would do as well: nothing is asked of the kernel about it.
    wire = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, fileno=descriptor)
    try:
        sent = wire.send(lease.head, socket.MSG_MORE)
    finally:
        wire.detach()
    if sent == len(lease.head):
        with suppress(OSError):
            sent += os.sendfile(descriptor, file, 0, len(lease.body))
    return sent
