"""How extents are laid out for the disk: as packs of rows, and a head that lists the packs.

A **pack** is laid out like an answer of the upstream, and never changes. A window's first pack holds its rows as they came.
Rows that come later make a pack of their own, so that a write costs only what is new. Where such a pack would be half as large
as the pack before it or larger, the two become one: there are few packs, and each row is written a few times at most.

A pack's key is the digest of its bytes, and the head names packs by their keys. So extents whose pack is lost are lost, too,
and are never taken for others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec
from msgspec.structs import replace as changed

from proxy.core.freshness.entry import digest_of
from proxy.core.pieces import Work, finished
from proxy.core.series.answers import Partition, extent_of, partitions
from proxy.core.series.extents import Extent, Extents, Known, no_rows
from proxy.core.series.metrics_query import MetricsQuery
from proxy.core.series.recipes import laying_out


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack:
    """A written pack: its digest, its size, and how many rows of each name this pack and those before it hold together."""

    digest: str
    size_bytes: int
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """Extents, and the packs that they are written in."""

    extents: Extents
    packs: tuple[Pack, ...]


# Two fields keep their older names in the file.
class _Head(msgspec.Struct, frozen=True, rename={"tail_asked_s": "tail_at_s", "full_asked_s": "whole_at_s"}):
    """One window in a head.

    `packs`: digests. `unknown`: the names that aren't known in full. `ages`: (tail_asked_s, full_asked_s) by name, where they
    differ from the window's.
    """

    first: int
    last: int | None
    tail_asked_s: float
    full_asked_s: float
    packs: list[str]
    unknown: dict[str, Known]
    ages: dict[str, tuple[float, float]]


class _Heads(msgspec.Struct, frozen=True):
    # A change of the layout takes another number; a head with another number is not read.
    layout: int
    windows: list[_Head]


# 2: only what was proven whole (`core.proof`).
_LAYOUT = 2
_heads = msgspec.json.Decoder(_Heads)


def written(extents: Extents, before: Written | None) -> tuple[Written, list[tuple[Pack, bytes]]]:
    """Return extents with their packs, and of these the new ones with their bytes. `before`: what was written last."""
    return finished(writing(extents, before))


def writing(extents: Extents, before: Written | None) -> Work[tuple[Written, list[tuple[Pack, bytes]]]]:
    """Do the work of `written`, with a break after each name."""
    rows = {name: extent for name, extent in extents.by_name.items() if extent.known is Known.ALL}
    counts = {name: len(extent.rows) for name, extent in rows.items()}
    kept = [] if before is None else (yield from _reusable(before, rows))
    if (counts == kept[-1].counts) if kept else not rows:
        return Written(extents=extents, packs=tuple(kept)), []
    body = yield from _body(rows, kept)
    while kept and _size(kept) <= 2 * len(body):
        kept.pop()
        body = yield from _body(rows, kept)
    pack = Pack(digest=digest_of(body), size_bytes=len(body), counts=counts)
    return Written(extents=extents, packs=(*kept, pack)), [(pack, body)]


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


def packs_of(head: bytes) -> list[str]:
    """Return the digests of the packs that a head lists. Raises ValueError where it cannot be read."""
    return [digest for window in _decoded(head).windows for digest in window.packs]


def read(head: bytes, packs: Mapping[str, bytes], selection: MetricsQuery, *, overlap_s: float) -> list[Written]:
    """Return the windows of a selection. `packs`: all packs of the head, by digest. Raises ValueError where one doesn't fit."""
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
    if heads.layout != _LAYOUT:
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
    )


def _reusable(before: Written, rows: Mapping[str, Extent]) -> Work[list[Pack]]:
    """Return the packs, from the first on, that hold exactly the first of `rows` of each name."""
    same: dict[str, int] = {}
    for name, extent in before.extents.by_name.items():
        same[name] = _common_rows(extent, rows[name]) if name in rows else 0
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
        by_name[name] = extent_of(
            one,
            Known.ALL,
            first=head.first,
            sent_at_s=head.ages.get(name, (head.tail_asked_s,))[0],
            overlap_s=overlap_s,
        )
        if by_name[name].known is not Known.ALL or name in head.unknown:
            raise ValueError("the packs hold rows that don't belong together")
        yield None
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


def _aged(extent: Extent, name: str, head: _Head) -> Extent:
    tail_asked_s, full_asked_s = head.ages.get(name, (head.tail_asked_s, head.full_asked_s))
    return changed(extent, tail_asked_s=tail_asked_s, full_asked_s=full_asked_s)


def _unknown(known: Known, head: _Head) -> Extent:
    return changed(no_rows(head.full_asked_s), known=known)
