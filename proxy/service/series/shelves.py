"""Where extents are kept: in memory as they are computed with, and in the cache file as packs (`core.series.packs`).

A **shelf** holds the windows of one scope: a run's series of one name or all of them, of one group or all of them. It is loaded
when it is first looked for, written in the background when it has changed, and let go when memory is short. A shelf that the
disk doesn't have, or has lost a pack of, is empty.
"""

import asyncio
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog
from cachetools import LRUCache

from proxy.core.freshness.entry import Entry, digest_of, tombstone
from proxy.core.freshness.purge import Purge, Purges
from proxy.core.pieces import Work
from proxy.core.series import packs
from proxy.core.series.extents import Extents
from proxy.core.series.growth import merged
from proxy.core.series.metrics_query import MetricsQuery
from proxy.core.series.packs import Written
from proxy.service.fetching.tenancy import Tenant
from proxy.slices import in_slices
from proxy.store.tiers import TieredStore

# Zooms leave windows of long series behind: the last ones are kept.
MOST_WINDOWS = 8
_MOST_ABSENT = 10_000
_log = structlog.get_logger()
_MARK_KEY, _MARK = "extents are forgotten", b"{}"
_Place = tuple[str, MetricsQuery]


@dataclass(slots=True)
class _Shelf:
    """`windows`: the newest first, of `sizes` bytes. `written`: what the disk has of them. `writing`: the task that brings it
    there.
    """

    tenant: Tenant
    windows: tuple[Extents, ...] = ()
    written: tuple[Written, ...] = ()
    writing: asyncio.Task[None] | None = None
    changed: bool = False
    sizes: tuple[int, ...] = ()
    size_bytes: int = 1_000

    def keep(self, windows: tuple[Extents, ...]) -> None:
        """Hold these windows; only what is new of them is reckoned up."""
        known = {id(window): size for window, size in zip(self.windows, self.sizes, strict=True)}
        self.sizes = tuple(known.get(id(window)) or window.size_bytes for window in windows)
        self.windows, self.size_bytes = windows, sum(self.sizes) + 1_000


class Shelves:
    """The extents of all scopes."""

    def __init__(self, store: TieredStore, *, memory_bytes: int, overlap_s: float, purges: Purges | None = None) -> None:
        """`overlap_s`: how long rows may become visible out of order (`core.series.answers`)."""
        self._disk = store.disk
        self._purges = purges or Purges()
        self._overlap_s = overlap_s
        self._shelves: LRUCache[_Place, _Shelf] = LRUCache(memory_bytes, getsizeof=lambda shelf: shelf.size_bytes)
        self._loading: dict[_Place, asyncio.Task[Sequence[Extents]]] = {}
        self._absent: LRUCache[_Place, None] = LRUCache(_MOST_ABSENT)
        self._writing: set[asyncio.Task[None]] = set()
        # Extents of before aren't loaded any more. After a restart a mark in each namespace that was looked at says so.
        self.since_s = -math.inf
        self._namespaces: set[str] = set()
        store.renamed.append(self._rename)

    @property
    def size_bytes(self) -> int:
        """What the extents in memory cost."""
        return int(self._shelves.currsize)

    def peek(self, tenant: Tenant, scope: MetricsQuery) -> Sequence[Extents]:
        """Return the windows of a scope that are in memory, the newest first."""
        shelf = self._shelves.get((tenant.namespace, scope))
        return () if shelf is None else shelf.windows

    def is_loaded(self, tenant: Tenant, scope: MetricsQuery) -> bool:
        """Tell whether memory has all that there is of a scope."""
        place = (tenant.namespace, scope)
        return place in self._shelves or place in self._absent

    async def load(self, tenant: Tenant, scope: MetricsQuery) -> Sequence[Extents]:
        """Return the windows of a scope, from the disk where memory has none; then memory keeps them, if it can."""
        place = (tenant.namespace, scope)
        if self.is_loaded(tenant, scope):
            return self.peek(tenant, scope)
        if (task := self._loading.get(place)) is None:
            task = self._loading[place] = asyncio.get_running_loop().create_task(self._load(tenant, place))
            task.add_done_callback(lambda _: self._loading.pop(place))
        return await asyncio.shield(task)

    def put(self, tenant: Tenant, extents: Extents, *, persist: bool, joins: Callable[[Extents], bool]) -> bool:
        """Keep what was found out about a window, in place of what is known of windows within it; return whether memory does.

        A window within it of which newer rows are known stays beside it: this one was long on its way. `joins` tells of another
        window whether the two may be put together.
        """
        scope = extents.question.wide
        rest: list[Extents] = []
        windows = self.peek(tenant, scope)
        if any(window.covers(extents) and window.whole_at_s >= extents.whole_at_s for window in windows):
            return True  # it was overtaken by a newer one, or somebody else who waited for it has brought it
        for window in windows:
            if extents.covers(window) and window.tail_at_s <= extents.tail_at_s:
                continue
            whole = merged(extents, window) if joins(window) else None
            if whole is None:
                rest.append(window)
            else:
                extents = whole
        return self._keep(tenant, scope, (extents, *rest)[:MOST_WINDOWS], persist=persist)

    def replace(self, tenant: Tenant, old: Extents, new: Extents, *, persist: bool) -> bool:
        """Put what is known now in the place of what was known; return False where that is no longer there."""
        scope = old.question.wide
        windows = self.peek(tenant, scope)
        if not any(window is old for window in windows):
            return False
        rest = (window for window in windows if window is not old)
        self._keep(tenant, scope, (new, *rest), persist=persist)
        return True

    def forget(self, *, now_s: float) -> None:
        """Forget everything found out until now, on disk as well."""
        self.since_s = now_s
        self._shelves.clear()
        mark = Entry(body=_MARK, sent_at_s=now_s, digest=digest_of(_MARK))
        for namespace in self._namespaces:
            self._disk.put(namespace, _MARK_KEY, mark)

    def purge(self, purge: Purge) -> int:
        """Forget what a purge takes, softly or not; return how many scopes that were. The disk forgets by itself."""
        places = [place for place in self._shelves if purge.takes(place[1].query.target)]
        for place in places:
            del self._shelves[place]
        return len(places)

    async def settled(self) -> None:
        """Wait until everything kept so far has been handed to the disk."""
        while self._writing:
            await asyncio.wait(self._writing)

    def _keep(self, tenant: Tenant, scope: MetricsQuery, windows: tuple[Extents, ...], *, persist: bool) -> bool:
        place = (tenant.namespace, scope)
        # What was under way when something was purged, or everything forgotten, doesn't bring it back.
        windows = tuple(window for window in windows if window.whole_at_s > self.since_s and not self._is_purged(scope, window))
        if not windows:
            self._shelves.pop(place, None)
            return False
        shelf = self._shelves.pop(place, None) or _Shelf(tenant)
        shelf.keep(windows)
        self._absent.pop(place, None)
        if shelf.size_bytes <= self._shelves.maxsize:
            self._shelves[place] = shelf
        shelf.changed = shelf.changed or persist
        if persist and shelf.writing is None:
            shelf.writing = asyncio.get_running_loop().create_task(self._write(scope, shelf), name="shelves.write")
            self._writing.add(shelf.writing)
            shelf.writing.add_done_callback(self._writing.discard)
        return place in self._shelves

    async def _write(self, scope: MetricsQuery, shelf: _Shelf) -> None:
        try:
            while shelf.changed:
                shelf.changed = False
                windows, before = shelf.windows, shelf.written
                made = await in_slices(_writing(windows, before))
                written = tuple(window for window, _ in made)
                head = await in_slices(packs.heading(written))
                shelf.written = written
                self._hand_over(shelf, scope, before, [pack for _, new in made for pack in new], head)
        except Exception:  # noqa: BLE001 -- nobody waits for it who could tell; it is written with the next change
            _log.exception("extents.not_written", key=scope.query.target)
        finally:
            shelf.writing = None

    def _hand_over(
        self, shelf: _Shelf, scope: MetricsQuery, before: Sequence[Written], new: list[tuple[packs.Pack, bytes]], head: bytes
    ) -> None:
        """Give the disk the new packs, then the head that lists them, and take away what is of no use any more."""
        namespace = shelf.tenant.namespace
        sent_at_s = max(window.extents.tail_at_s for window in shelf.written)
        for pack, body in new:
            self._disk.put(namespace, _pack_key(scope, pack.digest), Entry(body=body, sent_at_s=sent_at_s, digest=pack.digest))
        self._disk.put(namespace, _head_key(scope), Entry(body=head, sent_at_s=sent_at_s, digest=digest_of(head)))
        used = {pack.digest for window in shelf.written for pack in window.packs}
        for digest in {pack.digest for window in before for pack in window.packs} - used:
            self._disk.put(namespace, _pack_key(scope, digest), tombstone(sent_at_s))

    async def _load(self, tenant: Tenant, place: _Place) -> Sequence[Extents]:
        namespace, scope = place
        self._namespaces.add(namespace)
        head, mark = await asyncio.gather(*(self._disk.get(namespace, key) for key in (_head_key(scope), _MARK_KEY)))
        written: list[Written] = []
        if head is not None:
            try:
                written = await self._read(namespace, scope, head.body)
            except ValueError as exc:
                _log.info("extents.lost", key=scope.query.target, reason=str(exc))
        # What came meanwhile is newer; and the tenant's place may have changed.
        if place in self._shelves or tenant.namespace != namespace:
            return self.peek(tenant, scope)
        since_s = self.since_s if mark is None else max(self.since_s, mark.sent_at_s)
        kept = tuple(
            window for window in written if window.extents.whole_at_s > since_s and not self._is_purged(scope, window.extents)
        )
        if not kept:
            if self._disk.health is None:
                self._absent[place] = None
            return ()
        windows = tuple(window.extents for window in kept)
        shelf = _Shelf(tenant, written=kept)
        shelf.keep(windows)
        if shelf.size_bytes <= self._shelves.maxsize:
            self._shelves[place] = shelf
        return windows

    async def _read(self, namespace: str, scope: MetricsQuery, head: bytes) -> list[Written]:
        digests = packs.packs_of(head)
        found = await asyncio.gather(*(self._disk.get(namespace, _pack_key(scope, digest)) for digest in digests))
        bodies: dict[str, bytes] = {}
        for digest, entry in zip(digests, found, strict=True):
            if entry is None:
                raise ValueError("a pack is no longer there")
            bodies[digest] = entry.body
        return await in_slices(packs.reading(head, bodies, scope, overlap_s=self._overlap_s))

    def _is_purged(self, scope: MetricsQuery, window: Extents) -> bool:
        if not self._purges.count:
            return False
        asked_s = min((extent.whole_at_s for extent in window.by_name.values()), default=window.whole_at_s)
        return self._purges.is_gone(scope.query.target, min(asked_s, window.whole_at_s))

    def _rename(self, old_namespace: str, new_namespace: str) -> None:
        """Follow what was stored under a key to its organization. What the disk has moves there too, what is on its way not."""
        self._absent.clear()
        self._namespaces.add(new_namespace)
        for namespace, scope in [place for place in self._shelves if place[0] == old_namespace]:
            shelf = self._shelves.pop((namespace, scope))
            # What only requests with no-store brought was never written.
            persist = bool(shelf.written) or shelf.changed or shelf.writing is not None
            shelf.written = ()
            if (new_namespace, scope) not in self._shelves:
                self._keep(shelf.tenant, scope, shelf.windows, persist=persist)


def _writing(
    windows: Sequence[Extents], before: Sequence[Written]
) -> Work[list[tuple[Written, list[tuple[packs.Pack, bytes]]]]]:
    firsts = {window.extents.question.first: window for window in before}
    made: list[tuple[Written, list[tuple[packs.Pack, bytes]]]] = []
    for window in windows:
        made.append((yield from packs.writing(window, firsts.get(window.question.first))))  # noqa: PERF401 -- no comprehension can yield
    return made


def _head_key(scope: MetricsQuery) -> str:
    return f"extents of {scope.query.target}"


def _pack_key(scope: MetricsQuery, digest: str) -> str:
    return f"pack {digest} of {scope.query.target}"
