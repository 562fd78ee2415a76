"""Counts that are kept where they arise for a while, since to count at once would cost more than what is counted."""

from collections.abc import Callable


class DeferredCounts:
    """Has such counts brought to where they are read: before each reading, and once a second."""

    def __init__(self) -> None:
        self._bringing: list[Callable[[], None]] = []

    def add(self, bring: Callable[[], None]) -> None:
        """Have `bring` called whenever the counts are to be complete."""
        self._bringing.append(bring)

    def settle(self) -> None:
        """Return once all counts are where they are read."""
        for bring in self._bringing:
            bring()
