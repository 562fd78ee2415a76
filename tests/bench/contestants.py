"""Who answers warm hits: each contestant brings one case's answer to where it is a hit, and proves that it is the right one."""

import asyncio
import gzip
import sys
from dataclasses import dataclass
from typing import Protocol

from proxy.core.entry import Coding
from tests.bench.bare import ETAG, ready_path
from tests.bench.bodies import answer_to, question
from tests.bench.exchange import Reply, UnexpectedError, ask, get
from tests.bench.load import Expected
from tests.bench.processes import Server

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_TRIES = 200
HIT = b"Cache-Status: pluto-proxy; hit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One kind of warm hit. `least_ratio` is what is promised of the proxy's rate against the bare handler's, if anything."""

    points: int
    coding: Coding
    not_modified: bool = False
    least_ratio: float | None = None

    def __str__(self) -> str:
        return f"{self.points:,} points, {'304' if self.not_modified else self.coding}"

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
    name: str = "bare handler"

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
    """The proxy."""

    server: Server
    name: str = "pluto-proxy"

    async def prepare(self, case: Case) -> Ready:
        """See Contestant. Compressed forms are made after the first answer has gone out, so this waits for them."""
        target = question(case.points, 0)
        plain = Case(points=case.points, coding=case.coding)
        for _ in range(_TRIES):
            reply = await ask(self.server.port, _request(target, plain))
            if HIT in reply.head and reply.header("Content-Encoding") == _content_encoding(case.coding):
                break
            await asyncio.sleep(0.01)
        _check(plain, reply)
        request = _request(target, case, reply.header("ETag"))
        reply = await ask(self.server.port, request)
        _check(case, reply)
        return Ready(request=request, expected=Expected(status=case.status, body_bytes=len(reply.body), marker=HIT))


def _request(target: str, case: Case, etag: str = "") -> bytes:
    validator = {"If_None_Match": etag} if case.not_modified else {}
    return get(target, Accept="application/json", Accept_Encoding=case.coding, **validator)


def _content_encoding(coding: Coding) -> str:
    return "" if coding is Coding.IDENTITY else coding


def _check(case: Case, reply: Reply) -> None:
    right = (
        reply.status == case.status
        and reply.header("ETag") != ""
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
