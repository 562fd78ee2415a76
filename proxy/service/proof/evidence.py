"""What proves an answer whole without another request: what the upstream has sent lately, and rows that are known already.

`core.proof` has the theory. Each answer that is judged is noted too: it shows how much the upstream sends.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

from proxy.clock import Clock
from proxy.core.proof.known_rows import all_gapless, as_of_known_end, lacks_known_rows, last_known_row
from proxy.core.proof.limits import Limits
from proxy.core.proof.sizes import FEW_ROWS, Size, size_of, thinned_of
from proxy.core.series.extents import Extents, Known, decided
from proxy.core.series.metrics_query import MetricsQuery
from proxy.service.fetching.need import Fetched

# How many rows an unknown series is taken to have.
_USUAL_ROWS = 1_000


class Evidence:
    """Judges answers by what was seen before."""

    def __init__(self, limits: Limits, clock: Clock) -> None:
        self._limits = limits
        self._clock = clock

    def prove_by_known(
        self, fetched: Fetched, extents: Extents, known: Sequence[Extents], *, since_s: float = math.inf
    ) -> Extents | None:
        """Return an answer if it is whole by what the upstream sent lately, or by what is `known`; None otherwise.

        The answer's own size is noted, too. `known`: windows of the same run that are known to be whole; those of another group
        don't count, since their rows have other neighbours. Where the answer lacks rows that they have, the upstream sends less
        than it did, or rows were deleted. Then nothing that was seen counts any more; what was concluded from it before is
        still to be confirmed. `since_s`: what was known since then (wall time) is as good as known now.
        """
        known = [window for window in known if window.question.group == extents.question.group]
        size = size_of(extents, len(fetched.entry.body))
        if lacks_known_rows(extents, known):
            self._limits.doubt()
        whole: Extents | None = None
        if extents.is_presumed:
            pass  # known rows don't tell: a sample shows them, too, where a row has come after each of them since
        elif size.rows <= FEW_ROWS or self._allows(extents, size.doubled):
            whole = extents
        elif all_gapless(extents, known):
            whole = extents if self._allows(extents, size.exceeded) else as_of_known_end(extents, known, since_s)
        self._limits.note(extents.question, size, extents.tail_asked_s, thinned_of(extents))
        return whole

    def prove_window(self, fetched: Fetched, extents: Extents, before: Extents) -> Extents | None:
        """Return a window of one name if it is whole by rows that have just come: it begins with the last ones of `before`.

        None otherwise. A window that has a last step ends at its last row then. Whether it was cut, the next window tells: it
        begins with the last rows of this one. One without a last step must be smaller than what the upstream sent lately.
        """
        size = size_of(extents, len(fetched.entry.body))
        self._limits.note(extents.question, size, extents.tail_asked_s, thinned_of(extents))
        whole = decided(extents, Known.ALL)
        if not all_gapless(whole, [before]):
            return None
        if extents.question.last is None:
            return whole if self._allows(extents, size.exceeded) else None
        ends = [extent.steps[-1] for extent in whole.complete.values()]
        return replace(whole, question=replace(extents.question, last=max(ends)))

    def prove_stretch(self, fetched: Fetched, extents: Extents, known: Extents) -> Extents | None:
        """Return a stretch of one long series if it is whole by what was sent lately, or by known rows; None otherwise.

        A stretch that begins with known rows, and has the last row that is known of it, may have been cut behind that row: then
        it ends there.
        """
        whole = self.prove_by_known(fetched, extents, [known])
        last = extents.question.last
        if whole is not None or last is None or extents.is_presumed or not all_gapless(extents, [known]):
            return whole
        reached = last_known_row(extents, known)
        return None if reached is None else replace(extents, question=replace(extents.question, last=reached))

    def has_shown(self, question: MetricsQuery, *, rows: int, row_bytes: int) -> bool:
        """Tell whether so large an answer about one name was sent lately that one of so many rows must be whole."""
        size = Size(names=1, most=rows, rows=rows, bytes=rows * row_bytes)
        return self._limits.shows(question, size.doubled, now_s=self._clock.now_s())

    def is_cheap(self, question: MetricsQuery) -> bool:
        """Tell whether the answer to a question is likely to be proven by what was seen lately."""
        size = Size(names=1, most=_USUAL_ROWS, rows=_USUAL_ROWS, bytes=_USUAL_ROWS)
        return self._limits.shows(question, size.doubled, now_s=self._clock.now_s())

    def _allows(self, extents: Extents, size: Size) -> bool:
        return self._limits.allow(extents.question, size, asked_s=extents.tail_asked_s, now_s=self._clock.now_s())
