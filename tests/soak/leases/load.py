"""The clients: connections that stay open, on each of which the next request follows the answer at once."""

import asyncio
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, cycle

from tests.soak.leases.judging import Asked, Judge
from tests.soak.leases.past import Past

_HEAD_END = b"\r\n\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A question as it is asked: its place among the questions, its run, its path and query."""

    place: int
    run: int
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How a client asks. `depth` requests go out at once; `has_tags`: it says what it has; `has_ids`: it brings ids."""

    name: str
    token: str
    method: str = "GET"
    coding: str = "identity"
    depth: int = 1
    has_tags: bool = False
    has_ids: bool = False


def ways(tokens: Sequence[str], revoked: str) -> list[Way]:
    """Return how the clients ask, each of them in a way of its own, and one that is refused now and then."""
    first, second = tokens[0], tokens[-1]
    return [
        Way(name="plain", token=first),
        Way(name="plain", token=second),
        Way(name="gzip", token=first, coding="gzip"),
        Way(name="gzip", token=second, coding="gzip"),
        Way(name="head", token=first, method="HEAD"),
        Way(name="head", token=second, method="HEAD", coding="gzip"),
        Way(name="conditional", token=first, has_tags=True),
        Way(name="conditional", token=second, coding="gzip", has_tags=True),
        Way(name="pipelining", token=first, depth=8, coding="gzip"),
        Way(name="pipelining", token=second, depth=3, has_tags=True),
        Way(name="own ids", token=first, coding="gzip", has_ids=True),
        Way(name="revoked", token=revoked, coding="gzip"),
        Way(name="revoked", token=revoked, has_tags=True),
        Way(name="revoked", token=revoked, depth=4, coding="gzip", has_tags=True),
    ]


class Client(asyncio.Protocol):
    """One connection, which asks one question after the other until it is told to stop."""

    def __init__(self, number: int, way: Way, secret: str, targets: Sequence[Target], past: Past, judge: Judge) -> None:
        self._way = way
        self._past = past
        self._judge = judge
        self._targets: Iterator[Target] = cycle([*targets[number % len(targets) :], *targets[: number % len(targets)]])
        fields = f"Host: 127.0.0.1\r\nAuthorization: Bearer {secret}\r\nAccept-Encoding: {way.coding}\r\n"
        self._begins = {target.place: f"{way.method} {target.path} HTTP/1.1\r\n{fields}" for target in targets}
        self._ids = map(f"client-{number}-{{}}".format, count())
        self._tags: dict[int, str] = {}
        self._waiting: deque[Asked] = deque()
        self._begun = b""
        self._needed = 0
        self._transport: asyncio.Transport | None = None
        self._stopping = False
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.asked = 0
        self.broken = False

    def stop(self) -> None:
        """Ask nothing more; `done` once what was asked is answered."""
        self._stopping = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._ask()

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        answered_s = time.time()
        begun = self._begun + data if self._begun else data
        if len(begun) < self._needed:
            self._begun = begun
            return
        at = self._needed = 0
        while self._waiting and (end := begun.find(_HEAD_END, at)) >= 0:
            first, *lines = begun[at:end].decode("latin-1").split("\r\n")
            fields = dict(line.split(": ", 1) for line in lines)
            asked, status = self._waiting[0], int(first[9:12])
            body_at = end + len(_HEAD_END)
            size = 0 if asked.is_head or status == 304 else int(fields["Content-Length"])
            if body_at + size > len(begun):
                self._needed = body_at + size - at
                break
            self._waiting.popleft()
            if status == 200 and self._way.has_tags:
                self._tags[asked.place] = fields["ETag"]
            self._judge.take(asked, answered_s, status, fields, begun[body_at : body_at + size])
            at = body_at + size
        self._begun = begun[at:]
        if not self._waiting:
            self._ask()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 -- a break is a break
        """See asyncio.Protocol."""
        if not self.done.done():
            self.broken = True
            self.done.set_result(None)

    def _ask(self) -> None:
        assert self._transport is not None
        if self._begun:
            self.broken = True  # more came than was asked for
        if self._stopping or self.broken:
            if not self.done.done():
                self.done.set_result(None)
            self._transport.close()
            return
        way, requests, asked_s = self._way, "", time.time()
        for target in [next(self._targets) for _ in range(way.depth)]:
            tag = self._tags.get(target.place) if way.has_tags else None
            own_id = next(self._ids) if way.has_ids else None
            has = "" if tag is None else f"If-None-Match: {tag}\r\n"
            brings = "" if own_id is None else f"X-Request-ID: {own_id}\r\n"
            requests += f"{self._begins[target.place]}{has}{brings}\r\n"
            self._waiting.append(
                Asked(
                    place=target.place,
                    token=way.token,
                    asked_s=asked_s,
                    purged_s=self._past.purged_s.get(target.run, 0.0),
                    is_head=way.method == "HEAD",
                    tag=tag,
                    own_id=own_id,
                )
            )
        self.asked += way.depth
        self._transport.write(requests.encode())
