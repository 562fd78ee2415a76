"""Listening sockets, which outlive the process that opened them."""

import socket
from dataclasses import dataclass

BY_SUPERVISOR = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListeningSocket:
    """A socket that clients connect to.

    `address`: which of server.listen it is for, BY_SUPERVISOR where a supervisor opened it. A host name has several, all
    with its address.
    """

    address: str
    socket: socket.socket
