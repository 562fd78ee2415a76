"""An answer as a response: only headers of our own, nothing of the upstream's."""

import math
from dataclasses import replace

from aiohttp import web

from proxy.core.outcome import Outcome, cache_status
from proxy.core.query import Query
from proxy.service.reader import Answer

_SHOWN_NAMES = 5


def respond(answer: Answer, query: Query) -> web.Response:
    """Return the response to a GET or HEAD."""
    return web.Response(
        status=answer.entry.status,
        body=answer.entry.body,
        headers={
            "Content-Type": "application/json",
            "Cache-Control": "private, no-cache",
            "Age": str(math.floor(answer.age_s)),
            "Cache-Status": cache_status(_with_unknown(answer.outcome, query)),
        },
    )


def _with_unknown(outcome: Outcome, query: Query) -> Outcome:
    if not query.unknown:
        return outcome
    names = ", ".join(query.unknown[:_SHOWN_NAMES])
    dropped = f"ignored unknown parameters: {names}"
    return replace(outcome, detail=f"{outcome.detail}; {dropped}" if outcome.detail else dropped)
