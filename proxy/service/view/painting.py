"""The view of one series painted: only blocks of which nothing was made yet, or only parts are seen, have their rows read."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from proxy.core.series.extents import Extent, Extents
from proxy.core.view.blocks import Block, blocks
from proxy.core.view.painting import Painted, Painter, View
from proxy.core.view.version import version_of_blocks
from proxy.service.knowledge.shelves import Shelves
from proxy.service.obtaining import Whole
from proxy.service.view.pyramids import Pyramids
from proxy.slices import in_slices

# So many blocks at most are read from disk at once: memory may be short.
_AT_ONCE = 16
# So many series have rows read from disk at once.
_READERS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Portrait:
    """The view of a series, and the version of its rows."""

    painted: Painted
    version: str


class SeriesPainter:
    """Paints views of series whose rows are all known."""

    def __init__(self, *, shelves: Shelves, pyramids: Pyramids) -> None:
        self._shelves = shelves
        self._pyramids = pyramids
        # The disk answers one after the other: who waits too long for it would take rows for lost.
        self._turns = asyncio.Semaphore(_READERS)

    async def paint(self, whole: Whole, view: View) -> Portrait | None:
        """Return the view of a series with rows; None where rows were lost or forgotten meanwhile."""
        name, window = whole.series.name or "", whole.recipe.source
        extent, namespace = window.by_name[name], whole.tenant.namespace
        parts, purges = blocks(extent), self._pyramids.purges
        painter = Painter(view, extent, self._pyramids.of(namespace, whole.series))
        for some, needs_rows in _groups(painter, parts):
            if needs_rows:
                brought = await self._bring(whole, window, extent, some)
                if brought is None:
                    return None
                window = brought
            await in_slices(painter.painting(window.by_name[name], some))
        if not self._shelves.is_open or whole.recipe.full_asked_s <= self._shelves.forgotten_s:
            return None
        if painter.has_learned:
            self._pyramids.keep(namespace, whole.series, painter, parts, purges=purges)
        return Portrait(painted=painter.painted, version=version_of_blocks(extent.head, parts))

    async def _bring(self, whole: Whole, window: Extents, extent: Extent, some: Sequence[Block]) -> Extents | None:
        """Return the window with the rows of some blocks in memory, None where they are lost."""
        first, last = extent.steps[some[0].begin], extent.steps[some[-1].end - 1]
        async with self._turns:
            return await self._shelves.present(whole.tenant, window, first, last)


def _groups(painter: Painter, parts: Sequence[Block]) -> Iterator[tuple[Sequence[Block], bool]]:
    """Yield blocks that follow each other and whose rows all have to be read, or all not."""
    begin = 0
    while begin < len(parts):
        needs_rows, end = painter.needs_rows(parts[begin]), begin + 1
        while (
            end < len(parts) and painter.needs_rows(parts[end]) is needs_rows and not (needs_rows and end - begin >= _AT_ONCE)
        ):
            end += 1
        yield parts[begin:end], needs_rows
        begin = end
