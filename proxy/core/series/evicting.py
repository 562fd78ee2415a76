"""Chunks of long series that leave memory, and come back from disk when an answer needs their rows.

Extents never change: those whose chunks left memory, or came back, are others. Whoever still computes from the ones before has
all that they had.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace

from proxy.core.series.chunks import Chunk
from proxy.core.series.extents import Extent, Extents, window_of, with_rows
from proxy.core.series.long_rows import LongRows, Part, rows_of


def chunks_of(extents: Iterable[Extent], first: int = 0, last: int | None = None) -> Iterator[Chunk]:
    """Yield the chunks that hold rows of a window of steps, inclusive, or that rows which come there would divide."""
    for extent in extents:
        if isinstance(extent.rows, LongRows):
            begin, end = window_of(extent.steps, first, last)
            if begin == end < len(extent.rows):
                end += 1
            yield from (part for part, _, _ in extent.rows.parts.within(begin, end) if isinstance(part, Chunk))


def absent_of(extents: Iterable[Extent], first: int = 0, last: int | None = None) -> list[str]:
    """Return the digests of chunks that hold rows of a window of steps and are on disk alone."""
    return [chunk.digest for chunk in chunks_of(extents, first, last) if chunk.rows is None]


def with_chunks(extents: Extents, found: Mapping[str, Chunk]) -> Extents:
    """Return extents with the rows of chunks that came from disk, by their digests."""
    return _with_parts(extents, lambda part: found.get(part.digest, part) if part.rows is None else part)


def without_chunks(extents: Extents, digests: Collection[str]) -> Extents:
    """Return extents without the rows of the chunks with these digests."""
    return _with_parts(extents, lambda part: part.let_go() if part.digest in digests else part)


def are_twins(one: Extents, other: Extents) -> bool:
    """Tell whether two extents are the same but for chunks that are in memory in one of them only."""
    if one is other:
        return True
    same = (one.question, one.tail_asked_s, one.full_asked_s) == (other.question, other.tail_asked_s, other.full_asked_s)
    names = one.by_name.keys() == other.by_name.keys()
    return same and names and all(_are_twins(extent, other.by_name[name]) for name, extent in one.by_name.items())


def _are_twins(one: Extent, other: Extent) -> bool:
    if one is other:
        return True
    if not isinstance(one.rows, LongRows) or not isinstance(other.rows, LongRows):
        return False
    mine, theirs = one.rows.parts.all, other.rows.parts.all
    same = (one.tail_asked_s, one.looks, one.unsettled) == (other.tail_asked_s, other.looks, other.unsettled)
    return same and len(mine) == len(theirs) and all(a is b or _is_same_chunk(a, b) for a, b in zip(mine, theirs, strict=True))


def _is_same_chunk(one: Part, other: Part) -> bool:
    return isinstance(one, Chunk) and isinstance(other, Chunk) and one.digest == other.digest


def _with_parts(extents: Extents, other: Callable[[Chunk], Chunk]) -> Extents:
    by_name: dict[str, Extent] = {}
    for name, extent in extents.by_name.items():
        if isinstance(extent.rows, LongRows):
            before = extent.rows.parts.all
            parts: list[Part] = [other(part) if isinstance(part, Chunk) else part for part in before]
            if any(one is not part for one, part in zip(before, parts, strict=True)):
                by_name[name] = with_rows(extent, *rows_of(parts), extent.groups)
    return replace(extents, by_name={**extents.by_name, **by_name}) if by_name else extents
