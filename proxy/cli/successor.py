"""SIGUSR2: this process starts a new one by the command that it was started with itself, which takes over from it.

So a supervisor that knows one process, such as systemd, goes on with the new one, and a new release that was installed in the
place of the old one is what begins.
"""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import structlog

# What a supervisor said to this process alone. The sockets come from this process.
_OWN = frozenset({"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID"})
_TAKEOVER = "--takeover"
# The first process of a container, with which all others of it end.
_FIRST = 1
_log = structlog.get_logger()


class Successor:
    """Starts the new process, one at a time."""

    def __init__(self, command: list[str], environ: Mapping[str, str], *, pid: int) -> None:
        """`command`: this process's, with `serve` among its arguments. `pid`: this process."""
        self._pid = pid
        self._command = [*command, *([] if _TAKEOVER in command else [_TAKEOVER])]
        self._environ = {name: value for name, value in environ.items() if name not in _OWN}
        self._started: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, unless one that was started before still runs, or would end with this one. What goes wrong is logged."""
        if self._pid == _FIRST:
            _log.error("restart.not_started", reason="this is the first process of its container, which ends with it")
            return
        if self._started is not None and self._started.poll() is None:
            _log.warning("restart.under_way", pid=self._started.pid)
            return
        try:
            # Standard output and error stay the same.
            self._started = subprocess.Popen(self._command, env=self._environ, stdin=subprocess.DEVNULL)  # noqa: S603 -- our own
        except OSError as exc:
            _log.error("restart.not_started", reason=exc.strerror)
        else:
            _log.info("restart.started", pid=self._started.pid)


@contextmanager
def restarting() -> Iterator[None]:
    """Start a new process at each SIGUSR2. After the block the signal is ignored."""
    successor = Successor([sys.executable, *sys.orig_argv[1:]], os.environ, pid=os.getpid())
    loop = asyncio.get_running_loop()
    # A handler of the event loop's own would leave the usual effect behind when it is removed.
    signal.signal(signal.SIGUSR2, lambda _number, _frame: loop.call_soon_threadsafe(successor.start))
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)
