"""What is known of series, in memory: the windows of each selection, loaded from the cache file when they are first looked for.

A **shelf** holds the windows of one selection: a run's series of one name or of all names, of one group or of all groups. It is
loaded when it is first looked for, and written in the background when it has changed. A shelf that the disk doesn't have, or
has lost a pack of, is empty. One that was begun while the disk was late is joined with what the disk has before it is written.

When memory is short, chunks of long series that are on disk leave it first, those that were not used for the longest time
(`chunk_uses`). Who needs rows of a window asks for them (`present`). After that whole shelves are dropped.
"""

import asyncio
import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import structlog
from cachetools import LRUCache

from proxy.clock import Clock
from proxy.core.freshness.purge import Purge, Purges
from proxy.core.series.chunks import Chunk, ChunkAbsentError
from proxy.core.series.evicting import absent_of, are_twins, chunks_of, with_chunks
from proxy.core.series.extents import Extents
from proxy.core.series.joining import merged
from proxy.core.series.known_series import KnownSeries, known_series
from proxy.core.series.metrics_query import MetricsQuery
from proxy.core.series.packs import Written
from proxy.service.knowledge.chunk_uses import ShelfKey
from proxy.service.knowledge.disk_reads import DiskReads
from proxy.service.knowledge.pack_files import OnDisk, PackFiles
from proxy.service.knowledge.shelf_memory import Shelf, ShelfMemory
from proxy.service.tenancy import Tenant
from proxy.store import UnreadError
from proxy.store.tiers import TieredStore

# Every zoom into a long series leaves a window behind: the latest are kept.
MOST_WINDOWS = 8
_MOST_ABSENT = 10_000
_log = structlog.get_logger()


class Shelves:
    """The windows of all selections."""

    def __init__(
        self, store: TieredStore, clock: Clock, purges: Purges | None = None, *, memory_bytes: int, overlap_s: float
    ) -> None:
        """`overlap_s`: how long rows may become visible out of order (`core.series.answers`)."""
        self._memory = store.memory
        self._files = PackFiles(store.disk, overlap_s=overlap_s)
        self._clock = clock
        self._purges = purges or Purges()
        self._shelves = ShelfMemory(memory_bytes)
        self._reads = DiskReads(self._files, self._take_in)
        self._absent: LRUCache[ShelfKey, None] = LRUCache(_MOST_ABSENT)
        self._writing: set[asyncio.Task[None]] = set()
        # Written into each namespace that was read, so that the next process knows it.
        self.forgotten_s = -math.inf
        """What was asked for until that wall time is forgotten, and is not kept when it comes in."""
        self._namespaces: set[str] = set()
        self.is_open = True
        """Whether anything may be computed."""
        self.changes = 0
        """How often anything in memory has changed."""

    @property
    def size_bytes(self) -> int:
        """What the extents in memory cost."""
        return self._shelves.size_bytes

    def known(self, tenant: Tenant, question: MetricsQuery, before: KnownSeries | None = None) -> KnownSeries:
        """Return what memory knows of a question's series. It is `before` where nothing has changed since."""
        if before is not None and before.changes == self.changes:
            return before
        return known_series(question, self.windows(tenant, question.selections), changes=self.changes)

    def windows(self, tenant: Tenant, selections: Iterable[MetricsQuery]) -> list[Extents]:
        """Return the windows of some selections that are in memory."""
        get, namespace = self._shelves.get, tenant.namespace
        return [
            window for selection in selections if (shelf := get((namespace, selection))) is not None for window in shelf.windows
        ]

    def peek(self, tenant: Tenant, selection: MetricsQuery) -> Sequence[Extents]:
        """Return the windows of a selection that are in memory, the newest first."""
        shelf = self._shelves.get((tenant.namespace, selection))
        return () if shelf is None else shelf.windows

    def missing(self, tenant: Tenant, selections: Iterable[MetricsQuery]) -> list[MetricsQuery]:
        """Return those of some selections that the disk may know more of than memory."""
        shelves, absent, namespace = self._shelves, self._absent, tenant.namespace
        missing = [
            selection
            for selection in selections
            if (namespace, selection) not in shelves and (namespace, selection) not in absent
        ]
        if missing:
            self._namespaces.add(namespace)
        # Of what nobody has asked for before, the disk nearly always has nothing, which it tells without being read.
        for selection in [selection for selection in missing if not self._files.may_have(namespace, selection)]:
            absent[namespace, selection] = None
            missing.remove(selection)
        return missing

    async def load(self, tenant: Tenant, selections: Iterable[MetricsQuery]) -> list[Extents]:
        """Return the windows of some selections.

        Where memory has none, they are read from the disk, and kept if there is room.
        """
        loaded: list[Extents] = []
        if missing := self.missing(tenant, selections):
            loaded = await self._reads.windows(tenant, missing)
        # Memory may have no room for what was loaded, or something newer by now.
        known = self.windows(tenant, selections)
        return known + [window for window in loaded if not any(window is one for one in known)]

    def put(self, tenant: Tenant, extents: Extents, *, persist: bool, joins: Callable[[Extents], bool]) -> bool:
        """Keep a window in place of those within it; return whether memory holds it.

        A window within it that has newer rows stays beside it, since this one was long on its way. `joins` tells of another
        window whether the two may be put together.
        """
        selection = extents.question.in_full
        rest: list[Extents] = []
        windows = self.peek(tenant, selection)
        if any(window.covers(extents) and window.oldest_asked_s >= extents.full_asked_s for window in windows):
            return True  # a newer one has come before it, or another who waited for the same answer has put it
        for window in windows:
            if extents.covers(window) and window.tail_asked_s <= extents.tail_asked_s:
                continue
            whole = _merged(extents, window) if joins(window) else None
            if whole is None:
                rest.append(window)
            else:
                extents = whole
        return self._keep(tenant, selection, (extents, *rest)[:MOST_WINDOWS], persist=persist)

    def replace(self, tenant: Tenant, old: Extents, new: Extents, *, persist: bool) -> bool:
        """Put a window in the place of another; return False where that one is no longer there.

        It counts as there if chunks of it have left memory, or come back.
        """
        selection = old.question.in_full
        windows = self.peek(tenant, selection)
        if (place := _place_of(old, windows)) is None:
            return False
        rest = (*windows[:place], *windows[place + 1 :])
        self._keep(tenant, selection, (new, *rest), persist=persist)
        return True

    async def present(self, tenant: Tenant, window: Extents, first: int = 0, last: int | None = None) -> Extents | None:
        """Return a window in memory with the rows of some steps, inclusive, which may have to be read from disk.

        None where the disk cannot be read now, and where it has lost them; then the window is dropped.
        """
        selection = window.question.in_full
        self._shelves.note_uses((tenant.namespace, selection), chunks_of(window.by_name.values(), first, last))
        while absent := absent_of(window.by_name.values(), first, last):
            try:
                found = await self._reads.chunks(tenant, selection, absent)
            except UnreadError:
                return None
            except ValueError as exc:
                _log.info("extents.lost", key=selection.query.target, reason=str(exc))
                self._put_in_place(tenant, window, None)
                return None
            self._put_in_place(tenant, window, found)
            # Somebody else may have asked for other chunks.
            window = with_chunks(window, found)
        return window

    def _put_in_place(self, tenant: Tenant, old: Extents, found: Mapping[str, Chunk] | None) -> None:
        """Hold a window with the chunks that came from disk, or let go of it where these are lost (None)."""
        key = (tenant.namespace, old.question.in_full)
        shelf = self._shelves.get(key)
        place = None if shelf is None else _place_of(old, shelf.windows)
        if shelf is None or place is None:
            return
        self.changes += 1
        self._shelves.pop(key)
        # It may have other chunks than when these were asked for.
        here = () if found is None else (with_chunks(shelf.windows[place], found),)
        shelf.keep((*shelf.windows[:place], *here, *shelf.windows[place + 1 :]))
        if shelf.windows:
            self.changes += self._shelves.hold(key, shelf)

    def close(self) -> None:
        """Forget everything, and let nothing be computed until `reopen`: the rule was found broken."""
        self.is_open = False
        self.forget()

    def reopen(self) -> None:
        """Let answers be computed again."""
        self.is_open = True

    def forget(self) -> None:
        """Forget all windows, on disk as well, and every answer in memory: some were computed from them."""
        self.forgotten_s = self._clock.now_s()
        self.changes += 1
        self._shelves.clear()
        self._memory.clear()
        for namespace in self._namespaces:
            self._files.forget(namespace, self.forgotten_s)

    def purge(self, purge: Purge) -> int:
        """Forget what a purge takes, soft or not; return how many selections those were. The disk is purged by the store."""
        keys = [key for key, _ in self._shelves.items() if purge.takes(key[1].query.target)]
        for key in keys:
            self._shelves.pop(key)
        self.changes += 1
        return len(keys)

    def rename(self, old_namespace: str, new_namespace: str) -> None:
        """Move the shelves of a namespace to another one.

        The store moves what the disk has, but not what is on its way there: so shelves that may be written are written anew.
        """
        self.changes += 1
        self._absent.clear()
        self._namespaces.add(new_namespace)
        for key, shelf in [item for item in self._shelves.items() if item[0][0] == old_namespace]:
            self._shelves.pop(key)
            selection = key[1]
            # What only requests with no-store brought must not be written.
            persist = shelf.is_persistent
            shelf.forget_written()
            if (new_namespace, selection) not in self._shelves:
                self._keep(shelf.tenant, selection, shelf.windows, persist=persist)

    async def settled(self) -> None:
        """Wait until everything kept so far has been handed to the disk."""
        while self._writing:
            await asyncio.wait(self._writing)

    def _keep(self, tenant: Tenant, selection: MetricsQuery, windows: tuple[Extents, ...], *, persist: bool) -> bool:
        if not self.is_open:
            return False
        key = (tenant.namespace, selection)
        self.changes += 1
        # A window that was under way when it was purged, or everything forgotten, does not come back.
        windows = tuple([window for window in windows if self._is_valid(selection, window, self.forgotten_s)])
        if not windows:
            self._shelves.pop(key)
            return False
        shelf = self._shelves.pop(key) or Shelf(tenant, written=() if key in self._absent else None)
        shelf.keep(windows)
        self._absent.pop(key, None)
        self.changes += self._shelves.hold(key, shelf)
        if persist and (writing := shelf.write(self._files, selection, self._recall)) is not None:
            self._writing.add(writing)
            writing.add_done_callback(self._writing.discard)
        return key in self._shelves

    def _take_in(self, tenant: Tenant, selection: MetricsQuery, found: OnDisk) -> Sequence[Extents]:
        """Hold what the disk has of a selection, where there is room; return its windows that are still good."""
        key, kept = (tenant.namespace, selection), self._good(selection, found)
        # What came meanwhile is newer.
        if key in self._shelves or kept is None:
            return ()
        if not kept:
            self._absent[key] = None
            return ()
        windows = tuple(window.extents for window in kept)
        shelf = Shelf(tenant, written=tuple(window.let_go() for window in kept))
        shelf.keep(windows)
        self.changes += 1
        self.changes += self._shelves.hold(key, shelf)
        return shelf.windows

    async def _recall(self, shelf: Shelf, selection: MetricsQuery) -> tuple[Written, ...] | None:
        """Add what the disk has to a shelf that was begun without it, perhaps because the disk was late; return it.

        None where the disk cannot be read now.
        """
        namespace = shelf.tenant.namespace
        kept = self._good(selection, await self._files.read(namespace, [selection]))
        # The tenant's namespace may have changed meanwhile.
        if kept is None or shelf.tenant.namespace != namespace:
            return None
        key, windows = (namespace, selection), shelf.windows
        for window in (one.extents for one in kept):
            if not any(one.covers(window) and window.tail_asked_s <= one.tail_asked_s for one in shelf.windows):
                windows = (*windows, window)
        is_held = self._shelves.get(key) is shelf
        if is_held:
            self._shelves.pop(key)
        shelf.keep(windows[:MOST_WINDOWS])
        if is_held:
            self.changes += 1
            self.changes += self._shelves.hold(key, shelf)
        return tuple(window.let_go() for window in kept)

    def _good(self, selection: MetricsQuery, found: OnDisk) -> Sequence[Written] | None:
        """Return the windows on disk that are neither forgotten nor purged, None where they could not be read."""
        forgotten_s, windows = max(self.forgotten_s, found.forgotten_s), found.windows.get(selection)
        if windows is None:
            return None
        return [window for window in windows if self._is_valid(selection, window.extents, forgotten_s)]

    def _is_valid(self, selection: MetricsQuery, window: Extents, forgotten_s: float) -> bool:
        """Tell whether a window is neither forgotten nor purged."""
        if window.full_asked_s <= forgotten_s:
            return False
        if not self._purges.count:
            return True
        asked_s = min((extent.full_asked_s for extent in window.by_name.values()), default=window.full_asked_s)
        return not self._purges.was_purged(selection.query.target, min(asked_s, window.full_asked_s))


def _place_of(window: Extents, windows: Sequence[Extents]) -> int | None:
    """Return which of some windows is the same knowledge as one, None for none of them."""
    return next((place for place, one in enumerate(windows) if are_twins(one, window)), None)


def _merged(one: Extents, other: Extents) -> Extents | None:
    try:
        return merged(one, other)
    except ChunkAbsentError:
        return None
