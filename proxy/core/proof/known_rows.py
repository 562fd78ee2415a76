"""What rows that are known already prove of an answer.

Three rows that are known to follow each other, all of them at the beginning of a name in the answer, show that nothing was left
out between the rows of that name. That the end of the answer was not cut is shown by a larger answer (`core.proof.sizes`).
"""

import math
from collections.abc import Sequence
from dataclasses import replace

from msgspec.structs import replace as changed

from proxy.core.series.chunks import ChunkAbsentError
from proxy.core.series.extents import Extent, Extents, Known, window_of
from proxy.core.series.long_rows import place_of

# So many known rows at the beginning of a name show that no row is left out between its rows.
PROVING_ROWS = 3


def shows_no_gap(known: Extent, new: Extent, first: int) -> bool:
    """Tell whether known rows show that no row is missing between those that came for a name from step `first` on."""
    begin, end = window_of(known.steps, first, None)
    try:
        return end - begin >= PROVING_ROWS and known.agrees(new, slice(begin, begin + PROVING_ROWS), slice(0, PROVING_ROWS))
    except ChunkAbsentError:
        return False  # what isn't at hand shows nothing


def lacks_known_steps(known: Extent, new: Extent | None, first: int, last: int | None) -> bool:
    """Tell whether what came for a name lacks steps between `first` and `last` that are known to have rows.

    A sample lacks some of them.
    """
    if new is not None and new.known is Known.SOME:
        return False
    begin, end = window_of(known.steps, first, last)
    steps = known.steps[begin:end]
    if new is None:
        return bool(steps)
    return new.steps[: len(steps)] != steps and not set(steps) <= set(new.steps)


def lacks_known_rows(extents: Extents, known: Sequence[Extents]) -> bool:
    """Tell whether an answer lacks steps that are known to have rows."""
    question = extents.question
    return any(
        lacks_known_steps(extent, extents.by_name.get(name), question.first, question.last)
        for window in known
        for name, extent in window.by_name.items()
        if extent.known is Known.ALL and question.name in {None, name}
    )


def all_gapless(extents: Extents, known: Sequence[Extents]) -> bool:
    """Tell whether known rows show of every name in an answer that no row is missing between its rows.

    Where they show it of a name with m rows, the upstream sends m rows of each name. So other names with at most half as many
    rows are complete, too.
    """
    first = extents.question.first
    complete = extents.complete
    seen = {name for name, new in complete.items() if any(shows_no_gap(old, new, first) for old in _of(known, name))}
    most = max((len(complete[name].rows) for name in seen), default=0)
    return bool(seen) and all(name in seen or 2 * len(extent.rows) <= most for name, extent in complete.items())


def as_of_known_end(extents: Extents, known: Sequence[Extents], since_s: float) -> Extents | None:
    """Return an answer with the age of the known rows that it reaches up to; None where these were asked for before `since_s`.

    The answer was not cut before the last known row of each name. Rows that came later may be missing. `since_s`: wall time.
    """
    ends = [window for window in known if window.question.last is None]
    complete = extents.complete
    reached = ([old.tail_asked_s for old in _of(ends, name) if _reaches(new, old)] for name, new in complete.items())
    tail_asked_s = min((max(tails, default=-math.inf) for tails in reached), default=-math.inf)
    if tail_asked_s < since_s:
        return None
    by_name = {
        name: changed(extent, tail_asked_s=min(extent.tail_asked_s, tail_asked_s)) for name, extent in extents.by_name.items()
    }
    return replace(extents, by_name=by_name, tail_asked_s=min(extents.tail_asked_s, tail_asked_s))


def last_known_row(extents: Extents, known: Extents) -> int | None:
    """Return the step of the last row that is known in an answer's window; None where the answer has no row at it.

    The answer is about one name.
    """
    name, question = extents.question.name or "", extents.question
    new, old = extents.by_name.get(name), known.by_name.get(name)
    if new is None or old is None:
        return None
    begin, end = window_of(old.steps, question.first, question.last)
    if begin == end:
        return None
    step = old.steps[end - 1]
    place = place_of(new.steps, step)
    return step if place < len(new.steps) and new.steps[place] == step else None


def _reaches(new: Extent, known: Extent) -> bool:
    """Tell whether the last known row is among those that came."""
    place = place_of(new.steps, known.steps[-1])
    return new.texts(place, place + 1) == known.texts(-1)


def _of(windows: Sequence[Extents], name: str) -> list[Extent]:
    """Return the extents of a name that is known in full."""
    found = (window.by_name.get(name) for window in windows)
    return [extent for extent in found if extent is not None and extent.known is Known.ALL]
