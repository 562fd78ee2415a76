"""Requests by their very bytes: one that was answered the fast way need not be parsed to be answered so again.

This comes before aiohttp's parser: `web.connection.server` hands over what a connection has sent, if nothing else is under way
on it. Bytes that the parser made one complete request of, without a body, are the same request again: method, target, every
field. What is judged anew is what they don't tell:

- whether whoever asks may still do so: the tokens are those of before (revoked and changed ones make another generation),
  the grant has not expired, and the request comes from the same address;
- whether the hit still holds (`web.shortcut.fast`).

Where anything is otherwise the bytes go to the parser, as if nobody had looked at them.
"""

from dataclasses import dataclass

from proxy.web.gate.guard import Guard, Visit
from proxy.web.shortcut.fast import FastPath, Hit
from proxy.web.shortcut.prepared import Ready

_MOST = 4_096
# A request that a client or a browser sends is some hundred bytes; who writes more must not fill the memory.
_LONGEST_BYTES = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What was made of the bytes. `client`: whose rate they count for; `given_id`: the request's id where it has a sane one."""

    hit: Hit
    visit: Visit
    client: str
    given_id: str | None


class SeenRequests:
    """Remembers requests by the address that they came from and their bytes."""

    def __init__(self, *, guard: Guard, fast: FastPath) -> None:
        self._guard = guard
        self._fast = fast
        self._seen: dict[tuple[str, bytes], Seen] = {}
        self._generation = guard.generation
        self.answered = 0
        """How many requests were answered without being parsed."""

    def answer(self, address: str, raw: bytes) -> Ready | None:
        """Return the answer to a request of these bytes, None where it is to be parsed."""
        if self._generation != self._guard.generation:
            # Nor do tokens that were revoked stay in memory.
            self._generation = self._guard.generation
            self._seen.clear()
        place = address, raw
        seen = self._seen.get(place)
        if seen is None:
            return None
        ready = self._fast.ready(seen.hit, seen.visit, seen.client, seen.given_id) if self._guard.stands(seen.visit) else None
        if ready is None:
            del self._seen[place]
        else:
            self.answered += 1
        return ready

    def remember(self, address: str, raw: bytes, seen: Seen) -> None:
        """Remember what was made of the bytes a moment ago; the oldest of too many are forgotten."""
        if len(raw) > _LONGEST_BYTES or self._generation != self._guard.generation:
            return
        if len(self._seen) >= _MOST:
            del self._seen[next(iter(self._seen))]
        self._seen[address, raw] = seen
