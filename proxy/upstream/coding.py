"""The upstream's bodies without their content coding (RFC 9110 section 8.4.1).

aiohttp undoes the codings that it knows by these names; gzip has another name beside, and what nobody knows must not pass as
what was asked for.
"""

import asyncio
import zlib
from collections.abc import AsyncIterator

import aiohttp

from proxy.errors import UpstreamBadAnswer

_UNDONE_ALREADY = frozenset({"", "identity", "gzip", "deflate", "br", "zstd"})
# Section 8.4.1.3: the same as gzip.
_GZIP = "x-gzip"
# So much comes out of one step, about 3 ms: a few bytes can stand for gigabytes, and the caller looks at the size in between.
_STEP_BYTES = 2**20
_GZIP_BITS = 16 + zlib.MAX_WBITS


def undone(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Return a body's pieces as they come, without its coding.

    Raises UpstreamBadAnswer for a coding that nobody asked for; while it is read, aiohttp's errors, ClientPayloadError among
    them where the body is cut or is not what its coding says.
    """
    coding = ",".join(response.headers.getall("Content-Encoding", ())).strip().lower()
    if coding in _UNDONE_ALREADY:
        return response.content.iter_any()
    if coding == _GZIP:
        return gunzipped(response.content.iter_any())
    response.close()
    raise UpstreamBadAnswer(
        "the upstream's answer has a content coding that was not asked for (only gzip was)", upstream_status=response.status
    )


async def gunzipped(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield what gzip members stand for, at most 1 MiB at a time. Raises ClientPayloadError where they are damaged or cut."""
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
