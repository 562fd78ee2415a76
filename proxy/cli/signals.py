"""Signals that ask for something that this program doesn't do, and so must not end it: SIGHUP, SIGUSR1 and SIGUSR2.

SIGHUP comes when a terminal closes, or from a supervisor that wants the configuration read or log files opened again. By
default each of the three would end the process at once, and requests under way would get no response; a supervisor would take
the end by SIGHUP for an orderly one. `proxy.__main__` blocks them from the process's start, before it is known which command is
run.

`cli.serve` handles SIGTERM and SIGINT. All others keep their usual effect: SIGQUIT, SIGABRT and SIGALRM are meant to end the
process at once, SIGTSTP and SIGCONT to pause and resume it. Python ignores SIGPIPE and SIGXFSZ.
"""

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

import structlog

_HELD = frozenset({signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2})
_log = structlog.get_logger()


def release() -> None:
    """Unblock the signals: those that came meanwhile have their effect now."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _HELD)


@contextlib.contextmanager
def ignoring_signals() -> Iterator[None]:
    """Ignore these signals from now on, also after the block. Within the block SIGHUP is logged, unless it was ignored (nohup).

    Set up the log first: a SIGHUP that was blocked until now is logged at once.
    """
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, _tell)
    release()
    try:
        yield
    finally:
        # The interpreter removes handlers before its end is over. A signal that is set to be ignored stays ignored.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)


def _tell(number: int, _frame: FrameType | None) -> None:
    _log.info("signal.ignored", signal=signal.Signals(number).name)
