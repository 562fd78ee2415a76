"""The questions that are asked most, of the last half hour to hour.

Questions are counted in two generations: when the younger one is half an hour old it takes the place of the older one. Each
holds so many questions at most; when there are more, the half that was asked least is forgotten.
"""

from collections import Counter
from heapq import nlargest

from proxy.clock import Clock

GENERATION_S = 1800.0
MOST = 1_000
# A longer question isn't counted: clients that invent such must not fill the memory.
LONGEST = 1_000
# The clock is looked at once in so many questions: a hit takes little more than the look.
_LOOK_EACH = 256


class Busiest:
    """Counts questions."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._young: dict[str, int] = {}
        self._old: dict[str, int] = {}
        self._since_s = clock.monotonic_s()
        self._until_look = _LOOK_EACH

    def note(self, question: str) -> None:
        """Count a question, by its target."""
        young = self._young
        count = young.get(question)
        if count is None:
            self._take_in(question)
        else:
            young[question] = count + 1
        self._until_look -= 1
        if not self._until_look:
            self._turn()

    def top(self, most: int) -> list[tuple[str, int]]:
        """Return the questions that were asked most, and how often, the first one most."""
        self._turn()
        both = Counter(self._young)
        both.update(self._old)
        return nlargest(most, both.items(), key=lambda item: item[1])

    def _take_in(self, question: str) -> None:
        if len(question) > LONGEST:
            return
        if len(self._young) >= MOST:
            self._young = dict(nlargest(MOST // 2, self._young.items(), key=lambda item: item[1]))
        self._young[question] = 1

    def _turn(self) -> None:
        """Begin a new generation if it is time."""
        self._until_look = _LOOK_EACH
        age_s = self._clock.monotonic_s() - self._since_s
        if age_s >= GENERATION_S:
            self._old = self._young if age_s < 2 * GENERATION_S else {}
            self._young = {}
            self._since_s = self._clock.monotonic_s()
