"""What one client watches, and what it is still to be told."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from contextvars import copy_context

from proxy.service.watching.values import Series


class Subscription:
    """The series that one client watches. Of each it is told the latest state only, so that what waits is bounded by them."""

    def __init__(self, series: Sequence[Series], *, client: str) -> None:
        """`client`: in whose turn the upstream is asked."""
        self._series = tuple(series)
        self.client = client
        self.context = copy_context()
        """The context of whoever watches: calls to the upstream count for its token."""
        self._changed: dict[Series, None] = {}
        self._woken = asyncio.Event()

    @property
    def series(self) -> tuple[Series, ...]:
        """The series, each once."""
        return self._series

    def note(self, series: Series) -> None:
        """Note that a series has changed."""
        self._changed[series] = None
        self._woken.set()

    def wake(self) -> None:
        """Have `wait` return."""
        self._woken.set()

    def take(self) -> list[Series]:
        """Return the series that have changed since the last call."""
        changed = list(self._changed)
        self._changed.clear()
        return changed

    async def wait(self, seconds: float) -> None:
        """Wait until something has changed since the last call, `wake` was called, or so many seconds have passed."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        self._woken.clear()
