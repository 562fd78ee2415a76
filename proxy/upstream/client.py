"""The upstream as the rest of the proxy sees it: a question passes the budget, is sent with the shared key, and judged."""

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

from proxy.clock import Clock
from proxy.config import model
from proxy.core.budget import CallEnd, Priority, Ticket
from proxy.core.freshness.plan import Condition
from proxy.core.http.retry_after import LEAST_S, read_retry_after
from proxy.core.pieces import Work, pieces
from proxy.core.raised import drop_frames
from proxy.errors import (
    AnswerTooLarge,
    KeyRefused,
    UpstreamBadAnswer,
    UpstreamBusy,
    UpstreamError,
    UpstreamFailed,
    UpstreamTimeout,
)
from proxy.slices import in_slices
from proxy.telemetry import Telemetry
from proxy.upstream.credential import Credential, Key
from proxy.upstream.exchange import Bounds, Exchange
from proxy.upstream.refusal import MESSAGE, Refusal
from proxy.upstream.reply import BUSY, Reply, error_of
from proxy.upstream.turnstile import Turnstile, too_busy

# Checking rows takes about 1.3 ms a megabyte: so much is done at once, as it is a little faster than cutting it.
_SMALL_BYTES = 2**19
# What is larger than this and cannot be cut is checked in a thread.
_LARGE_BYTES = 2**20
# A second try comes a moment later, not in step with everybody else's.
_JITTER_S = (0.05, 0.25)
# A call that got less than so much of the deadline for itself, since the line took the rest, says nothing about the upstream
# when it is cut short.
_FAIR_SHARE = 0.5
Check = Callable[[bytes], int | None]
Parsed = TypeVar("Parsed")
Parsed_co = TypeVar("Parsed_co", covariant=True)


class Parser(Protocol[Parsed_co]):
    """Parses a body. Raises ValueError where that isn't possible; else the body has the documented shape."""

    def __call__(self, body: bytes, *, sent_at_s: float) -> Work[Parsed_co]:
        """`sent_at_s`: the wall time at which it was asked for."""


@dataclass(frozen=True, slots=True)
class _Reading(Generic[Parsed]):
    """What is done with the body of a 200."""

    check: Check
    parser: Parser[Parsed] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judged(Generic[Parsed]):
    """What became of a call: how it ended for the budget, and the reply or the error."""

    ended: CallEnd
    reply: Reply[Parsed] | None = None
    error: UpstreamError | None = None
    named_s: float | None = None


class Upstream:
    """Asks pluto-api. There is no other way to it."""

    def __init__(
        self,
        *,
        settings: model.Upstream,
        credential: Credential,
        clock: Clock,
        exchange: Exchange,
        turnstile: Turnstile,
        telemetry: Telemetry,
    ) -> None:
        self._settings = settings
        self._credential = credential
        self._clock = clock
        self._exchange = exchange
        self._turnstile = turnstile
        self._telemetry = telemetry
        self._refusal = Refusal(clock)
        self.unreachable: str | None = None
        """Why the last call brought nothing at all, not even a status; None where it did."""

    @property
    def url(self) -> str:
        """The base URL."""
        return self._settings.url

    def key(self) -> Key:
        """Return the shared key to use now."""
        return self._credential.current()

    def condition(self) -> Condition:
        """Say whether asking has any prospect now."""
        if self._refusal.refused(self.key().fingerprint):
            return Condition.KEY_REFUSED
        return Condition.RESTING if self._turnstile.resting else Condition.OPEN

    def ticket(self, priority: Priority, *, client: str = "", refreshed_s: float = 0.0) -> Ticket:
        """Return a ticket for one question; a person's is good for upstream.deadline_s from now."""
        ticket = Ticket(priority=priority, client=client, refreshed_s=refreshed_s)
        if priority is Priority.PERSON:
            ticket.deadline_s = self.deadline_s()
        return ticket

    def deadline_s(self) -> float:
        """Return the monotonic time until which whoever asks now waits."""
        return self._clock.monotonic_s() + self._settings.deadline_s

    def is_unsent(self, ticket: Ticket) -> bool:
        """Tell whether a ticket's call still stands in the line."""
        return self._turnstile.is_waiting(ticket)

    def wait_s(self, priority: Priority) -> float:
        """Return how long a call that came now would probably wait, in seconds."""
        return self._turnstile.wait_s(priority)

    def promote(self, ticket: Ticket, *, client: str, deadline_s: float) -> None:
        """Let a call that stands in the line go as a person's; see Turnstile.promote. Raises UpstreamBusy."""
        self._turnstile.promote(ticket, client=client, deadline_s=min(self.deadline_s(), deadline_s))

    async def get(
        self, target: str, ticket: Ticket, check: Check, *, bounds: Bounds | None = None, parser: Parser[Parsed] | None = None
    ) -> Reply[Parsed]:
        """Ask for a path and query and return a 200 whose body `check` accepts, or the upstream's own 4xx.

        `check` raises ValueError for a body that isn't of the documented shape. Raises UpstreamError. Waits for the budget,
        tries again what may well succeed the next moment, and keeps to the ticket's deadline in all of it. `bounds` bound the
        answer further than upstream.max_body_bytes does. `parser` reads the body in place of `check`, which reads it only
        where the parser cannot.
        """
        most = Bounds(bytes=self._settings.max_body_bytes)
        if bounds is not None:
            most = replace(bounds, bytes=min(bounds.bytes, most.bytes))
        while True:
            try:
                return await self._ask(target, ticket, _Reading(check, parser), most)
            except UpstreamError as exc:
                # The frames that it comes from hold what there was of a body, and in `_Judged` the error itself.
                drop_frames(exc)
                if not self._may_retry(exc, ticket):
                    raise
                if not isinstance(exc, UpstreamBusy):
                    await asyncio.sleep(random.uniform(*_JITTER_S))  # noqa: S311 -- no secret depends on it

    def _may_retry(self, error: UpstreamError, ticket: Ticket) -> bool:
        """Whether to try again.

        A person's call that was told 429 or 503 goes back into the line, which the cool-down holds up: nobody is asked more
        often by that. What broke off is sent again a moment later, as long as such calls are a tenth of all at most.
        """
        if isinstance(error, UpstreamBusy):
            return error.upstream_status is not None and ticket.priority is Priority.PERSON
        in_time = self._clock.monotonic_s() + _JITTER_S[1] < ticket.deadline_s
        return error.transient and in_time and self._turnstile.take_retry()

    async def _ask(self, target: str, ticket: Ticket, reading: _Reading[Parsed], most: Bounds) -> Reply[Parsed]:
        self._refusal.check(self.key().fingerprint)
        await self._enter(ticket)
        key = self.key()
        started_s = self._clock.monotonic_s()
        timeout_s = min(self._settings.deadline_s, ticket.deadline_s - started_s)
        judged: _Judged[Parsed] = _Judged(ended=CallEnd.ABANDONED)
        try:
            if not self._refusal.book(key.fingerprint):
                raise KeyRefused(MESSAGE)
            reply = await self._exchange.send(target, key, timeout_s=timeout_s, bounds=most)
            self.unreachable = None
            judged = await self._judge(reply, reading)
        except UpstreamTimeout as exc:
            if timeout_s < self._settings.deadline_s * _FAIR_SHARE:
                judged = _Judged(
                    ended=CallEnd.ABANDONED, error=too_busy(self._turnstile.wait_s(ticket.priority, ticket.client))
                )
            else:
                self.unreachable = exc.detail
                judged = _Judged(ended=CallEnd.FAILED, error=exc)
        except UpstreamError as exc:
            if isinstance(exc, UpstreamFailed):
                self.unreachable = exc.detail
            judged = _Judged(ended=_ended(exc), error=exc)
        finally:
            took_s = self._clock.monotonic_s() - started_s
            self._turnstile.leave(ticket, judged.ended, took_s=took_s, named_s=judged.named_s)
        return self._settle(judged)

    async def _enter(self, ticket: Ticket) -> None:
        started_s = self._clock.monotonic_s()
        try:
            await self._turnstile.enter(ticket)
        except TimeoutError:
            raise too_busy(self._turnstile.wait_s(ticket.priority, ticket.client)) from None
        finally:
            self._telemetry.observe_wait(ticket.priority.name.lower(), self._clock.monotonic_s() - started_s)

    async def _judge(self, reply: Reply[Parsed], reading: _Reading[Parsed]) -> _Judged[Parsed]:
        if reply.status in BUSY:
            most_s = self._settings.cooldown_max_s
            named_s = read_retry_after(reply.headers.get("retry-after"), reply.headers.get("date"), most_s=most_s)
            return _Judged(ended=CallEnd.BUSY, reply=reply, named_s=named_s)
        error = error_of(reply)
        if error is None and reply.status == 200:
            reply, error = await _read(reply, reading)
        self._note_standing(reply, error)
        failed = error is not None and not isinstance(error, KeyRefused)
        return _Judged(ended=CallEnd.FAILED if failed else CallEnd.ANSWERED, reply=reply, error=error)

    def _note_standing(self, reply: Reply[object], error: UpstreamError | None) -> None:
        """Remember whether the key was refused or accepted. What was said to a key that isn't in use any more is no news."""
        if reply.fingerprint != self.key().fingerprint:
            return
        if isinstance(error, KeyRefused):
            self._refusal.note_refused(reply.fingerprint)
        elif error is None:
            self._refusal.note_accepted(reply.fingerprint, sent_s=reply.sent_monotonic_s)

    def _settle(self, judged: _Judged[Parsed]) -> Reply[Parsed]:
        if judged.ended is CallEnd.BUSY and judged.reply is not None:
            status = judged.reply.status
            wait_s = max(self._turnstile.remaining_s, LEAST_S)
            raise UpstreamBusy(f"the upstream answered {status}", retry_after_s=wait_s, upstream_status=status)
        if judged.error is not None:
            raise judged.error
        if judged.reply is None:
            raise UpstreamFailed("the call was given up")
        return judged.reply


def _ended(error: UpstreamError) -> CallEnd:
    """Say how a call without a reply ended for the budget."""
    match error:
        case KeyRefused():
            return CallEnd.ABANDONED  # never sent
        case AnswerTooLarge():
            return CallEnd.ANSWERED  # the question's fault
        case _:
            return CallEnd.FAILED


async def _read(reply: Reply[Parsed], reading: _Reading[Parsed]) -> tuple[Reply[Parsed], UpstreamBadAnswer | None]:
    """Return a reply as it was read, or with what is wrong with it."""
    if reading.parser is not None:
        with suppress(ValueError):
            return replace(reply, parsed=await in_slices(reading.parser(reply.body, sent_at_s=reply.sent_at_s))), None
    try:
        elements = await check_body(reply.body, reading.check)
    except ValueError as exc:
        message = f"the upstream's answer does not have the documented shape: {exc}"
        return reply, UpstreamBadAnswer(message, upstream_status=reply.status)
    return replace(reply, elements=elements), None


async def check_body(body: bytes, check: Check) -> int | None:
    """Check a large body piece by piece; where one of them isn't right, the cuts may have been wrong: only the whole tells.

    Returns what `check` does of the whole.
    """
    if len(body) > _SMALL_BYTES:
        with suppress(ValueError):
            return await in_slices(_checking(body, check))
    if len(body) > _LARGE_BYTES:
        return await asyncio.to_thread(check, body)
    return check(body)


def _checking(body: bytes, check: Check) -> Work[int | None]:
    elements: int | None = 0
    for piece in pieces(body):
        if len(piece) > _LARGE_BYTES:
            raise ValueError("it cannot be cut")
        more = check(piece)
        elements = None if elements is None or more is None else elements + more
        yield None
    return elements
