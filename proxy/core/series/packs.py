"""How extents are laid out for the disk: as packs of rows, and a head that lists the packs.

A **pack** is laid out like an answer of the upstream, and never changes. A window's first pack holds its rows as they came.
Rows that come later make a pack of their own, so that a write costs only what is new. Where such a pack would be half as large
as the pack before it or larger, the two become one: there are few packs, and each row is written a few times at most.

The chunks of a long series (`core.series.chunks`) are stored one by one, and packs hold only the rows behind them. When a
series is compacted, its packs are laid out anew.

The key of a pack or chunk is the digest of its bytes, and the head names them by their keys. So extents of which one is lost
are lost, too, and are never taken for others. `core.series.unpacking` reads what was stored.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec

from proxy.core.freshness.entry import digest_of
from proxy.core.pieces import Work, finished
from proxy.core.series.chunks import Chunk
from proxy.core.series.evicting import without_chunks
from proxy.core.series.extents import Extent, Extents, Known, cut
from proxy.core.series.heads import LAYOUT, ChunkList, Head, Heads
from proxy.core.series.long_rows import LongRows
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
    heads: list[Head] = []
    for window in windows:
        heads.append(_head(window))
        yield None
    return msgspec.json.encode(Heads(layout=LAYOUT, windows=heads))


def _head(window: Written) -> Head:
    extents = window.extents
    general = (extents.tail_asked_s, extents.full_asked_s)
    ages = {name: (extent.tail_asked_s, extent.full_asked_s) for name, extent in extents.by_name.items()}
    return Head(
        first=extents.question.first,
        last=extents.question.last,
        tail_asked_s=extents.tail_asked_s,
        full_asked_s=extents.full_asked_s,
        packs=[pack.digest for pack in window.packs],
        unknown={name: extent.known for name, extent in extents.by_name.items() if extent.known is not Known.ALL},
        ages={name: age for name, age in ages.items() if age != general},
        chunks={
            name: ChunkList(head=extent.head.decode("latin-1"), digests=[chunk.digest for chunk in _chunks(extent)])
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
