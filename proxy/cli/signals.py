"""Signals that must not end this program: SIGHUP, SIGUSR1 and SIGUSR2.

SIGHUP asks `serve` to reload its configuration. It also comes when a terminal closes. Nothing is done about the other two. By
default each of the three would end the process at once, and requests under way would get no response; a supervisor would take
the end by SIGHUP for an orderly one. `proxy.__main__` blocks them from the process's start, before it is known which command is
run.

`cli.serve` handles SIGTERM and SIGINT, and `cli.successor` SIGUSR2 while `serve` answers requests. All others keep their usual
effect: SIGQUIT, SIGABRT and SIGALRM are meant to end the process at once, SIGTSTP and SIGCONT to pause and resume it. Python
ignores SIGPIPE and SIGXFSZ.
"""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator
from functools import partial
from types import FrameType

import structlog

_HELD = frozenset({signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2})
_log = structlog.get_logger()


def release() -> None:
    """Unblock the signals: those that came meanwhile have their effect now."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _HELD)


class Hangups:
    """What becomes of SIGHUP: it is kept until somebody takes it, taken, and ignored from then on."""

    def __init__(self, *, kept: bool) -> None:
        """`kept`: whether somebody will take them."""
        self._kept = kept
        self._came = False
        self._take: Callable[[], object] | None = None

    @contextlib.contextmanager
    def taken(self, take: Callable[[], None]) -> Iterator[None]:
        """Call `take` on the event loop for each SIGHUP that comes as long as the context lasts, and for one kept before it."""
        loop = asyncio.get_running_loop()
        # A handler of the event loop's own would leave the usual effect behind when it is removed.
        self._take, self._kept = partial(loop.call_soon_threadsafe, take), False
        if self._came:
            take()
        try:
            yield
        finally:
            self._take = None

    def note(self, number: int, _frame: FrameType | None) -> None:
        """Handle the signal."""
        if self._take is not None:
            self._take()
        elif self._kept:
            self._came = True
        else:
            _log.info("signal.ignored", signal=signal.Signals(number).name)


@contextlib.contextmanager
def outlasting_signals(hangups: Hangups) -> Iterator[None]:
    """Let none of these signals end the process from now on, also after the block.

    Within the block SIGHUP is handled, unless it was ignored (nohup); after it is ignored. Set up the log first: a SIGHUP that
    was blocked until now is handled at once.
    """
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, hangups.note)
    release()
    try:
        yield
    finally:
        # The interpreter removes handlers before its end is over. A signal that is set to be ignored stays ignored.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
