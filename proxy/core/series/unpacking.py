"""Extents read from a head and the packs and chunks that it lists (`core.series.packs`)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from msgspec.structs import replace as changed

from proxy.core.pieces import Work, finished
from proxy.core.series.answers import Partition, extent_of, partitions
from proxy.core.series.chunks import Chunk, read_chunk
from proxy.core.series.extents import Extent, Extents, Known, no_rows, with_rows
from proxy.core.series.heads import ChunkList, Head, decoded
from proxy.core.series.long_rows import parts_of, rows_of
from proxy.core.series.metrics_query import MetricsQuery
from proxy.core.series.packs import Pack, Written


def read(head: bytes, packs: Mapping[str, bytes], selection: MetricsQuery, *, overlap_s: float) -> list[Written]:
    """Return the windows of a selection. `packs`: all packs and chunks of the head, by digest.

    Raises ValueError where one doesn't fit.
    """
    return finished(reading(head, packs, selection, overlap_s=overlap_s))


def reading(head: bytes, packs: Mapping[str, bytes], selection: MetricsQuery, *, overlap_s: float) -> Work[list[Written]]:
    """Do the work of `read`, with breaks."""
    windows: list[Written] = []
    for window in decoded(head).windows:
        windows.append((yield from _window(window, packs, selection, overlap_s)))  # noqa: PERF401 -- no comprehension can yield
    return windows


def _window(head: Head, packs: Mapping[str, bytes], selection: MetricsQuery, overlap_s: float) -> Work[Written]:
    gathered: dict[str, Partition] = {}
    counted: list[Pack] = []
    for digest in head.packs:
        for one in partitions(packs[digest]):
            if one is None:
                yield None
            elif (before := gathered.get(one.name)) is None:
                gathered[one.name] = one
            else:
                before.join(one)
        counts = {name: len(one.texts) for name, one in gathered.items()}
        counted.append(Pack(digest=digest, size_bytes=len(packs[digest]), counts=counts))
    by_name: dict[str, Extent] = {}
    for name, one in gathered.items():
        chunks = yield from _read_chunks(head.chunks.get(name), packs)
        behind = extent_of(
            one,
            Known.ALL,
            first=chunks[-1].last + 1 if chunks else head.first,
            sent_at_s=head.ages.get(name, (head.tail_asked_s,))[0],
            overlap_s=overlap_s,
        )
        if behind.known is not Known.ALL or name in head.unknown:
            raise ValueError("the packs hold rows that don't belong together")
        by_name[name] = _joined(chunks, head.chunks[name].head.encode("latin-1"), behind) if chunks else behind
        yield None
    if not head.chunks.keys() <= by_name.keys():
        raise ValueError("there are chunks without the rows behind them")
    by_name |= {name: _unknown(known, head) for name, known in head.unknown.items()}
    ordered: dict[str, Extent] = {}
    for name in sorted(by_name, key=str.encode):
        ordered[name] = _aged(by_name[name], name, head)
        yield None
    extents = Extents(
        question=replace(selection, first=head.first, last=head.last),
        by_name=ordered,
        tail_asked_s=head.tail_asked_s,
        full_asked_s=head.full_asked_s,
    )
    return Written(extents=extents, packs=tuple(counted))


def _read_chunks(listed: ChunkList | None, packs: Mapping[str, bytes]) -> Work[list[Chunk]]:
    chunks: list[Chunk] = []
    for digest in [] if listed is None else listed.digests:
        chunks.append(read_chunk(packs[digest]))
        yield None
    return chunks


def _joined(chunks: Sequence[Chunk], head: bytes, behind: Extent) -> Extent:
    """Return an extent with the rows of chunks before others; `head` is what these rows begin with.

    Raises ValueError where they don't fit.
    """
    parts = [*chunks, *parts_of(behind.rows, behind.steps)]
    if behind.head != head or any(before.last >= after.step(0) for before, after in pairwise(parts)):
        raise ValueError("the chunks hold rows that don't belong together")
    rows, steps = rows_of(parts)
    return with_rows(behind, rows, steps, None)


def _aged(extent: Extent, name: str, head: Head) -> Extent:
    tail_asked_s, full_asked_s = head.ages.get(name, (head.tail_asked_s, head.full_asked_s))
    return changed(extent, tail_asked_s=tail_asked_s, full_asked_s=full_asked_s, looks=head.looks.get(name, ()))


def _unknown(known: Known, head: Head) -> Extent:
    return changed(no_rows(head.full_asked_s), known=known)
