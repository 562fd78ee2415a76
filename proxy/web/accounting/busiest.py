"""The questions that are asked most, of the last half hour to hour.

Questions are counted in two generations: each half hour the younger one takes the place of the older one. Each holds so many
questions at most; when there are more, the half that was asked least is forgotten.
"""

import asyncio
from collections import Counter
from heapq import nlargest

from proxy.deferred_counts import DeferredCounts

GENERATION_S = 1800.0
MOST = 1_000
# A longer question isn't counted: clients that invent such must not fill the memory.
LONGEST = 1_000


class Busiest:
    """Counts questions."""

    def __init__(self, deferred: DeferredCounts) -> None:
        self._deferred = deferred
        self._young: dict[str, int] = {}
        self._old: dict[str, int] = {}

    def note(self, question: str, *, times: int = 1) -> None:
        """Count a question, by its target."""
        try:
            self._young[question] += times
        except KeyError:
            self._take_in(question, times)

    def top(self, most: int) -> list[tuple[str, int]]:
        """Return the questions that were asked most, and how often, the first one most."""
        self._deferred.settle()
        both = Counter(self._young)
        both.update(self._old)
        return nlargest(most, both.items(), key=lambda item: item[1])

    def turn(self) -> None:
        """Begin a new generation."""
        self._deferred.settle()
        self._old, self._young = self._young, {}

    async def run(self) -> None:
        """Begin a new generation each half hour until cancelled."""
        while True:
            await asyncio.sleep(GENERATION_S)
            self.turn()

    def _take_in(self, question: str, times: int) -> None:
        if len(question) > LONGEST:
            return
        if len(self._young) >= MOST:
            self._young = dict(nlargest(MOST // 2, self._young.items(), key=lambda item: item[1]))
        self._young[question] = times
