"""Requests recognised by their bytes: a request that the fast path answered once is answered again without being parsed.

`web.connection.server` asks here before aiohttp's parser, if nothing else is under way on a connection. Bytes from which the
parser once made a single complete request, without a body, are the same request again: method, target, every field. What the
bytes don't tell is judged anew:

- whether the asker may still ask: the tokens are those of before (a revoked or changed one makes another generation),
  the grant has not expired, and the request comes from the same address;
- whether the hit still holds (`web.shortcut.fast`).

Where a check fails the bytes go to the parser, as if they had never been seen.
"""

from dataclasses import dataclass

from aiohttp import web

from proxy.web.accounting.ids import RequestIds
from proxy.web.gate.guard import Guard, Visit
from proxy.web.gate.limits import client_of
from proxy.web.shortcut.fast import FastPath, Hit
from proxy.web.shortcut.prepared import Prepared, PreparedResponse

_MOST = 4_096
# Clients and browsers send some hundred bytes; a client that sends more must not fill the memory.
_LONGEST_BYTES = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenRequest:
    """What the parser and the fast path made of the bytes of a request.

    `client` is the one whose rate it is accounted to; `given_id` is the id that the request brings, None without a sane one.
    """

    hit: Hit
    visit: Visit
    client: str
    given_id: str | None


class SeenRequests:
    """Remembers requests by the address that they came from and their bytes, and answers them by the fast path."""

    def __init__(self, *, guard: Guard, fast: FastPath, ids: RequestIds) -> None:
        self._guard = guard
        self._fast = fast
        self._ids = ids
        self._seen: dict[tuple[str, bytes], SeenRequest] = {}
        self._generation = guard.generation
        self._stopped = False
        self.answered = self.parsed = 0
        """How many requests were answered without being parsed, and how many were parsed."""

    def stop(self) -> None:
        """Answer nothing any more: what the ordinary way answers says that the connection ends."""
        self._stopped = True

    def answer(self, address: str, raw: bytes) -> Prepared | None:
        """Return the answer to a request of these bytes, None where it is to be parsed."""
        if self._generation != self._guard.generation:
            # So tokens that were revoked don't stay in memory either.
            self._generation = self._guard.generation
            self._seen.clear()
        place = address, raw
        seen = self._seen.get(place)
        if seen is None:
            return None
        if self._guard.stands(seen.visit):
            request_id = seen.given_id or self._ids.new()
            prepared = self._fast.answer(seen.hit, seen.visit, seen.client, request_id)
            if prepared is not None:
                self.answered += 1
                return prepared
        del self._seen[place]
        return None

    def answer_parsed(self, request: web.BaseRequest, visit: Visit, raw: bytes | None) -> PreparedResponse | None:
        """Return the response to a request that had to be parsed, None where it must go the ordinary way.

        `raw` is all of its bytes, where they are at hand: they are remembered, and the oldest of too many forgotten.
        """
        self.parsed += 1
        hit = None if self._stopped or visit.refusal is not None else self._fast.find(request, visit)
        if hit is None:
            return None
        client, given_id = client_of(request, visit), self._ids.given(request)
        prepared = self._fast.answer(hit, visit, client, given_id or self._ids.new())
        if prepared is None:
            return None
        if raw is not None and prepared.is_small and len(raw) <= _LONGEST_BYTES and self._generation == self._guard.generation:
            if len(self._seen) >= _MOST:
                del self._seen[next(iter(self._seen))]
            place = request.remote or "", raw
            self._seen[place] = SeenRequest(hit=hit, visit=visit, client=client, given_id=given_id)
        return PreparedResponse(request, prepared)
