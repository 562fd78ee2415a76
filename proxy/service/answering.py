"""A query answered for a grant: the part of the answer that the grant may see, in a coding that the client takes.

Nothing of it was purged meanwhile.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from proxy.core.access.grants import Grant
from proxy.core.freshness.directives import Demand
from proxy.core.freshness.entry import Coding
from proxy.core.freshness.purge import Purges
from proxy.core.question.query import Query
from proxy.service.access.organizations import Organizations
from proxy.service.access.scopes import Scopes
from proxy.service.answer import Answer
from proxy.service.fetching.encoder import Encoder
from proxy.service.key_orders import KeyOrders
from proxy.service.reader import Reader


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """How a client wants to be answered.

    - `demand`: how fresh the answer must be, and whether it may be stored.
    - `codings`: those that the client takes, the best first, at least one.
    - `client`: in whose turn the query waits for the upstream.
    - `deadline_s`: until when it waits (monotonic clock).
    """

    demand: Demand
    codings: Sequence[Coding]
    client: str
    deadline_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Represented:
    """An answer, and the coding and body in which it goes out."""

    answer: Answer
    coding: Coding
    body: bytes


class Answerer:
    """Answers queries for those who hold a grant."""

    def __init__(
        self,
        *,
        scopes: Scopes,
        organizations: Organizations,
        reader: Reader,
        key_orders: KeyOrders,
        encoder: Encoder,
        purges: Purges,
    ) -> None:
        self._scopes = scopes
        self._organizations = organizations
        self._key_orders = key_orders
        self._reader = reader
        self._encoder = encoder
        self._purges = purges

    async def admit(self, grant: Grant, query: Query, *, client: str) -> bool:
        """Let a query pass, or raise an error, as `Scopes.admit` and `Organizations.admit` do."""
        settled = await self._scopes.admit(grant, query, client=client)
        await self._organizations.admit(query)
        return settled

    async def answer(self, query: Query, wish: Wish, granted: Callable[[], Grant]) -> Represented:
        """Answer a query that was admitted.

        `granted` is called once the answer is there. It returns the client's grant, and raises where there is none any more.
        Raises what `Reader.read`, `Scopes.restrict` and `Organizations.check` raise.
        """
        while True:
            purges_before = self._purges.count
            read = await self._reader.read(query, wish.demand, client=wish.client, deadline_s=wish.deadline_s)
            self._organizations.check(query, read.tenant)
            answer = await self._key_orders.arrange(query, self._scopes.restrict(granted(), query, read))
            coding, body = await self._encoder.choose(answer.tenant, query.target, answer.entry, wish.codings)
            # An answer that was purged while it was on its way is not handed out: the query is answered anew.
            if self._purges.count == purges_before or self._purges.remains_of(query.target, read.entry) is read.entry:
                return Represented(answer=answer, coding=coding, body=body)
