"""Which chunks may leave memory."""

from proxy.core.series.compacting import ChunkSizes, compacted
from proxy.core.series.evicting import chunks_of, without_chunks
from proxy.service.knowledge.chunk_uses import removable
from tests.core.series.test_evicting import series


def test_what_may_leave_memory() -> None:
    """What is stored and in memory, but for the last chunks of each series: these are looked at whenever it grows."""
    known = compacted(series(), ChunkSizes(rows=5, open_rows=4))
    chunks = list(chunks_of(known.by_name.values()))
    digests = [chunk.digest for chunk in chunks]
    assert len(chunks) > 4
    assert removable([known], frozenset(digests)) == {chunk.digest: chunk.size_bytes for chunk in chunks[:-2]}
    assert list(removable([known], frozenset(digests[1:]))) == digests[1:-2]
    assert list(removable([without_chunks(known, digests[:2])], frozenset(digests))) == digests[2:-2]
