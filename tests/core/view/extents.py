"""Extents made of rows as the upstream would send them."""

from proxy.core.series.answers import split
from proxy.core.series.compacting import ChunkSizes, compacted
from proxy.core.series.evicting import chunks_of, without_chunks
from proxy.core.series.extents import Extent, Extents
from proxy.core.series.metrics_query import MetricsQuery
from tests.support.oracle import OracleRow, permitted
from tests.support.oracle_upstream import asked_of

SERIES = MetricsQuery(run="1", project="p", name="a", group=None, limit=10_000, first=0, last=None)
SIZES = ChunkSizes(rows=5, open_rows=4)


def extents_of(rows: list[OracleRow], sizes: ChunkSizes | None = SIZES) -> Extents:
    """Return the extents of a series with these rows, in chunks unless `sizes` is None."""
    body = next(permitted(rows, asked_of(SERIES.query.values)))
    whole = split(body, SERIES, sent_at_s=1000, overlap_s=0)
    return whole if sizes is None else compacted(whole, sizes)


def extent_of(rows: list[OracleRow], sizes: ChunkSizes | None = SIZES) -> Extent:
    """Return the extent of a series with these rows, at least one."""
    return extents_of(rows, sizes).by_name["a"]


def evicted(extents: Extents) -> Extents:
    """Return extents none of whose chunks are in memory."""
    return without_chunks(extents, {chunk.digest for chunk in chunks_of(extents.by_name.values())})
