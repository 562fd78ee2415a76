"""The ports that tests hold for a program: it gets them, and nobody else does."""

import errno
import socket
import struct
import sys

import pytest

from tests.support.ports import held_port

# Of Linux 6.3: the ports that a socket is given one of, the first in the lower half and the last in the upper half.
IP_LOCAL_PORT_RANGE = 51

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems hold no port for somebody else")


def any_port_of(port: int, *, reuse: bool) -> int:
    """Ask for any port where this one alone may be given; return the error's number, 0 for none."""
    with socket.socket() as asking:
        asking.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(reuse))
        try:
            asking.setsockopt(socket.IPPROTO_IP, IP_LOCAL_PORT_RANGE, struct.pack("I", port << 16 | port))
        except OSError:
            pytest.skip("this Linux is older than 6.3")
        try:
            asking.bind(("127.0.0.1", 0))
        except OSError as exc:
            return exc.errno or 0
        return 0


@pytest.mark.parametrize("reuse", [False, True])
def test_nobody_who_asks_for_any_port_gets_it(reuse: bool) -> None:
    with held_port() as port:
        assert any_port_of(port, reuse=reuse) == errno.EADDRINUSE


def test_a_server_that_is_told_the_number_listens_on_it() -> None:
    with held_port() as port:
        with socket.socket() as asking:
            assert asking.connect_ex(("127.0.0.1", port)) == errno.ECONNREFUSED
        with socket.create_server(("127.0.0.1", port)), socket.create_connection(("127.0.0.1", port)):
            pass
