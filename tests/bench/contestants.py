"""Who answers warm hits: each contestant brings one case's answer to where it is a hit, and proves that it is the right one."""

import asyncio
import gzip
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from proxy.core.freshness.entry import Coding
from tests.bench.bare import ETAG, ready_path
from tests.bench.bodies import SMALL, answer_to, question
from tests.bench.exchange import Reply, UnexpectedError, ask, get
from tests.bench.load import Expected
from tests.bench.processes import Server

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_TRIES = 200
BARE, PROXY, NGINX = "bare handler", "pluto-proxy", "nginx"
HIT = b"Cache-Status: pluto-proxy; hit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One kind of warm hit, on so many connections.

    `least` says by the name of a contestant what is promised of the proxy's rate against theirs.
    """

    points: int
    coding: Coding
    not_modified: bool = False
    connections: int = 16
    least: Mapping[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.points:,} points, {'304' if self.not_modified else self.coding}, {self.connections} connections"

    @property
    def status(self) -> int:
        """The status of every answer."""
        return 304 if self.not_modified else 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """The request to send, and what the answers must look like."""

    request: bytes
    expected: Expected


class Contestant(Protocol):
    """A server that answers the cases."""

    @property
    def name(self) -> str:
        """What it is called in the report."""

    @property
    def server(self) -> Server:
        """Where it runs."""

    async def prepare(self, case: Case) -> Ready:
        """See to it that the case is a warm hit. Raises UnexpectedError where it isn't, or the answer is not the right one."""


@dataclass(frozen=True, slots=True)
class Bare:
    """The handler that returns ready bytes."""

    server: Server
    name: str = BARE

    async def prepare(self, case: Case) -> Ready:
        """See Contestant. It gets the same query and headers as the proxy."""
        path = ready_path(case.points, case.coding, not_modified=case.not_modified)
        query = question(case.points, 0).partition("?")[2]
        request = _request(f"{path}?{query}", case, ETAG)
        reply = await ask(self.server.port, request)
        _check(case, reply)
        return Ready(request=request, expected=Expected(status=case.status, body_bytes=len(reply.body)))


@dataclass(frozen=True, slots=True)
class Proxy:
    """The proxy, asked with a token that it knows."""

    server: Server
    token: str = ""
    name: str = PROXY

    async def prepare(self, case: Case) -> Ready:
        """See Contestant. Compressed forms are made after the first answer has gone out, so this waits for them."""
        target = question(case.points, 0)
        plain = Case(points=case.points, coding=case.coding)
        for _ in range(_TRIES):
            reply = await ask(self.server.port, self._request(target, plain))
            if HIT in reply.head and reply.header("Content-Encoding") == _content_encoding(case.coding):
                break
            await asyncio.sleep(0.01)
        _check(plain, reply)
        request = self._request(target, case, reply.header("ETag"))
        reply = await ask(self.server.port, request)
        _check(case, reply)
        return Ready(request=request, expected=Expected(status=case.status, body_bytes=len(reply.body), marker=HIT))

    def _request(self, target: str, case: Case, etag: str = "") -> bytes:
        return _request(target, case, etag, **({"Authorization": f"Bearer {self.token}"} if self.token else {}))


@dataclass(frozen=True, slots=True)
class Packaged:
    """nginx or Varnish. The upstream sends no validators, so they have no 304: instead of it they give 200 and 20 points."""

    server: Server
    name: str

    async def prepare(self, case: Case) -> Ready:
        """See Contestant. That they ask nobody for it is seen by the upstream."""
        asked = replace(case, points=SMALL, not_modified=False) if case.not_modified else case
        request = _request(question(asked.points, 0), asked)
        for _ in range(2):
            reply = await ask(self.server.port, request)
            _check_body(asked, reply)
        return Ready(request=request, expected=Expected(status=200, body_bytes=len(reply.body)))


def _request(target: str, case: Case, etag: str = "", **more: str) -> bytes:
    validator = {"If_None_Match": etag} if case.not_modified else {}
    return get(target, Accept="application/json", Accept_Encoding=case.coding, **validator, **more)


def _content_encoding(coding: Coding) -> str:
    return "" if coding is Coding.IDENTITY else coding


def _check(case: Case, reply: Reply) -> None:
    if reply.header("ETag") == "":
        raise UnexpectedError(f"{case}: without an entity tag: {reply.head!r}")
    _check_body(case, reply)


def _check_body(case: Case, reply: Reply) -> None:
    right = (
        reply.status == case.status
        and (case.not_modified or reply.header("Content-Encoding") == _content_encoding(case.coding))
        and (b"" if case.not_modified else answer_to(case.points, 0)) == _decoded(reply)
    )
    if not right:
        raise UnexpectedError(f"{case}: not the answer: {reply.head!r} and {len(reply.body)} bytes")


def _decoded(reply: Reply) -> bytes:
    match reply.header("Content-Encoding"):
        case "gzip":
            return gzip.decompress(reply.body)
        case "zstd":
            return zstd.decompress(reply.body)
        case _:
            return reply.body
