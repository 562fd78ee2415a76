"""A series cut into blocks of rows, each named after what is in it.

A growing series only gets more blocks: what was made of the others stays good. The chunks of a long series are blocks as they
are. Rows that are held as they are make blocks of `OPEN_ROWS`, counted from where they begin. A block's name needs no row of
a chunk, so that it is the same while the chunk is on disk alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from proxy.core.freshness.entry import digest_of
from proxy.core.series.chunks import Chunk
from proxy.core.series.extents import Extent
from proxy.core.series.long_rows import LongRows

OPEN_ROWS = 512


@dataclass(frozen=True, slots=True)
class Block:
    """Rows `begin` to `end`, exclusive, of an extent. `name`: a digest of what is in them, 32 hex digits."""

    name: str
    begin: int
    end: int


def blocks(extent: Extent) -> list[Block]:
    """Return the blocks of an extent, in the order of their rows."""
    rows = extent.rows
    if not isinstance(rows, LongRows):
        return list(_open_blocks(rows, 0))
    found: list[Block] = []
    begin = 0
    for part in rows.parts.all:
        if isinstance(part, Chunk):
            found.append(Block(part.digest, begin, begin + part.count))
        else:
            found += _open_blocks(part.held, begin)
        begin += part.count
    return found


def _open_blocks(held: tuple[bytes, ...], begin: int) -> Iterator[Block]:
    for first in range(0, len(held), OPEN_ROWS):
        rows = held[first : first + OPEN_ROWS]
        yield Block(digest_of(b",".join(rows)), begin + first, begin + first + len(rows))
