"""Answers, and how they are put on the wire: chunked, encoded on request, with the upstream's headers."""

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from email.utils import formatdate

from aiohttp import web

from proxy.standin.jsvalues import stringify

JSON = "application/json"
TEXT = "text/plain; charset=UTF-8"
HTML = "text/html; charset=utf-8"
Headers = tuple[tuple[str, str], ...]

KEEP_ALIVE_S = 5
CHUNK_BYTES = 64 * 1024
# The application's headers, as recorded, and two that no proxy may hand on to another client.
APPLICATION_HEADERS: Headers = (
    ("vary", "rsc, next-router-state-tree, next-router-prefetch, next-router-segment-prefetch"),
    ("vary", "Origin"),
    ("access-control-allow-credentials", "true"),
    ("access-control-expose-headers", "Content-Type,Transfer-Encoding"),
    ("set-cookie", "session=standin; Path=/"),
    ("x-powered-by", "standin"),
)
_WINDOW_BITS = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A status, a body (whole, or in pieces made while it is sent), and the headers that belong to it.

    `rows` is for the counters; `encodable` says whether the body is compressed for clients that take that.
    """

    status: int = 200
    body: bytes | Iterable[bytes] = b""
    content_type: str = JSON
    headers: Headers = APPLICATION_HEADERS
    rows: int = 0
    close: bool = False
    encodable: bool = True

    def pieces(self) -> Iterator[bytes]:
        """The body in pieces of 64 KiB at most, as they are to be sent."""
        if not isinstance(self.body, bytes):
            yield from self.body
            return
        for start in range(0, len(self.body), CHUNK_BYTES):
            yield self.body[start : start + CHUNK_BYTES]


def json_answer(value: object, status: int = 200, *, rows: int = 0) -> Answer:
    """Compact JSON with raw UTF-8, as JSON.stringify makes it."""
    return Answer(status=status, rows=rows, body=stringify(value).encode("utf-8", "replace"))


def text_answer(text: str, status: int) -> Answer:
    """Hono's plain text."""
    return Answer(status=status, body=text.encode(), content_type=TEXT)


def accepted_encoding(accept_encoding: str) -> str | None:
    """The upstream's rule: gzip, else deflate, if the header names it anywhere; qualities and `*` mean nothing."""
    return next((encoding for encoding in ("gzip", "deflate") if encoding in accept_encoding), None)


def encode(pieces: Iterable[bytes], encoding: str | None) -> Iterator[bytes]:
    """The pieces as they go over the wire; none is empty."""
    if encoding is None:
        yield from filter(None, pieces)
        return
    compressor = zlib.compressobj(wbits=_WINDOW_BITS[encoding])
    for piece in pieces:
        if compressed := compressor.compress(piece):
            yield compressed
    yield compressor.flush()


async def start(request: web.Request, answer: Answer, *, encoding: str | None, now_s: float) -> web.StreamResponse:
    """Send the headers. `now_s` becomes the Date (wall seconds)."""
    response = web.StreamResponse(status=answer.status)
    for name, value in answer.headers:
        response.headers.add(name, value)
    response.headers["Server"] = "standin"
    response.headers["Date"] = formatdate(now_s, usegmt=True)
    if answer.content_type:
        response.headers["Content-Type"] = answer.content_type
    if encoding:
        response.headers["Content-Encoding"] = encoding
    if request.keep_alive and not answer.close:
        response.headers["Connection"] = "keep-alive"
        response.headers["Keep-Alive"] = f"timeout={KEEP_ALIVE_S}"
    else:
        response.force_close()
    await response.prepare(request)
    return response
