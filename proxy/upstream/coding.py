"""Removing the content coding from the upstream's bodies (RFC 9110 section 8.4.1).

aiohttp decodes the codings that it knows by name. It does not know x-gzip, another name of gzip, which is decoded here. A body
in an unknown coding is refused: it must not pass for a decoded one.
"""

import asyncio
import zlib
from collections.abc import AsyncIterator

import aiohttp
from aiohttp import hdrs

from proxy.errors import UpstreamBadAnswer
from proxy.upstream.wire import Response

_DECODED_BY_AIOHTTP = frozenset({"", "identity", "gzip", "deflate", "br", "zstd"})
# Section 8.4.1.3: the same as gzip.
_GZIP = "x-gzip"
# One step gives at most so many bytes, which takes about 3 ms. A few compressed bytes can stand for gigabytes: the caller
# checks the size between steps.
_STEP_BYTES = 2**20
_GZIP_BITS = 16 + zlib.MAX_WBITS


def decoded_chunks(response: Response) -> AsyncIterator[bytes]:
    """Return the chunks of a response's body as they come, decoded.

    Raises UpstreamBadAnswer for a coding that was not asked for. Reading the chunks raises aiohttp's errors, among them
    ClientPayloadError if the body is cut off or not in its coding.
    """
    coding = ",".join(response.headers.getall(hdrs.CONTENT_ENCODING, ())).strip().lower()
    if coding in _DECODED_BY_AIOHTTP:
        return _as_it_comes(response.content)
    if coding == _GZIP:
        return gunzipped(_as_it_comes(response.content))
    response.close()
    raise UpstreamBadAnswer(
        "the upstream's answer has a content coding that was not asked for (only gzip was)", upstream_status=response.status
    )


async def _as_it_comes(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    while not content.at_eof():
        yield await content.readany()


async def gunzipped(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield the content of gzip members, at most 1 MiB at a time. Raises ClientPayloadError if they are damaged or cut off."""
    member = zlib.decompressobj(_GZIP_BITS)
    try:
        async for chunk in chunks:
            left = chunk
            while left:
                if member.eof:
                    # Several members one after the other are one body (RFC 1952 section 2.2).
                    member = zlib.decompressobj(_GZIP_BITS)
                yield member.decompress(left, _STEP_BYTES)
                left = member.unconsumed_tail or member.unused_data
                await asyncio.sleep(0)
    except zlib.error as exc:
        raise aiohttp.ClientPayloadError("no gzip") from exc
    if not member.eof:
        raise aiohttp.ClientPayloadError("the gzip stream is cut")
