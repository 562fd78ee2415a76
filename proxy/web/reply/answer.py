"""An answer as a response: only headers of our own, nothing of the upstream's."""

import asyncio
import math
from dataclasses import dataclass, replace

from aiohttp import web

from proxy.core.freshness.entry import Coding
from proxy.core.freshness.outcome import Outcome, cache_status
from proxy.core.http.validators import etag, matched
from proxy.core.question.query import Query
from proxy.service.reader import Answer
from proxy.web.reply.portions import PORTION_BYTES, portions

# Browsers and the proxies before them keep nothing without asking: they are told in 304s that they have it already, and how old
# it may be is promised in one place, here.
CACHE_CONTROL = "private, no-cache"
_SHOWN_NAMES = 5
# So much is handed to the transport at a time: about 0.5 ms.
_PART_BYTES = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Representation:
    """The form in which an entry is sent."""

    coding: Coding
    body: bytes


class _LetGo(web.Response):
    """Holds its body until it is written: the server keeps a response until its connection's next request, maybe for hours."""

    async def write_eof(self, data: bytes = b"") -> None:
        """Write a large body portion by portion, as the client reads it, then the end; let go of the body."""
        body = self.body
        if isinstance(body, bytes) and len(body) > PORTION_BYTES and not self._must_be_empty_body:
            for portion in portions(body):
                await self.write(portion)
                # A client may take it as fast as it comes.
                await asyncio.sleep(0)
            self.body = None
        await super().write_eof(data)
        self.body = None


def respond(answer: Answer, query: Query, form: Representation, if_none_match: str | None) -> web.Response:
    """Return the response to a GET or HEAD: 304 without a body where the client has the answer already."""
    headers = {
        "Cache-Control": CACHE_CONTROL,
        "Vary": "Accept-Encoding",
        "Age": str(math.floor(answer.age_s)),
        "Cache-Status": cache_status(_with_unknown(answer.outcome, query)),
    }
    if answer.entry.through is not None:
        headers["X-Pluto-Complete-Through"] = str(answer.entry.through)
    if answer.entry.status == 200:
        had = matched(if_none_match, answer.entry, form.coding) if if_none_match is not None else None
        headers["ETag"] = etag(answer.entry, had or form.coding)
        if had is not None:
            return web.Response(status=304, headers=headers)
    headers["Content-Type"] = "application/json"
    if form.coding is not Coding.IDENTITY:
        headers["Content-Encoding"] = form.coding
    return _LetGo(status=answer.entry.status, body=form.body, headers=headers)


def _with_unknown(outcome: Outcome, query: Query) -> Outcome:
    if not query.unknown:
        return outcome
    dropped = f"ignored unknown parameters: {', '.join(query.unknown[:_SHOWN_NAMES])}"
    return replace(outcome, detail=f"{outcome.detail}; {dropped}" if outcome.detail else dropped)
