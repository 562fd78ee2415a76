"""Listening sockets, which outlive the process that opened them."""

import socket
from dataclasses import dataclass

from proxy.own_file import OwnFile

BY_SUPERVISOR = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListeningSocket:
    """A socket that clients connect to.

    `address`: which of server.listen it is for, BY_SUPERVISOR where a supervisor opened it. A host name has several, all
    with its address. `file`: a Unix socket's; None where it is a supervisor's.
    """

    address: str
    socket: socket.socket
    file: OwnFile | None = None
