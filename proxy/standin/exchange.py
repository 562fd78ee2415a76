"""One request on its way through the stand-in: the rate limit, the plan of faults, the route, the wire."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

from aiohttp import web

from proxy.standin import ingest, misbehaviour, routes
from proxy.standin.answers import Answer, accepted_encoding, encode, start
from proxy.standin.asked import Asked, Upstream
from proxy.standin.counters import Call, Counters
from proxy.standin.faults import METRICS_PATH, Fate, Fault, FaultKind, Faults
from proxy.standin.querystring import split_target
from proxy.standin.ratelimit import RateLimit

# Node's limit for a request line and its headers together.
MAX_HEAD_BYTES = 16 * 1024
RATE_LIMIT_HEADERS = (("retry-after", "2"),)


class Standing(Upstream, Protocol):
    """What an exchange needs of the stand-in."""

    faults: Faults
    counters: Counters
    rate_limit: RateLimit | None
    gzip: bool
    closing: asyncio.Event
    sleep: Callable[[float], Awaitable[None]]


class Exchange:
    """One counted request, from its arrival to the end of its answer."""

    def __init__(self, standing: Standing, request: web.Request) -> None:
        self._standing = standing
        self._request = request
        path, query = split_target(request.raw_path)
        authorization = request.headers.get("Authorization")
        self._asked = Asked(path=path, query=query or "", authorization=authorization, host=request.host)
        self._call: Call = standing.counters.begin(request.method, path, query, request.headers)

    async def run(self) -> web.StreamResponse:
        """Answer, or misbehave as planned."""
        try:
            if self._is_rate_limited():
                return await self._send(misbehaviour.firewall_error(429, RATE_LIMIT_HEADERS))
            fate = self._standing.faults.take(self._asked.path, self._asked.query)
            self._standing.counters.by_fault.update(fault.kind for fault in fate.faults)
            return await self._suffer(fate)
        finally:
            self._standing.counters.end(self._call)

    def _is_rate_limited(self) -> bool:
        limit = self._standing.rate_limit
        if limit is None or self._asked.path != METRICS_PATH or limit.allow():
            return False
        self._standing.counters.rate_limited += 1
        return True

    async def _suffer(self, fate: Fate) -> web.StreamResponse:
        for fault in fate.faults:
            if not fault.late:
                await self._wait(fault)
        now_s = self._standing.clock()
        answer = (fate.answer and misbehaviour.answer_of(fate.answer, now_s)) or await self._true_answer()
        for fault in fate.faults:
            if fault.late:
                await self._wait(fault)
        match fate.answer:
            case Fault(kind=FaultKind.HANG):
                await self._standing.closing.wait()
                return self._cut()
            case Fault(kind=FaultKind.CUT_HEADERS):
                return self._cut()
            case Fault(kind=FaultKind.CUT_BODY, after_bytes=after_bytes):
                return await self._send_part(answer, after_bytes)
            case Fault(kind=FaultKind.GZIP):
                return await self._send(answer, encoding="gzip")
            case _:
                return await self._send(answer)

    async def _wait(self, fault: Fault) -> None:
        """Hold the call for a fault's delay, and until its gate opens or the stand-in ends."""
        if fault.delay_s:
            await self._standing.sleep(fault.delay_s)
        if fault.gate is None:
            return
        waits = [asyncio.ensure_future(event.wait()) for event in (fault.gate, self._standing.closing)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _true_answer(self) -> Answer:
        request = self._request
        head_bytes = len(request.raw_path) + sum(len(name) + len(value) + 4 for name, value in request.raw_headers)
        if head_bytes > MAX_HEAD_BYTES:
            return Answer(status=431, content_type="", headers=(), close=True)
        if moved := routes.moved(self._asked):
            return moved
        if request.method not in ("GET", "HEAD"):
            body = await request.read()
            return ingest.answer(self._standing, self._asked, request.method, request.headers, body)
        return routes.answer(self._standing, self._asked)

    async def _send(self, answer: Answer, *, encoding: str | None = None) -> web.StreamResponse:
        """The whole answer; a HEAD's ends with its headers."""
        encoding = encoding or self._encoding(answer)
        response = await self._start(answer, encoding)
        if self._request.method != "HEAD":
            await self._write(response, encode(answer.pieces(), encoding))
        await response.write_eof()
        return response

    async def _send_part(self, answer: Answer, after_bytes: int | None) -> web.StreamResponse:
        encoding = self._encoding(answer)
        body = b"".join(encode(answer.pieces(), encoding))
        response = await self._start(answer, encoding)
        await self._write(response, filter(None, [body[: len(body) // 2 if after_bytes is None else after_bytes]]))
        return self._cut(response)

    def _encoding(self, answer: Answer) -> str | None:
        encodes = self._standing.gzip and answer.encodable and answer.status == 200
        if not encodes or self._request.method == "HEAD":
            return None
        return accepted_encoding(self._request.headers.get("Accept-Encoding", ""))

    async def _start(self, answer: Answer, encoding: str | None) -> web.StreamResponse:
        rows = 0 if self._request.method == "HEAD" else answer.rows
        self._standing.counters.answered(self._call, answer.status, rows)
        return await start(self._request, answer, encoding=encoding, now_s=self._standing.clock())

    async def _write(self, response: web.StreamResponse, pieces: Iterable[bytes]) -> None:
        for piece in pieces:
            await response.write(piece)
            self._standing.counters.sent(self._call, len(piece))

    def _cut(self, response: web.StreamResponse | None = None) -> web.StreamResponse:
        """End the connection; what was written before still arrives, the response's own end doesn't."""
        if (transport := self._request.transport) is not None:
            transport.close()
        return response or web.Response()
