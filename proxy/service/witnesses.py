"""Whether the upstream still sends as much as it was seen to.

What was taken to be whole, because as much was sent a moment before, is a claim (`core.limits`). Its witness, the question that
showed how much is sent, is asked again within a minute. Where less comes by now, whatever was computed with may lack rows: all
of it is forgotten, and asked for again.
"""

import asyncio
from collections.abc import Callable

import structlog

from proxy.clock import Clock
from proxy.core.answers import splitting
from proxy.core.budget import Priority
from proxy.core.limits import Claim, Limits
from proxy.core.metrics_query import MetricsQuery
from proxy.core.proof import size_of, tails_of
from proxy.errors import UpstreamError
from proxy.slices import in_slices
from proxy.upstream.client import Upstream

# How often it is looked at whether a witness is due.
_LOOK_S = 5.0
_log = structlog.get_logger()


class _Gone(Exception):
    """A witness that the upstream refuses, or answers so that nothing can be told: it confirms nothing any more."""


class Witnesses:
    """Asks witnesses again, one at a time."""

    def __init__(self, upstream: Upstream, limits: Limits, clock: Clock, forget: Callable[[], None]) -> None:
        """`forget` is called where less is sent than was counted on: forgets all that was computed with."""
        self._upstream = upstream
        self._limits = limits
        self._clock = clock
        self._forget = forget
        self._asking: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """See to it that witnesses are asked in time, also where nobody asks anything."""
        while True:
            await asyncio.sleep(_LOOK_S)
            self.look()

    def look(self) -> None:
        """Ask a witness again, where one is due."""
        claim = self._limits.due(self._clock.now_s())
        if claim is not None and (self._asking is None or self._asking.done()):
            self._asking = asyncio.get_running_loop().create_task(self._hear(claim), name="witnesses.hear")

    async def settled(self) -> None:
        """Wait until the witness that is being asked has answered."""
        if self._asking is not None:
            await asyncio.wait([self._asking])

    async def aclose(self) -> None:
        """End what is under way."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait([self._asking])

    async def _hear(self, claim: Claim) -> None:
        try:
            confirmed = await self._confirms(claim, claim.tail) or await self._confirms(claim, claim.witness.question)
        except _Gone:
            confirmed = False
        except UpstreamError as exc:
            _log.info("series.witness_failed", code=exc.code)
            self._limits.put_off(claim, self._clock.now_s())
            return
        except Exception:  # noqa: BLE001 -- nobody waits for it who could tell
            _log.exception("series.witness_crashed", key=claim.witness.question.query.target)
            confirmed = False
        if not confirmed:
            _log.warning("series.limits_in_doubt", key=claim.witness.question.query.target, expected_rows=claim.size.rows)
            self._limits.forget()
            self._forget()

    async def _confirms(self, claim: Claim, question: MetricsQuery) -> bool:
        """Ask a question; tell whether as much was sent as a claim needs. Raises UpstreamError, and _Gone."""
        asked_s, query = self._clock.now_s(), question.query
        reply = await self._upstream.get(query.target, self._upstream.ticket(Priority.REFRESH), query.route.check)
        if reply.status != 200:
            raise _Gone
        try:
            told = await in_slices(splitting(reply.body, question, sent_at_s=asked_s))
        except ValueError:
            raise _Gone from None  # nothing is computed from such an answer
        size = size_of(told, len(reply.body))
        self._limits.note(question, size, asked_s, tails_of(told))
        return size.holds(claim.size)
