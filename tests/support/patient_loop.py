"""An event loop for tests on a busy machine: what the machine does for others isn't counted as time."""

import asyncio
import selectors
import time

# So long an event loop waits at a time, and no step from one look at the clock to the next counts for more than two of them.
_SLICE_S = 0.002


class _InSlices(selectors.DefaultSelector):
    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return super().select(timeout if timeout is None else min(timeout, _SLICE_S))


class PatientLoop(asyncio.SelectorEventLoop):
    """The usual event loop, except that its clock goes on by little at a time.

    A timeout of a second then takes a second on a machine that is idle, and on a busy one so many turns of the event loop as a
    second has there: it doesn't run out because nothing had its turn.
    """

    def __init__(self) -> None:
        self._looked_s = self._now_s = time.monotonic()
        super().__init__(_InSlices())

    def time(self) -> float:
        """Return the time by this clock, in seconds: never ahead of the machine's, and behind it by what was lost."""
        looked_s = time.monotonic()
        self._now_s += min(looked_s - self._looked_s, 2 * _SLICE_S)
        self._looked_s = looked_s
        return self._now_s
