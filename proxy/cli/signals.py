"""Signals that are meant for other programs, or for something that this one doesn't do: they end nothing.

SIGHUP (a terminal that closes; a supervisor that wants a configuration read again, or log files opened again), SIGUSR1 and
SIGUSR2. By default each would end the process at once, without an answer to whoever waits for one, and a supervisor would take
the first for an orderly end. `proxy.__main__` holds them back from the process's start, while it isn't known yet which command
is run.

SIGTERM and SIGINT are `cli.serve`'s. All others keep their usual effect: SIGQUIT, SIGABRT and SIGALRM are sent by those who
want it ended at once, SIGTSTP and SIGCONT by those who want it to rest; SIGPIPE and SIGXFSZ are ignored by Python.
"""

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

import structlog

_HELD = frozenset({signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2})
_log = structlog.get_logger()


def release() -> None:
    """Let the signals that were held back have the effect that they have by now."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _HELD)


@contextlib.contextmanager
def outlasted() -> Iterator[None]:
    """Outlast these signals from now on; SIGHUP is logged, unless it was ignored before (nohup). They are ignored afterwards.

    The log must have been set up: what was held back is told at once.
    """
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, _tell)
    release()
    try:
        yield
    finally:
        # The interpreter's end takes handlers away before it is over: a signal that is ignored stays so.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)


def _tell(number: int, _frame: FrameType | None) -> None:
    _log.info("signal.ignored", signal=signal.Signals(number).name)
