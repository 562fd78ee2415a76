"""A long series that is being put together from windows, and the check of what came together.

The windows are of different moments. What was put together of them may lack rows that came late, and each window was shown to
be whole only by the one before it. So at the end the upstream is asked for a sample of all of it, which must be the one that is
computed. Its limit is chosen so that it is a probe, too: if what came together were a sample itself, they would differ
(`core.proof.probes`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from proxy.core.proof.known_rows import PROVING_ROWS
from proxy.core.proof.probes import is_probed_by
from proxy.core.series.extents import Extent, Extents, cut, window_of, with_rows_between
from proxy.core.series.growth import overlap_from
from proxy.core.series.long_rows import place_of
from proxy.core.series.metrics_query import MetricsQuery
from proxy.core.series.sampling import stride

# A check asks for one in so many of the rows that an answer may hold, at most.
_SHARE = 5
# So many numbers of rows are tried until one has a limit for which a sample of it is a probe.
_TRIED = 12
# A piece that is asked for again has one in so many of them at most, so that it proves itself whole.
_PIECE_SHARE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A question for a sample of a series, up to its last step. `rows`: how many rows of the series that concerns."""

    question: MetricsQuery
    rows: int


def only_extent(extents: Extents) -> Extent | None:
    """Return the extent of the one name that extents are about, None where nothing is known of it."""
    return extents.by_name.get(extents.question.name or "")


def overlapping(before: Extents | None, first: int) -> int:
    """Return the step from which a window is asked for that begins with the last rows of the one before."""
    extent = None if before is None else only_extent(before)
    return first if extent is None or not extent.steps else extent.steps[max(0, len(extent.steps) - PROVING_ROWS)]


def without_last(extents: Extents, first: int) -> Extents | None:
    """Return what was loaded without the rows from step `first` on, None where nothing is left."""
    name, extent = extents.question.name or "", only_extent(extents)
    end = 0 if extent is None else place_of(extent.steps, first)
    if extent is None or not end:
        return None
    question = replace(extents.question, last=extent.steps[end - 1])
    return replace(extents, question=question, by_name={name: cut(extent, 0, end)})


def spliced(extents: Extents, piece: Extents) -> Extents | None:
    """Return a series with the rows of a piece that was asked for again in place of its own; None where they don't go together.

    Both ages stay: the rest is as old as it was.
    """
    name, old, new = extents.question.name or "", only_extent(extents), only_extent(piece)
    if old is None or new is None or piece.question.last is None or old.shape != new.shape:
        return None
    begin, end = window_of(old.steps, piece.question.first, piece.question.last)
    return replace(extents, by_name={name: with_rows_between(old, new, begin, end)})


def checks(extents: Extents) -> Iterator[Check]:
    """Yield questions that may check a series, those of larger samples first.

    Where rows still come between others, deltas look anyway (`core.series.growth.overlap_from`). A check leaves them out,
    unless they are most of the series.
    """
    extent = only_extent(extents)
    if extent is None or not extent.steps:
        return
    settled = place_of(extent.steps, overlap_from(extent))
    known = settled if 2 * settled > len(extent.steps) else len(extent.steps)
    for rows, limit in checkable(known, extents.question.limit // _SHARE):
        yield Check(question=replace(extents.question, last=extent.steps[rows - 1], limit=limit), rows=rows)


def checkable(known: int, most: int) -> Iterator[tuple[int, int]]:
    """Yield pairs: how many of the `known` rows a check is about, and its limit, `most` or less.

    First those that end with a row that the stride meets. In the last gap of any other sample a row may come without a trace:
    the last row comes in any case. There are such pairs where known <= most^2. Otherwise, the last gap is left unchecked.
    """
    for limit in range(min(most, known - 1), 1, -1):
        every = stride(known, limit)
        rows = (known - 1) // every * every + 1
        if stride(rows, limit) == every and is_probed_by(rows, limit):
            yield rows, limit
    tried = ((rows, limit) for rows in range(known, max(2, known - _TRIED), -1) for limit in range(min(most, rows - 1), 1, -1))
    yield from ((rows, limit) for rows, limit in tried if is_probed_by(rows, limit))


def differing_from(extents: Extents, check: Check, said: Sequence[bytes]) -> int | None:
    """Return the number of the last row up to which a series is as a check has it; None where all of it is.

    `said`: the rows of the answer. The number counts from 0; it is 0 where already the first row is another.
    """
    extent, every = only_extent(extents), stride(check.rows, check.question.limit)
    expected: list[bytes] = []
    if extent is not None:
        expected = [extent.head + row for row in extent.rows[0 : check.rows : every]]
        expected += extent.texts(check.rows - 1, check.rows) if (check.rows - 1) % every else []
    if expected == list(said):
        return None
    pairs = enumerate(zip(expected, said, strict=False))
    equal = next((number for number, (mine, theirs) in pairs if mine != theirs), min(len(expected), len(said)))
    return max(0, min(equal, len(expected)) - 1) * every


def pieces_of(extents: Extents, check: Check, since: int) -> list[MetricsQuery]:
    """Return the questions for what a check found to differ: from row number `since` to the next row that it shows.

    Each piece begins with the last rows before it, and is so small that it proves itself whole.
    """
    extent, every = only_extent(extents), stride(check.rows, check.question.limit)
    if extent is None:
        return []
    size = max(PROVING_ROWS + 1, extents.question.limit // _PIECE_SHARE)
    pieces: list[MetricsQuery] = []
    end = min(check.rows - 1, since + every)
    while True:
        first = since - PROVING_ROWS + 1
        since = min(check.rows - 1, max(first, 0) + size - 1)
        pieces.append(
            replace(
                extents.question,
                first=extent.steps[first] if first > 0 else extents.question.first,
                last=extent.steps[since],
            )
        )
        if since >= end:
            return pieces
