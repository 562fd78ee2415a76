"""The clock that every part of the proxy reads the time from. Tests have clocks of their own."""

import time
from typing import Protocol


class Clock(Protocol):
    """Where the time comes from."""

    def now_s(self) -> float:
        """Return the wall time in seconds since the epoch, never less than at an earlier call."""

    def monotonic_s(self) -> float:
        """Return the seconds since some fixed moment, for measuring."""

    def machine_s(self) -> float:
        """Return the wall time as the machine has it: it steps wherever that is set, and costs the least."""


class SystemClock:
    """The machine's clock, kept from stepping backwards while the process runs.

    Ages are differences of wall times. After the machine's clock was set back by an hour, every entry would seem an hour
    younger than it is, and be served as fresh. So after such a step the time goes on from where it was, at its own pace, until
    the machine's clock has caught up. A step forwards is followed; at worst it makes entries expire early.
    """

    def __init__(self) -> None:
        self._wall_s = time.time()
        self._monotonic_s = time.monotonic()

    def now_s(self) -> float:
        """See Clock."""
        monotonic_s = time.monotonic()
        self._wall_s = max(time.time(), self._wall_s + (monotonic_s - self._monotonic_s))
        self._monotonic_s = monotonic_s
        return self._wall_s

    # Without a function of our own around them: they are read for each request.
    monotonic_s = staticmethod(time.monotonic)
    machine_s = staticmethod(time.time)
