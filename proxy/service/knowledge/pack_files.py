"""Extents in the cache file: the windows of a selection written and read, as packs of rows (`core.series.packs`).

A head lists the packs of a selection. A pack is never written again, and is taken away when no head lists it any more. Heads
and packs are entries of the store, so that its bounds, checksums and repairs hold for them too.
"""

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import structlog

from proxy.core.freshness.entry import Entry, digest_of, tombstone
from proxy.core.pieces import Work
from proxy.core.series.chunks import Chunk, read_chunk
from proxy.core.series.compacting import compacting
from proxy.core.series.extents import Extents
from proxy.core.series.heads import digests_of
from proxy.core.series.metrics_query import MetricsQuery
from proxy.core.series.packs import Written, heading, writing
from proxy.core.series.unpacking import reading
from proxy.service.tenancy import Tenant
from proxy.slices import in_slices
from proxy.store import SqliteStore, UnreadError

_MARK_KEY, _MARK = "extents are forgotten", b"{}"
_log = structlog.get_logger()
_Packed = tuple[Written, Mapping[str, bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class OnDisk:
    """What the disk has of some selections.

    - `windows`: by selection; an empty list where the disk has nothing, and none at all where it could not be read.
    - `forgotten_s`: what was asked for until that wall time is forgotten.
    """

    windows: Mapping[MetricsQuery, Sequence[Written]]
    forgotten_s: float


class PackFiles:
    """Reads and writes the windows of selections."""

    def __init__(self, disk: SqliteStore, *, overlap_s: float) -> None:
        """`overlap_s`: how long rows may become visible out of order (`core.series.answers`)."""
        self._disk = disk
        self._overlap_s = overlap_s

    def may_have(self, namespace: str, selection: MetricsQuery) -> bool:
        """Return False only where the disk has nothing of a selection. Nothing is read for it."""
        return self._disk.may_hold(namespace, _head_key(selection))

    async def read(self, namespace: str, selections: Sequence[MetricsQuery]) -> OnDisk:
        """Return what the disk has of some selections. A selection that is damaged or incomplete counts as not there.

        Nothing counts as read where it could not be read what is forgotten.
        """
        keys = [*map(_head_key, selections), _MARK_KEY]
        *heads, mark = await asyncio.gather(*(self._find(namespace, key) for key in keys))
        windows: dict[MetricsQuery, list[Written]] = {}
        if isinstance(mark, UnreadError):
            return OnDisk(windows=windows, forgotten_s=-math.inf)
        for selection, head in zip(selections, heads, strict=True):
            if isinstance(head, UnreadError):
                continue
            try:
                windows[selection] = [] if head is None else await self._windows(namespace, selection, head.body)
            except UnreadError:
                continue
            except ValueError as exc:
                windows[selection] = []
                _log.info("extents.lost", key=selection.query.target, reason=str(exc))
        forgotten_s = -math.inf if mark is None else mark.sent_at_s
        return OnDisk(windows=windows, forgotten_s=forgotten_s)

    async def write(
        self, tenant: Tenant, selection: MetricsQuery, windows: Sequence[Extents], before: Sequence[Written]
    ) -> tuple[Written, ...]:
        """Write the windows of a selection, at least one, in place of those `before`; return what the disk has then.

        The new packs are written first, then the head that lists them. Packs that it doesn't list any more are taken away last.
        While the disk takes nothing, it has what it had before.
        """
        made = await in_slices(_writing(windows, before))
        after = tuple(window for window, _ in made)
        body = await in_slices(heading(after))
        if not self._disk.accepts_writes:
            return tuple(before)
        # The tenant's namespace may have changed by now.
        put, sent_at_s = partial(self._disk.put, tenant.namespace), max(window.extents.tail_asked_s for window in after)
        for _, new in made:
            for digest, stored in new.items():
                put(_pack_key(selection, digest), Entry(body=stored, sent_at_s=sent_at_s, digest=digest))
        put(_head_key(selection), Entry(body=body, sent_at_s=sent_at_s, digest=digest_of(body)))
        used = frozenset[str]().union(*(window.digests for window in after))
        for digest in frozenset[str]().union(*(window.digests for window in before)) - used:
            put(_pack_key(selection, digest), tombstone(sent_at_s))
        return after

    def forget(self, namespace: str, now_s: float) -> None:
        """Mark a namespace, so that extents which were asked for until a wall time aren't read any more.

        Where the disk takes nothing now, it is marked as soon as it does, as long as the process runs.
        """
        self._disk.put(namespace, _MARK_KEY, Entry(body=_MARK, sent_at_s=now_s, digest=digest_of(_MARK)), lasting=True)

    async def _find(self, namespace: str, key: str) -> Entry | UnreadError | None:
        try:
            return await self._disk.read(namespace, key)
        except UnreadError as exc:
            return exc

    async def _windows(self, namespace: str, selection: MetricsQuery, head: bytes) -> list[Written]:
        bodies = await self._bodies(namespace, selection, digests_of(head))
        return await in_slices(reading(head, bodies, selection, overlap_s=self._overlap_s))

    async def chunks(self, tenant: Tenant, selection: MetricsQuery, digests: Sequence[str]) -> Mapping[str, Chunk]:
        """Return chunks of a selection by their digests.

        Raises UnreadError where the disk cannot be read now, ValueError where a chunk is no longer there.
        """
        bodies = await self._bodies(tenant.namespace, selection, digests)
        return await in_slices(_reading(bodies))

    async def _bodies(self, namespace: str, selection: MetricsQuery, digests: Sequence[str]) -> Mapping[str, bytes]:
        """Return packs by their digests. Raises UnreadError, and ValueError where one is no longer there."""
        keys = [_pack_key(selection, digest) for digest in digests]
        found = await asyncio.gather(*(self._disk.read(namespace, key) for key in keys))
        bodies: dict[str, bytes] = {}
        for digest, entry in zip(digests, found, strict=True):
            if entry is None:
                raise ValueError("a pack or chunk is no longer there")
            bodies[digest] = entry.body
        return bodies


def _writing(windows: Sequence[Extents], before: Sequence[Written]) -> Work[list[_Packed]]:
    firsts = {window.extents.question.first: window for window in before}
    made: list[_Packed] = []
    for window in windows:
        # One that was put together of two may have open rows in its middle.
        compact = yield from compacting(window)
        made.append((yield from writing(compact, firsts.get(window.question.first))))
    return made


def _reading(bodies: Mapping[str, bytes]) -> Work[Mapping[str, Chunk]]:
    chunks: dict[str, Chunk] = {}
    for digest, body in bodies.items():
        chunks[digest] = read_chunk(body)
        yield None
    return chunks


def _head_key(selection: MetricsQuery) -> str:
    return f"extents of {selection.query.target}"


def _pack_key(selection: MetricsQuery, digest: str) -> str:
    return f"pack {digest} of {selection.query.target}"
