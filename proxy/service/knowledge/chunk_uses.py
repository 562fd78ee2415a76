"""Which chunks of long series were used last, and which leave memory when it is short."""

from collections import OrderedDict
from collections.abc import Iterable, Iterator

from proxy.core.series.chunks import Chunk
from proxy.core.series.evicting import chunks_of
from proxy.core.series.extents import Extents
from proxy.core.series.long_rows import LongRows
from proxy.core.series.metrics_query import MetricsQuery

ShelfKey = tuple[str, MetricsQuery]
"""A namespace and a selection."""
# The last chunks of a series stay: its end is looked at whenever the series grows.
_STAY = 2


class ChunkUses:
    """Remembers in which order chunks were used."""

    def __init__(self) -> None:
        self._uses: OrderedDict[tuple[ShelfKey, str], None] = OrderedDict()

    def note(self, shelf: ShelfKey, chunks: Iterable[Chunk]) -> None:
        """Note that chunks of a shelf are being used."""
        for chunk in chunks:
            self._uses[shelf, chunk.digest] = None
            self._uses.move_to_end((shelf, chunk.digest))

    def add(self, shelf: ShelfKey, chunks: Iterable[Chunk]) -> None:
        """Note that a shelf holds chunks. Those that are new to it count as used now."""
        for chunk in chunks:
            self._uses.setdefault((shelf, chunk.digest), None)

    def __len__(self) -> int:
        return len(self._uses)

    def least_used(self) -> Iterator[tuple[ShelfKey, str]]:
        """Yield (shelf, digest) of the chunks, the least recently used first."""
        yield from list(self._uses)

    def forget(self, shelf: ShelfKey, digest: str) -> None:
        """Forget a chunk: it has left memory, or is no part of its series any more."""
        self._uses.pop((shelf, digest), None)


def removable(windows: Iterable[Extents], stored: frozenset[str]) -> dict[str, int]:
    """Return the chunks of windows whose rows may leave memory, since they are stored: sizes in bytes by digests."""
    sizes: dict[str, int] = {}
    for window in windows:
        for extent in window.by_name.values():
            if isinstance(extent.rows, LongRows):
                chunks = list(chunks_of([extent]))[:-_STAY]
                sizes |= {one.digest: one.size_bytes for one in chunks if one.rows is not None and one.digest in stored}
    return sizes
