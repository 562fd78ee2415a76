"""An answer as a response: only headers of our own, nothing of the upstream's."""

import asyncio
import math
from dataclasses import replace

from aiohttp import web

from proxy.core.freshness.entry import Coding
from proxy.core.freshness.outcome import Detail, Outcome, cache_status
from proxy.core.http.validators import etag, matched
from proxy.core.question.query import Query
from proxy.service.answering import Represented
from proxy.web.reply.chunks import CHUNK_BYTES, chunks

# Browsers, and proxies before this one, must revalidate what they keep. A 304 costs little, and so this proxy alone decides how
# old an answer may be.
CACHE_CONTROL = "private, no-cache"
_SHOWN_NAMES = 5
# aiohttp joins head and body, to send them at once. From here on copying the body costs more than sending the head by itself.
_JOIN_BYTES = 65_536


class BodyResponse(web.Response):
    """Releases its body once written: the server holds a response until its connection's next request, perhaps for hours."""

    async def write_eof(self, data: bytes = b"") -> None:
        """Write a large body chunk by chunk, as the client reads it, then the end; let go of the body."""
        body = self.body
        if isinstance(body, bytes) and len(body) > _JOIN_BYTES and self._payload_writer is not None:
            self._payload_writer.send_headers()
        if isinstance(body, bytes) and len(body) > CHUNK_BYTES and not self._must_be_empty_body:
            for chunk in chunks(body):
                await self.write(chunk)
                # Other tasks have their turn in between, even if the client reads as fast as this writes.
                await asyncio.sleep(0)
            self.body = None
        await super().write_eof(data)
        self.body = None


def respond(found: Represented, query: Query, if_none_match: str | None) -> web.Response:
    """Return the response to a GET or HEAD: a 304 without a body if the client has the answer already."""
    answer, coding = found.answer, found.coding
    headers = {
        "Cache-Control": CACHE_CONTROL,
        "Vary": "Accept-Encoding",
        "Age": str(math.floor(answer.age_s)),
        "Cache-Status": cache_status(_with_unknown(answer.outcome, query)),
    }
    if answer.entry.through is not None:
        headers["X-Pluto-Complete-Through"] = str(answer.entry.through)
    if answer.entry.status == 200:
        had = matched(if_none_match, answer.entry, coding) if if_none_match is not None else None
        headers["ETag"] = etag(answer.entry, had or coding)
        if had is not None:
            return web.Response(status=304, headers=headers)
    headers["Content-Type"] = "application/json"
    if coding is not Coding.IDENTITY:
        headers["Content-Encoding"] = coding
    return BodyResponse(status=answer.entry.status, body=found.body, headers=headers)


def _with_unknown(outcome: Outcome, query: Query) -> Outcome:
    if not query.unknown:
        return outcome
    dropped = f"{Detail.UNKNOWN}: {', '.join(query.unknown[:_SHOWN_NAMES])}"
    return replace(outcome, detail=f"{outcome.detail}; {dropped}" if outcome.detail else dropped)
