"""What is being read from disk of series, once for all who wait for it."""

import asyncio
from collections.abc import Callable, Mapping, Sequence

from proxy.core.series.chunks import Chunk
from proxy.core.series.extents import Extents
from proxy.core.series.metrics_query import MetricsQuery
from proxy.service.knowledge.chunk_uses import ShelfKey
from proxy.service.knowledge.pack_files import OnDisk, PackFiles
from proxy.service.tenancy import Tenant

TakeIn = Callable[[Tenant, MetricsQuery, OnDisk], Sequence[Extents]]


class DiskReads:
    """Reads windows and chunks. Whoever wants what somebody else waits for waits for the same read."""

    def __init__(self, files: PackFiles, take_in: TakeIn) -> None:
        """`take_in` is called once for each selection that was read. It returns the windows that are handed out."""
        self._files = files
        self._take_in = take_in
        self._windows: dict[ShelfKey, asyncio.Task[Mapping[MetricsQuery, Sequence[Extents]]]] = {}
        self._chunks: dict[ShelfKey, asyncio.Task[Mapping[str, Chunk]]] = {}

    async def windows(self, tenant: Tenant, selections: Sequence[MetricsQuery]) -> list[Extents]:
        """Return the windows that the disk has of some selections."""
        namespace = tenant.namespace
        if begun := [selection for selection in selections if (namespace, selection) not in self._windows]:
            task = asyncio.get_running_loop().create_task(self._read(tenant, namespace, begun), name="shelves.load")
            for selection in begun:
                self._windows[namespace, selection] = task
                task.add_done_callback(lambda _, key=(namespace, selection): self._windows.pop(key))  # type: ignore[misc]  # mypy infers no lambda with a default
        tasks = {self._windows[namespace, selection] for selection in selections}
        found = await asyncio.gather(*map(asyncio.shield, tasks))
        return [window for windows in found for selection in selections for window in windows.get(selection, ())]

    async def chunks(self, tenant: Tenant, selection: MetricsQuery, digests: Sequence[str]) -> Mapping[str, Chunk]:
        """Return chunks of a selection by their digests; those that somebody else waits for, where chunks of it are being read.

        Raises UnreadError where the disk cannot be read now, ValueError where one of these chunks is no longer there.
        """
        key = (tenant.namespace, selection)
        task = self._chunks.get(key)
        joined = task is not None
        if task is None:
            task = asyncio.get_running_loop().create_task(self._bring(tenant, key, digests), name="shelves.bring")
            self._chunks[key] = task
        try:
            return await asyncio.shield(task)
        except ValueError:
            if joined:
                return {}  # what somebody else needed is lost
            raise

    async def _read(
        self, tenant: Tenant, namespace: str, selections: Sequence[MetricsQuery]
    ) -> Mapping[MetricsQuery, Sequence[Extents]]:
        found = await self._files.read(namespace, selections)
        # The tenant's namespace may have changed meanwhile.
        if tenant.namespace != namespace:
            return {}
        return {selection: self._take_in(tenant, selection, found) for selection in selections}

    async def _bring(self, tenant: Tenant, key: ShelfKey, digests: Sequence[str]) -> Mapping[str, Chunk]:
        try:
            return await self._files.chunks(tenant, key[1], digests)
        finally:
            # Before the task is done: whoever found one that is done would not wait for it, and find it again.
            del self._chunks[key]
