"""Ports for programs that have to be told one, since they don't tell which one they got."""

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def held_port() -> Iterator[int]:
    """Give a port of 127.0.0.1 on which a program can listen while the body runs, if it is told the number.

    It stays bound, so that nobody gets it who asks for any port, a test that runs beside this one for example. Linux lets a
    server listen on it all the same, as both have SO_REUSEADDR. Other systems don't: there it is given back at once.
    """
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        port: int = held.getsockname()[1]
        if sys.platform != "linux":
            held.close()
        yield port
