"""How extents are laid out for the disk: as packs of rows, and a head that lists the packs.

A **pack** is laid out like an answer of the upstream, and never changes. A window's first pack holds its rows as they came.
Rows that come later make a pack of their own, so that a write costs only what is new. Where such a pack would be half as large
as the pack before it or larger, the two become one: there are few packs, and each row is written a few times at most.

The chunks of a long series (`core.series.chunks`) are stored one by one, and packs hold only the rows behind them. When a
series is compacted, its packs are laid out anew.

The key of a pack or chunk is the digest of its bytes, and the head names them by their keys. So extents of which one is lost
are lost, too, and are never taken for others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import msgspec
from msgspec.structs import replace as changed

from proxy.core.freshness.entry import digest_of
from proxy.core.pieces import Work, finished
from proxy.core.series.answers import Partition, extent_of, partitions
from proxy.core.series.chunks import Chunk, read_chunk
from proxy.core.series.evicting import without_chunks
from proxy.core.series.extents import Extent, Extents, Known, cut, no_rows, with_rows
from proxy.core.series.long_rows import LongRows, parts_of, rows_of
from proxy.core.series.looks import Looks
from proxy.core.series.metrics_query import MetricsQuery
from proxy.core.series.recipes import laying_out


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack:
    """A written pack: its digest and its size.

    `counts`: how many rows of each name this pack and those before it hold together.
    """

    digest: str
    size_bytes: int
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """Extents, and the packs that they are written in. What was written has its chunks without their rows."""

    extents: Extents
    packs: tuple[Pack, ...]

    def let_go(self) -> "Written":
        """Return the same without the rows of chunks, which memory would hold for as long as this."""
        return replace(self, extents=without_chunks(self.extents, self.digests))

    @property
    def digests(self) -> frozenset[str]:
        """The keys of everything that is stored, but for the head."""
        chunks = (chunk.digest for extent in self.extents.by_name.values() for chunk in _chunks(extent))
        return frozenset([*(pack.digest for pack in self.packs), *chunks])


class _Chunks(msgspec.Struct, frozen=True):
    """The chunks of one name: their digests, and what its rows begin with (Latin-1, so that any bytes are text)."""

    head: str
    digests: list[str]


# Two fields keep their older names in the file.
class _Head(msgspec.Struct, frozen=True, rename={"tail_asked_s": "tail_at_s", "full_asked_s": "whole_at_s"}):
    """One window in a head.

    `packs`: digests. `unknown`: the names that aren't known in full. `ages`: (tail_asked_s, full_asked_s) by name, where they
    differ from the window's. `chunks` and `looks` (`core.series.looks`): by name, for long series.
    """

    first: int
    last: int | None
    tail_asked_s: float
    full_asked_s: float
    packs: list[str]
    unknown: dict[str, Known]
    ages: dict[str, tuple[float, float]]
    chunks: dict[str, _Chunks] = {}
    looks: dict[str, Looks] = {}


class _Heads(msgspec.Struct, frozen=True):
    # A change of the layout takes another number; a head with another number is not read.
    layout: int
    windows: list[_Head]


# 2: only what was proven whole (`core.proof`). 3: long series have chunks.
_LAYOUT, _READABLE = 3, frozenset({2, 3})
_heads = msgspec.json.Decoder(_Heads)


def written(extents: Extents, before: Written | None) -> tuple[Written, dict[str, bytes]]:
    """Return extents with their packs, and the bytes of new packs and chunks by their digests.

    `before`: what was written last.
    """
    return finished(writing(extents, before))


def writing(extents: Extents, before: Written | None) -> Work[tuple[Written, dict[str, bytes]]]:
    """Do the work of `written`, with a break after each name."""
    new = dict[str, bytes]()
    stored = frozenset[str]() if before is None else before.digests
    for chunk in (chunk for extent in extents.by_name.values() for chunk in _chunks(extent)):
        # The rows of a chunk that was let go of are stored.
        if chunk.digest not in stored and chunk.rows is not None:
            new[chunk.digest] = chunk.stored()
            yield None
    rows = {name: _behind_chunks(extent) for name, extent in extents.by_name.items() if extent.known is Known.ALL}
    counts = {name: len(extent.rows) for name, extent in rows.items()}
    kept = [] if before is None else (yield from _reusable(before, rows))
    if (counts == kept[-1].counts) if kept else not rows:
        return Written(extents=extents, packs=tuple(kept)).let_go(), new
    body = yield from _body(rows, kept)
    while kept and _size(kept) <= 2 * len(body):
        kept.pop()
        body = yield from _body(rows, kept)
    pack = Pack(digest=digest_of(body), size_bytes=len(body), counts=counts)
    return Written(extents=extents, packs=(*kept, pack)).let_go(), {**new, pack.digest: body}


def head_of(windows: Sequence[Written]) -> bytes:
    """Return the head of the windows of one selection."""
    return finished(heading(windows))


def heading(windows: Sequence[Written]) -> Work[bytes]:
    """Do the work of `head_of`, with a break after each window."""
    heads: list[_Head] = []
    for window in windows:
        heads.append(_head(window))
        yield None
    return msgspec.json.encode(_Heads(layout=_LAYOUT, windows=heads))


def digests_of(head: bytes) -> list[str]:
    """Return the digests of the packs and chunks that a head lists. Raises ValueError where it cannot be read."""
    windows = _decoded(head).windows
    packs = [digest for window in windows for digest in window.packs]
    return packs + [digest for window in windows for chunks in window.chunks.values() for digest in chunks.digests]


def read(head: bytes, packs: Mapping[str, bytes], selection: MetricsQuery, *, overlap_s: float) -> list[Written]:
    """Return the windows of a selection. `packs`: all packs and chunks of the head, by digest.

    Raises ValueError where one doesn't fit.
    """
    return finished(reading(head, packs, selection, overlap_s=overlap_s))


def reading(head: bytes, packs: Mapping[str, bytes], selection: MetricsQuery, *, overlap_s: float) -> Work[list[Written]]:
    """Do the work of `read`, with breaks."""
    windows: list[Written] = []
    for window in _decoded(head).windows:
        windows.append((yield from _window(window, packs, selection, overlap_s)))  # noqa: PERF401 -- no comprehension can yield
    return windows


def _decoded(head: bytes) -> _Heads:
    try:
        heads = _heads.decode(head)
    except msgspec.DecodeError as exc:
        raise ValueError(f"not a head of extents: {exc}") from None
    if heads.layout not in _READABLE:
        raise ValueError("the head of another version")
    return heads


def _head(window: Written) -> _Head:
    extents = window.extents
    general = (extents.tail_asked_s, extents.full_asked_s)
    ages = {name: (extent.tail_asked_s, extent.full_asked_s) for name, extent in extents.by_name.items()}
    return _Head(
        first=extents.question.first,
        last=extents.question.last,
        tail_asked_s=extents.tail_asked_s,
        full_asked_s=extents.full_asked_s,
        packs=[pack.digest for pack in window.packs],
        unknown={name: extent.known for name, extent in extents.by_name.items() if extent.known is not Known.ALL},
        ages={name: age for name, age in ages.items() if age != general},
        chunks={
            name: _Chunks(head=extent.head.decode("latin-1"), digests=[chunk.digest for chunk in _chunks(extent)])
            for name, extent in extents.by_name.items()
            if isinstance(extent.rows, LongRows)
        },
        looks={name: extent.looks for name, extent in extents.by_name.items() if extent.looks},
    )


def _chunks(extent: Extent) -> list[Chunk]:
    return [part for part in extent.rows.parts.all if isinstance(part, Chunk)] if isinstance(extent.rows, LongRows) else []


def _behind_chunks(extent: Extent) -> Extent:
    """Return an extent with the rows behind its chunks."""
    return cut(extent, sum(chunk.count for chunk in _chunks(extent))) if isinstance(extent.rows, LongRows) else extent


def _reusable(before: Written, rows: Mapping[str, Extent]) -> Work[list[Pack]]:
    """Return the packs, from the first on, that hold exactly the first of `rows` of each name."""
    same: dict[str, int] = {}
    for name, extent in before.extents.by_name.items():
        same[name] = _common_rows(_behind_chunks(extent), rows[name]) if name in rows else 0
        yield None
    kept: list[Pack] = []
    for pack in before.packs:
        if any(count > same.get(name, 0) for name, count in pack.counts.items()):
            break
        kept.append(pack)
    return kept


def _common_rows(one: Extent, other: Extent) -> int:
    """Return how many rows both begin with."""
    if one.agrees(other, slice(0, None), slice(0, len(one.rows))):
        return len(one.rows)
    pairs = enumerate(zip(one.texts(), other.texts(), strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one.rows), len(other.rows)))


def _size(kept: list[Pack]) -> int:
    return kept[-1].size_bytes


def _body(rows: Mapping[str, Extent], kept: list[Pack]) -> Work[bytes]:
    counts: Mapping[str, int] = kept[-1].counts if kept else {}
    return laying_out((extent.head, extent.rows[counts.get(name, 0) :]) for name, extent in rows.items())


def _window(head: _Head, packs: Mapping[str, bytes], selection: MetricsQuery, overlap_s: float) -> Work[Written]:
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


def _read_chunks(listed: _Chunks | None, packs: Mapping[str, bytes]) -> Work[list[Chunk]]:
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


def _aged(extent: Extent, name: str, head: _Head) -> Extent:
    tail_asked_s, full_asked_s = head.ages.get(name, (head.tail_asked_s, head.full_asked_s))
    return changed(extent, tail_asked_s=tail_asked_s, full_asked_s=full_asked_s, looks=head.looks.get(name, ()))


def _unknown(known: Known, head: _Head) -> Extent:
    return changed(no_rows(head.full_asked_s), known=known)
