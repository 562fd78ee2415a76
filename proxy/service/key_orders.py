"""Answers whose keys a client wants in another order than the one in which they are stored."""

from dataclasses import replace
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


class KeyOrders:
    """Puts the keys of answers in order, and remembers the bodies that were made."""

    def __init__(self, *, most_bytes: int = _MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        # By the digest of a stored body, and the order: the digest of the body in that order, and the body.
        self._made: LRUCache[tuple[str, AskedOrder], tuple[str, bytes]] = LRUCache(
            most_bytes, getsizeof=lambda made: len(made[1])
        )

    async def arrange(self, query: Query, answer: Answer) -> Answer:
        """Return an answer with its keys in the order that the query wants; itself where they are."""
        entry = answer.entry
        if query.order is None or entry.status != 200:
            return answer
        place = entry.digest, query.order
        if (made := self._made.get(place)) is None:
            body = await in_slices(in_asked_order(entry.body, query.order))
            made = digest_of(body), body
            if len(body) <= self._most_bytes:
                self._made[place] = made
        digest, body = made
        if digest == entry.digest:
            return answer
        return replace(answer, entry=replace(entry, body=body, digest=digest, encoded=MappingProxyType({})))

    def purge(self) -> None:
        """Forget the bodies that were made."""
        self._made.clear()
