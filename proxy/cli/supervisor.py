"""What a supervisor such as systemd hands to the process, and what it is told: sd_listen_fds(3) and sd_notify(3).

A supervisor may open the sockets that clients connect to and hand them over. Then no connection is refused while the process
starts or is replaced, and it need not have the right to open a port. The supervisor is told when requests are answered, when
the process is ending, and every now and then that the event loop still runs.
"""

import asyncio
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import structlog

from proxy.errors import ConfigError
from proxy.restart.sockets import BY_SUPERVISOR, ListeningSocket

# The first descriptor that is handed over (SD_LISTEN_FDS_START).
_FIRST = 3
# The supervisor is told so many times in the time after which it would take the process for stuck.
_TIMES = 2
_log = structlog.get_logger()


class Supervisor:
    """The supervisor of this process, if it has one: known by the variables that it sets."""

    def __init__(self, environ: Mapping[str, str], pid: int) -> None:
        """`pid`: this process's. What is meant for another process, such as the one that started this one, is left alone."""
        mine = environ.get("LISTEN_PID") == str(pid)
        self._count = _number(environ, "LISTEN_FDS") if mine else 0
        self._address = environ.get("NOTIFY_SOCKET", "")
        watched = environ.get("WATCHDOG_PID", str(pid)) == str(pid)
        self._alive_every_s = _number(environ, "WATCHDOG_USEC") / 1e6 / _TIMES if watched and self._address else 0.0

    def sockets(self) -> list[ListeningSocket]:
        """Return the sockets that were handed over, listening ones. Raises ConfigError where one is something else."""
        return [
            ListeningSocket(address=BY_SUPERVISOR, socket=_listening(number)) for number in range(_FIRST, _FIRST + self._count)
        ]

    @contextmanager
    def told(self, successor_pid: Callable[[], int | None] = lambda: None) -> Iterator[None]:
        """Tell the supervisor that requests are answered from now on, as long as the event loop runs.

        At the end it is told that the process is ending, or which one has taken over from it.
        """
        self._tell("READY=1")
        alive = asyncio.get_running_loop().create_task(self._tell_alive(), name="supervisor.alive")
        try:
            yield
        finally:
            alive.cancel()
            pid = successor_pid()
            # The new one's first sign of life may come before the supervisor takes it from that process.
            self._tell("STOPPING=1" if pid is None else f"MAINPID={pid}\nWATCHDOG=1")

    @contextmanager
    def reloading(self) -> Iterator[None]:
        """Tell the supervisor that the configuration is being reloaded, for as long as the context lasts."""
        # It takes this for the answer to its signal if the time is later than that of the signal.
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")
        try:
            yield
        finally:
            self._tell("READY=1")

    async def _tell_alive(self) -> None:
        while self._alive_every_s:
            self._tell("WATCHDOG=1")
            await asyncio.sleep(self._alive_every_s)

    def _tell(self, state: str) -> None:
        if not self._address:
            return
        # A leading @ stands for the NUL of an abstract address.
        address = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as telling:
                telling.sendto(state.encode(), address)
        except OSError as exc:
            # It is a courtesy: clients are answered all the same.
            _log.warning("supervisor.not_told", state=state, reason=exc.strerror)


NOBODY = Supervisor({}, 0)


def _number(environ: Mapping[str, str], name: str) -> int:
    text = environ.get(name, "")
    return int(text) if text.isascii() and text.isdigit() else 0


def _listening(number: int) -> socket.socket:
    try:
        opened = socket.socket(fileno=number)
    except OSError as exc:
        raise ConfigError([f"descriptor {number}, which LISTEN_FDS tells of, is no socket: {exc.strerror}"]) from None
    if opened.type is not socket.SOCK_STREAM or not opened.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        opened.close()
        raise ConfigError(
            [f"descriptor {number}, which LISTEN_FDS tells of, doesn't listen: the socket unit needs ListenStream="]
        )
    os.set_inheritable(number, False)
    opened.setblocking(False)
    return opened
