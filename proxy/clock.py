"""The time, as everything in the proxy is told it. Tests bring a clock of their own."""

import time
from typing import Protocol


class Clock(Protocol):
    """Where the time comes from."""

    def now_s(self) -> float:
        """Wall time in seconds since the epoch; never earlier than what it said before."""

    def monotonic_s(self) -> float:
        """Seconds since some fixed moment, for measuring."""


class SystemClock:
    """The machine's clock, kept from stepping backwards while the process runs.

    Ages are differences of wall times. If the machine's clock were set back by an hour, every entry would seem an hour
    younger than it is and be served as fresh. So after such a step the time goes on from where it was, at its own pace, until
    the machine's clock has caught up; a step forwards is followed, and makes entries expire early at worst.
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

    def monotonic_s(self) -> float:
        """See Clock."""
        return time.monotonic()
