"""Long series compacted: all of their rows but the last are put into chunks (`core.series.chunks`).

The last rows stay as they are, since deltas compare and replace them. Rows that came into the middle of a series, or are left
of a chunk that was cut, make chunks of their own, together with small chunks beside them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from proxy.core.pieces import Work, finished
from proxy.core.series.chunks import Chunk, chunking
from proxy.core.series.extents import Extent, Extents, Known, with_rows
from proxy.core.series.long_rows import LongRows, OpenRows, Part, Parts, merged, open_rows, parts_of, rows_of


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkSizes:
    """When a series is compacted. `rows`: how many rows a chunk has at most.

    `open_rows`: at least so many rows at the end of a series stay as they are; once there are twice as many, chunks are made.
    """

    rows: int = 2_048
    open_rows: int = 8_192


SIZES = ChunkSizes()
# A chunk with a smaller share of the rows that it might have is opened where rows beside it make a new one.
_SMALL = 4


def compacted(extents: Extents, sizes: ChunkSizes | None = None) -> Extents:
    """Return extents whose long series are compacted. `sizes`: None for the usual ones."""
    return finished(compacting(extents, sizes))


def compacting(extents: Extents, sizes: ChunkSizes | None = None) -> Work[Extents]:
    """Do the work of `compacted`, with breaks. What is compact already is returned as it is."""
    sizes = sizes or SIZES
    by_name: dict[str, Extent] = {}
    for name, extent in extents.by_name.items():
        if not _is_compact(extent, sizes):
            by_name[name] = yield from _compacting(extent, sizes)
    return replace(extents, by_name={**extents.by_name, **by_name}) if by_name else extents


def _is_compact(extent: Extent, sizes: ChunkSizes) -> bool:
    # Rows of several groups have no head in common, and their groups would have to be kept beside the chunks.
    if extent.known is not Known.ALL or extent.groups is not None:
        return True
    if not isinstance(extent.rows, LongRows):
        return len(extent.rows) < 2 * sizes.open_rows
    *before, last = extent.rows.parts.all
    return all(isinstance(part, Chunk) for part in before) and isinstance(last, OpenRows) and last.count < 2 * sizes.open_rows


def _compacting(extent: Extent, sizes: ChunkSizes) -> Work[Extent]:
    before, last = _divided(parts_of(extent.rows, extent.steps), sizes)
    parts: list[Part] = []
    for part in before:
        if isinstance(part, Chunk):
            parts.append(part)
            continue
        count = -(-part.count // sizes.rows)
        for number in range(count):
            begin, end = part.count * number // count, part.count * (number + 1) // count
            parts.append((yield from chunking(part.held[begin:end], part.held_steps[begin:end])))
    rows, steps = rows_of([*parts, last])
    return with_rows(extent, rows, steps, None)


def _divided(parts: Sequence[Part], sizes: ChunkSizes) -> tuple[Sequence[Part], Part]:
    """Return the parts that are to be chunks, small ones beside open rows opened, and the rows that stay open."""
    opened = merged([_opened(part) if _is_to_open(parts, place, sizes) else part for place, part in enumerate(parts)])
    last = opened[-1]
    stay = sizes.open_rows if last.count >= 2 * sizes.open_rows else last.count
    joined = Parts(opened)
    return joined.cut(0, joined.count - stay), joined.cut(joined.count - stay, joined.count)[0]


def _is_to_open(parts: Sequence[Part], place: int, sizes: ChunkSizes) -> bool:
    part = parts[place]
    if not isinstance(part, Chunk):
        return False
    beside = any(isinstance(other, OpenRows) for other in parts[max(0, place - 1) : place + 2])
    small = beside and part.count * _SMALL < sizes.rows and part.rows is not None
    return small or place == len(parts) - 1


def _opened(part: Part) -> Part:
    return open_rows(part.texts(0, part.count), part.steps(0, part.count))
