"""One series that is watched: its state, who watches it, and when it is read next."""

import asyncio
import math

from proxy.core.series.extents import Extent
from proxy.errors import ProxyError, UpstreamBusy, UpstreamError
from proxy.service.watching.looking import Look
from proxy.service.watching.subscription import Subscription
from proxy.service.watching.troubles import Trouble, trouble_of_error
from proxy.service.watching.values import Series, SeriesState

# After failures a series is read again after 2 s, 4 s and so on, up to this.
_LONGEST_PAUSE_S = 60.0
_MOST_DOUBLINGS = 6


class WatchedSeries:
    """A series, as long as anybody watches it."""

    def __init__(self, series: Series, state: SeriesState) -> None:
        """`state`: what was known when it was last watched."""
        self._series = series
        self.state = state
        self.extent: Extent | None = None
        """Its rows, where all of them were known at the last look."""
        self.looked_s = -math.inf
        """When the state was last found out (wall time)."""
        self.trouble: Trouble | None = None
        """Why it couldn't be read, or only stale, at the last time."""
        self._status_changes = 0
        self._due_s = -math.inf
        self._failures = 0
        self._reading: asyncio.Task[None] | None = None
        self._subscriptions: dict[Subscription, None] = {}

    @property
    def series(self) -> Series:
        """Which series it is."""
        return self._series

    @property
    def is_watched(self) -> bool:
        """Whether anybody watches it."""
        return bool(self._subscriptions)

    @property
    def first(self) -> Subscription:
        """Who has watched it for the longest time."""
        return next(iter(self._subscriptions))

    def add(self, subscription: Subscription) -> None:
        """Tell somebody of changes from now on."""
        self._subscriptions[subscription] = None

    def remove(self, subscription: Subscription) -> None:
        """Tell somebody nothing any more. Reading ends with the last one."""
        self._subscriptions.pop(subscription, None)
        if not self._subscriptions and self._reading is not None:
            self._reading.cancel()

    def is_due(self, now_s: float) -> bool:
        """Tell whether it is time to read it (`now_s`: monotonic clock), and nobody does."""
        return now_s >= self._due_s and self._reading is None

    def begin(self, reading: "asyncio.Task[None]") -> None:
        """Note that a task reads it now."""
        self._reading = reading
        reading.add_done_callback(self._end)

    def read_soon(self) -> None:
        """Have it read at the next look."""
        self._due_s = -math.inf

    def note_status(self, changes: int) -> None:
        """Note how often what is known of its run's status has changed: how long it can wait was said of another one."""
        if changes != self._status_changes:
            self._status_changes = changes
            self.read_soon()

    def note_look(self, look: Look, *, at_s: float, now_s: float, number: int) -> bool:
        """Note what was found by reading. Return whether the series has changed, which `number` is given to.

        `at_s`: wall time; `now_s`: monotonic clock.
        """
        self._failures = self._failures + 1 if look.trouble is not None else 0
        self._due_s = now_s + max(look.wait_s, self._pause_s())
        self._status_changes = look.status_changes
        self._set_trouble(look.trouble)
        return self.note_rows(look, at_s=at_s, number=number)

    def note_rows(self, look: Look, *, at_s: float, number: int) -> bool:
        """Note what rows there are (`at_s`: wall time). Return whether they have changed, which `number` is given to."""
        self.looked_s, self.extent = at_s, look.extent
        if (look.version, look.through) == (self.state.version, self.state.through):
            return False
        self._change(SeriesState(version=look.version, through=look.through, number=number))
        return True

    def note_failure(self, error: ProxyError | None, *, now_s: float) -> None:
        """Note that it could not be read (`now_s`: monotonic clock). `error` is None for a fault in the proxy."""
        self._failures += 1
        busy_s = error.retry_after_s if isinstance(error, UpstreamBusy) else 0.0
        self._due_s = now_s + max(self._pause_s(), min(busy_s, _LONGEST_PAUSE_S))
        self._set_trouble(trouble_of_error(error) if isinstance(error, UpstreamError) else None)

    def note_purge(self, version: str, number: int) -> None:
        """Note that what is known of its rows was purged: what anybody shows of them holds no longer."""
        self.extent = None
        self.read_soon()
        self._change(SeriesState(version=version, number=number))

    def _change(self, state: SeriesState) -> None:
        self.state = state
        for subscription in self._subscriptions:
            subscription.note(self._series)

    def _set_trouble(self, trouble: Trouble | None) -> None:
        if trouble != self.trouble:
            self.trouble = trouble
            for subscription in self._subscriptions:
                subscription.wake()

    def _pause_s(self) -> float:
        return min(_LONGEST_PAUSE_S, 2.0 ** min(self._failures, _MOST_DOUBLINGS)) if self._failures else 0.0

    def _end(self, _task: "asyncio.Task[None]") -> None:
        self._reading = None
