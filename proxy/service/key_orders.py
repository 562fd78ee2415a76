"""Answers whose keys a client wants in another order than the one in which they are stored."""

from dataclasses import dataclass, replace
from types import MappingProxyType

from cachetools import LRUCache

from proxy.core.freshness.entry import digest_of
from proxy.core.question.batch import AskedOrder
from proxy.core.question.key_order import in_asked_order
from proxy.core.question.query import Query
from proxy.service.answer import Answer
from proxy.slices import in_slices

# Clients that poll want the same order each time.
_MOST_BYTES = 32 * 2**20
# What an order costs beside its names' characters, and each name of it: texts, and the places in the tuples.
_ORDER_BYTES, _NAME_BYTES = 500, 80
_CHARACTER_BYTES = 4
_Place = tuple[str, AskedOrder]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Made:
    """A body that was made. `size_bytes`: what it costs in memory, with the order that it is kept by."""

    body: bytes
    digest: str
    size_bytes: int


class KeyOrders:
    """Puts the keys of answers in order, and remembers the bodies that were made."""

    def __init__(self, *, most_bytes: int = _MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        # By the digest of a stored body, and the order: the digest of the body in that order, and the body.
        # An answer may be a few bytes, and the order of its keys many kilobytes.
        self._made: LRUCache[_Place, _Made] = LRUCache(most_bytes, getsizeof=lambda made: made.size_bytes)

    @property
    def size_bytes(self) -> int:
        """What the bodies and their orders cost in memory."""
        return int(self._made.currsize)

    async def arrange(self, query: Query, answer: Answer) -> Answer:
        """Return an answer with its keys in the order that the query wants; itself where they are."""
        entry = answer.entry
        if query.order is None or entry.status != 200:
            return answer
        place = entry.digest, query.order
        if (made := self._made.get(place)) is None:
            body = await in_slices(in_asked_order(entry.body, query.order))
            made = _Made(body=body, digest=digest_of(body), size_bytes=len(body) + _cost_of(query.order))
            if made.size_bytes <= self._most_bytes:
                self._made[place] = made
        if made.digest == entry.digest:
            return answer
        return replace(answer, entry=replace(entry, body=made.body, digest=made.digest, encoded=MappingProxyType({})))

    def purge(self) -> None:
        """Forget the bodies that were made."""
        self._made.clear()


def _cost_of(order: AskedOrder) -> int:
    """Return what an order costs in memory. Its names in the order in which they were sent are the same texts."""
    names = (*order.names, *order.runs)
    return _ORDER_BYTES + sum(_NAME_BYTES + _CHARACTER_BYTES * len(name) for name in names)
