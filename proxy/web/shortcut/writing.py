"""The answer of a lease on its way out: written to the socket itself, past the transport."""

import asyncio
import os

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
