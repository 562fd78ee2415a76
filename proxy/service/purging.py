"""Purging: what is stored, known, computed or under way is taken away, or made stale, everywhere at once.

All of it but the cache file is purged before anything else runs. A query that was being answered meanwhile is answered anew
(`service.answering`). What comes in later is judged by `core.freshness.purge.Purges`. The file is purged in one transaction.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from proxy.core.freshness.purge import Purge, Purges
from proxy.service.access.scopes import Scopes
from proxy.service.fetching.fetcher import Fetcher
from proxy.service.fetching.memo import Memo
from proxy.service.key_orders import KeyOrders
from proxy.service.knowledge.shelves import Shelves
from proxy.service.view.pyramids import Pyramids
from proxy.store.tiers import TieredStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Purged:
    """What a purge took away: how many answers, and how many scopes of series in memory.

    `on_disk`: whether the file was purged. If not, it will be as soon as it can.
    """

    answers: int
    series: int
    on_disk: bool


class Purging:
    """Carries out purges."""

    def __init__(
        self,
        *,
        purges: Purges,
        store: TieredStore,
        shelves: Shelves,
        fetcher: Fetcher,
        memo: Memo,
        scopes: Scopes,
        key_orders: KeyOrders,
        pyramids: Pyramids,
    ) -> None:
        self.purges = purges
        self._store = store
        self._shelves = shelves
        self._fetcher = fetcher
        self._memo = memo
        self._scopes = scopes
        self._key_orders = key_orders
        self._pyramids = pyramids
        self._others: list[Callable[[Purge], Awaitable[None]]] = []

    def tell(self, other: Callable[[Purge], Awaitable[None]]) -> Callable[[], None]:
        """Have each purge carried out by another process, too, which answers for the same clients. Return what ends that."""
        self._others.append(other)
        return lambda: self._others.remove(other)

    async def purge(self, purge: Purge) -> Purged:
        """Carry out a purge of what was asked for until now (its `at_s`)."""
        self.purges.add(purge)
        self._fetcher.purge(purge)
        self._memo.purge(purge)
        self._scopes.purge()
        self._key_orders.purge()
        self._pyramids.purge(purge)
        series = self._shelves.purge(purge)
        telling = asyncio.gather(*(other(purge) for other in self._others))
        answers, on_disk = await self._store.purge(purge)
        await telling
        return Purged(answers=answers, series=series, on_disk=on_disk)
