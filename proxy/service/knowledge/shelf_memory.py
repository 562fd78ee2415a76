"""The shelves that are in memory: which of them, and which of their chunks, leave it when it is short."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import structlog
from cachetools import LRUCache

from proxy.core.series.chunks import Chunk
from proxy.core.series.evicting import chunks_of, without_chunks
from proxy.core.series.extents import Extents
from proxy.core.series.metrics_query import MetricsQuery
from proxy.core.series.packs import Written
from proxy.service.knowledge.chunk_uses import ChunkUses, ShelfKey, removable
from proxy.service.knowledge.pack_files import PackFiles
from proxy.service.tenancy import Tenant

# When memory is short, chunks leave it until this share of it is free: they don't leave one by one.
_ROOM = 0.05
_log = structlog.get_logger()

Recall = Callable[["Shelf", MetricsQuery], Awaitable[tuple[Written, ...] | None]]
"""Adds what the disk has of a shelf to its windows, and returns it; None where the disk cannot be read now."""


@dataclass(slots=True)
class Shelf:
    """The windows of one selection.

    - `windows`: the newest first, of `sizes` bytes.
    - `written`: what the disk has of them, None as long as that isn't known. `writing`: the task that writes them. `changed`:
      whether it has to write anew.
    """

    tenant: Tenant
    windows: tuple[Extents, ...] = ()
    written: tuple[Written, ...] | None = None
    writing: asyncio.Task[None] | None = None
    changed: bool = False
    sizes: tuple[int, ...] = ()
    size_bytes: int = 1_000

    def keep(self, windows: tuple[Extents, ...]) -> None:
        """Hold these windows. Only the sizes of new ones are computed."""
        known = {id(window): size for window, size in zip(self.windows, self.sizes, strict=True)}
        self.sizes = tuple(known.get(id(window)) or window.size_bytes for window in windows)
        self.windows, self.size_bytes = windows, sum(self.sizes) + 1_000

    @property
    def is_persistent(self) -> bool:
        """Whether the windows are on disk, or on their way there."""
        return bool(self.written) or self.changed or self.writing is not None

    def forget_written(self) -> None:
        """Forget what the disk has: all of it is to be written anew."""
        self.written = None

    def write(self, files: PackFiles, selection: MetricsQuery, recall: Recall) -> "asyncio.Task[None] | None":
        """Let the windows be written, as they will be then; return the task that does it, None if one is under way.

        What the disk has is recalled first, if it isn't known. While it can't be read it is left as it is.
        """
        self.changed = True
        if self.writing is not None:
            return None
        self.writing = asyncio.get_running_loop().create_task(self._write(files, selection, recall), name="shelves.write")
        return self.writing

    async def _write(self, files: PackFiles, selection: MetricsQuery, recall: Recall) -> None:
        try:
            while self.changed:
                if (before := self.written) is None and (before := await recall(self, selection)) is None:
                    break
                self.changed = False
                self.written = await files.write(self.tenant, selection, self.windows, before)
        except Exception:  # noqa: BLE001 -- nobody waits for it who could tell; it is written with the next change
            _log.exception("extents.not_written", key=selection.query.target)
        finally:
            self.writing = None

    @property
    def chunks(self) -> Iterator[Chunk]:
        """The chunks of the windows, in memory or not."""
        return (chunk for window in self.windows for chunk in chunks_of(window.by_name.values()))

    @property
    def stored(self) -> frozenset[str]:
        """The digests of what the disk has of the windows."""
        return frozenset[str]().union(*(window.digests for window in self.written or ()))


class ShelfMemory:
    """Shelves by namespace and selection, of `max_bytes` at most."""

    def __init__(self, max_bytes: int) -> None:
        self._shelves: LRUCache[ShelfKey, Shelf] = LRUCache(max_bytes, getsizeof=lambda shelf: shelf.size_bytes)
        self._uses = ChunkUses()

    @property
    def size_bytes(self) -> int:
        """What the shelves cost."""
        return int(self._shelves.currsize)

    def __contains__(self, key: ShelfKey) -> bool:
        return key in self._shelves

    def items(self) -> Iterable[tuple[ShelfKey, Shelf]]:
        """Return the keys and shelves."""
        return self._shelves.items()

    def get(self, key: ShelfKey) -> Shelf | None:
        """Return a shelf, and count it as used; None where it isn't held."""
        return self._shelves.get(key)

    def pop(self, key: ShelfKey) -> Shelf | None:
        """Let go of a shelf, and return it."""
        return self._shelves.pop(key, None)

    def clear(self) -> None:
        """Let go of all shelves."""
        self._shelves.clear()

    def note_uses(self, key: ShelfKey, chunks: Iterable[Chunk]) -> None:
        """Note that chunks of a shelf are being used."""
        self._uses.note(key, chunks)

    def hold(self, key: ShelfKey, shelf: Shelf) -> bool:
        """Hold a shelf, if there is room. First chunks leave memory, then other shelves. Return whether chunks did."""
        self._uses.add(key, shelf.chunks)
        excess_bytes = self._shelves.currsize + shelf.size_bytes - self._shelves.maxsize
        left = excess_bytes > 0 and len(self._uses) > 0
        if left:
            left = self._let_chunks_go(excess_bytes + _ROOM * self._shelves.maxsize, {**self._shelves, key: shelf})
        if shelf.size_bytes <= self._shelves.maxsize:
            self._shelves[key] = shelf
        return left

    def _let_chunks_go(self, excess_bytes: float, shelves: Mapping[ShelfKey, Shelf]) -> bool:
        found: dict[ShelfKey, Mapping[str, int]] = {}
        held: dict[ShelfKey, set[str]] = {}
        gone: dict[ShelfKey, set[str]] = {}
        for key, digest in self._uses.least_used():
            if key in shelves and key not in found:
                found[key] = removable(shelves[key].windows, shelves[key].stored)
                held[key] = {chunk.digest for chunk in shelves[key].chunks}
            size_bytes = found.get(key, {}).get(digest)
            if size_bytes is not None:
                gone.setdefault(key, set()).add(digest)
                excess_bytes -= size_bytes
            if size_bytes is not None or key not in shelves or digest not in held[key]:
                self._uses.forget(key, digest)
            if excess_bytes <= 0:
                break
        for key, digests in gone.items():
            shelf = shelves[key]
            was_held = self._shelves.pop(key, None) is not None
            shelf.keep(tuple(without_chunks(window, digests) for window in shelf.windows))
            if was_held:
                self._shelves[key] = shelf
        return bool(gone)
