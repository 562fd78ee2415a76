"""The upstream as the rest of the proxy sees it: a query waits for the budget, is sent with the shared key, and judged."""

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

from proxy.clock import Clock
from proxy.core.budget import CallEnd, Priority, Ticket
from proxy.core.freshness.plan import Condition
from proxy.core.http.retry_after import LEAST_S, read_retry_after
from proxy.core.kept_errors import drop_frames
from proxy.core.pieces import Work, pieces
from proxy.errors import (
    AnswerTooLarge,
    KeyRefused,
    Offline,
    UpstreamBadAnswer,
    UpstreamBusy,
    UpstreamError,
    UpstreamFailed,
    UpstreamTimeout,
)
from proxy.settings import Settings
from proxy.slices import in_slices
from proxy.telemetry import Telemetry
from proxy.upstream.credential import Credential, Key
from proxy.upstream.exchange import Bounds, Exchange
from proxy.upstream.refusal import KEY_REFUSED, Refusal
from proxy.upstream.reply import BUSY_STATUSES, Reply, error_of, is_json_error
from proxy.upstream.turnstile import Turnstile, too_busy

# Checking rows takes about 1.3 ms a megabyte. A body up to this size is checked at once, which is a little faster than in
# pieces.
_SMALL_BYTES = 2**19
# A body that is larger than this and cannot be cut into pieces is checked in a thread.
_LARGE_BYTES = 2**20
# A second try comes after a random delay, so that calls that failed together are not sent again together.
_JITTER_S = (0.05, 0.25)
# If waiting in the line left a call less than this part of the deadline, its timeout says nothing about the upstream.
_FAIR_SHARE = 0.5
NEVER_ASKED = "this is not stored, and pluto-api is never asked: the proxy is offline (upstream.offline)"
Check = Callable[[bytes], int | None]
"""Returns how many elements a body's list has, None where it is no list; raises ValueError for a body of another shape."""
Target = str | Callable[[Key], str]
"""A path and query; or what makes one for the key that is sent. That may raise UpstreamBusy where it can't be made yet."""
Parsed = TypeVar("Parsed")
Parsed_co = TypeVar("Parsed_co", covariant=True)


class Parser(Protocol[Parsed_co]):
    """Parses a body that has the documented shape. Raises ValueError if it cannot."""

    def __call__(self, body: bytes, *, sent_at_s: float) -> Work[Parsed_co]:
        """`sent_at_s`: the wall time at which the request was sent."""


@dataclass(frozen=True, slots=True)
class _Reading(Generic[Parsed]):
    """How the body of a 200 is read, and whether a 500 may be about the query alone."""

    check: Check
    parser: Parser[Parsed] | None
    refuses_by_500: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judged(Generic[Parsed]):
    """The result of a call: how it ended for the budget, and the reply or the error.

    `named_s`: after how many seconds the upstream wants to be asked again, where it says so (Retry-After).
    """

    ended: CallEnd
    reply: Reply[Parsed] | None = None
    error: UpstreamError | None = None
    named_s: float | None = None


class Upstream:
    """Sends queries to pluto-api. Nothing else in the proxy does."""

    def __init__(
        self,
        *,
        settings: Settings,
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
        """Why the last call brought no response, not even a status; None if it brought one."""

    @property
    def url(self) -> str:
        """The base URL."""
        return self._settings.now.upstream.url

    def key(self) -> Key:
        """Return the shared key to use now."""
        return self._credential.current()

    def condition(self) -> Condition:
        """Say whether a call could succeed now."""
        if self._settings.now.upstream.offline:
            return Condition.OFFLINE
        if self._refusal.is_refused(self.key().fingerprint):
            return Condition.KEY_REFUSED
        return Condition.RESTING if self._turnstile.resting else Condition.OPEN

    def ticket(self, priority: Priority, *, client: str = "", refreshed_s: float = 0.0) -> Ticket:
        """Return a ticket for one call. One of priority PERSON has the deadline upstream.deadline_s from now."""
        ticket = Ticket(priority=priority, client=client, refreshed_s=refreshed_s)
        if priority is Priority.PERSON:
            ticket.deadline_s = self.deadline_s()
        return ticket

    def deadline_s(self) -> float:
        """Return the deadline (monotonic time) of a request that comes now."""
        return self._clock.monotonic_s() + self._settings.now.upstream.deadline_s

    def is_unsent(self, ticket: Ticket) -> bool:
        """Tell whether a ticket's call still waits in the line."""
        return self._turnstile.is_waiting(ticket)

    def wait_s(self, priority: Priority) -> float:
        """Return how long a call that came now would probably wait, in seconds."""
        return self._turnstile.wait_s(priority)

    def promote(self, ticket: Ticket, *, client: str, deadline_s: float) -> None:
        """Give a call that waits in the line the priority PERSON. See Turnstile.promote. Raises UpstreamBusy."""
        self._turnstile.promote(ticket, client=client, deadline_s=min(self.deadline_s(), deadline_s))

    async def get(
        self,
        target: Target,
        ticket: Ticket,
        check: Check,
        *,
        bounds: Bounds | None = None,
        parser: Parser[Parsed] | None = None,
        refuses_by_500: bool = False,
    ) -> Reply[Parsed]:
        """Request a target. Return a 200 whose body `check` accepts, or the upstream's own 4xx.

        Waits for the budget, and tries again after a failure that may be over the next moment, all within the ticket's
        deadline. `bounds` limit the answer beside upstream.max_body_bytes. `parser` reads the body; `check` reads it if there
        is no parser or the parser raises ValueError. `refuses_by_500`: a 500 in the upstream's own form is held neither against
        the upstream nor for it, since it may be about the query. Raises UpstreamError: Offline at once where upstream.offline
        is set.
        """
        if self._settings.now.upstream.offline:
            raise Offline(NEVER_ASKED)
        max_bytes = int(self._settings.now.upstream.max_body_bytes)
        bounds = Bounds(bytes=max_bytes) if bounds is None else replace(bounds, bytes=min(bounds.bytes, max_bytes))
        while True:
            try:
                return await self._ask(target, ticket, _Reading(check, parser, refuses_by_500), bounds)
            except UpstreamError as exc:
                # The frames that the error went through hold what was read of a body, and in `_Judged` the error itself.
                drop_frames(exc)
                if not self._may_retry(exc, ticket):
                    raise
                if not isinstance(exc, UpstreamBusy):
                    await asyncio.sleep(random.uniform(*_JITTER_S))  # noqa: S311 -- no secret depends on it

    def _may_retry(self, error: UpstreamError, ticket: Ticket) -> bool:
        """Tell whether to try a call again.

        After a 429 or 503, a call of priority PERSON goes back into the line, which the cool-down holds up: so it does not add
        to the load. After a transient failure a call is sent again a moment later, if the budget has a retry to give: those are
        at most a tenth of all calls.
        """
        if isinstance(error, UpstreamBusy):
            return error.upstream_status is not None and ticket.priority is Priority.PERSON
        in_time = self._clock.monotonic_s() + _JITTER_S[1] < ticket.deadline_s
        return error.transient and in_time and self._turnstile.take_retry()

    async def _ask(self, target: Target, ticket: Ticket, reading: _Reading[Parsed], bounds: Bounds) -> Reply[Parsed]:
        self._refusal.check(self.key().fingerprint)
        await self._enter(ticket)
        key = self.key()
        started_s = self._clock.monotonic_s()
        timeout_s = min(self._settings.now.upstream.deadline_s, ticket.deadline_s - started_s)
        judged: _Judged[Parsed] = _Judged(ended=CallEnd.ABANDONED)
        try:
            if not self._refusal.take_try(key.fingerprint):
                raise KeyRefused(KEY_REFUSED)
            sent = target if isinstance(target, str) else target(key)
            reply = await self._exchange.send(sent, key, timeout_s=timeout_s, bounds=bounds)
            self.unreachable = None
            judged = await self._judge(reply, reading)
        except UpstreamTimeout as exc:
            if timeout_s < self._settings.now.upstream.deadline_s * _FAIR_SHARE:
                judged = _Judged(
                    ended=CallEnd.ABANDONED, error=too_busy(self._turnstile.wait_s(ticket.priority, ticket.client))
                )
            else:
                self.unreachable = exc.detail
                judged = _Judged(ended=CallEnd.FAILED, error=exc)
        except UpstreamError as exc:
            if isinstance(exc, UpstreamFailed):
                self.unreachable = exc.detail
            judged = _Judged(ended=_end_of(exc), error=exc)
        finally:
            took_s = self._clock.monotonic_s() - started_s
            self._turnstile.leave(ticket, judged.ended, took_s=took_s, named_s=judged.named_s)
        return self._result_of(judged)

    async def _enter(self, ticket: Ticket) -> None:
        started_s = self._clock.monotonic_s()
        try:
            await self._turnstile.enter(ticket)
        except TimeoutError:
            raise too_busy(self._turnstile.wait_s(ticket.priority, ticket.client)) from None
        finally:
            self._telemetry.observe_wait(ticket.priority.name.lower(), self._clock.monotonic_s() - started_s)

    async def _judge(self, reply: Reply[Parsed], reading: _Reading[Parsed]) -> _Judged[Parsed]:
        if reply.status in BUSY_STATUSES:
            most_s = self._settings.now.upstream.cooldown_max_s
            named_s = read_retry_after(reply.headers.get("retry-after"), reply.headers.get("date"), most_s=most_s)
            return _Judged(ended=CallEnd.BUSY, reply=reply, named_s=named_s)
        error = error_of(reply)
        if error is None and reply.status == 200:
            reply, error = await _read(reply, reading)
        self._note_key(reply, error)
        if reading.refuses_by_500 and reply.status == 500 and is_json_error(reply.body):
            return _Judged(ended=CallEnd.ABANDONED, reply=reply, error=error)  # it tells neither
        failed = error is not None and not isinstance(error, KeyRefused)
        return _Judged(ended=CallEnd.FAILED if failed else CallEnd.ANSWERED, reply=reply, error=error)

    def _note_key(self, reply: Reply[object], error: UpstreamError | None) -> None:
        """Note whether the upstream refused or accepted the key. A reply to a key that is no longer in use is ignored."""
        if reply.fingerprint != self.key().fingerprint:
            return
        if isinstance(error, KeyRefused):
            self._refusal.note_refused(reply.fingerprint)
        elif error is None:
            self._refusal.note_accepted(reply.fingerprint, sent_s=reply.sent_monotonic_s)

    def _result_of(self, judged: _Judged[Parsed]) -> Reply[Parsed]:
        if judged.ended is CallEnd.BUSY and judged.reply is not None:
            status = judged.reply.status
            wait_s = max(self._turnstile.remaining_s, LEAST_S)
            raise UpstreamBusy(f"the upstream answered {status}", retry_after_s=wait_s, upstream_status=status)
        if judged.error is not None:
            raise judged.error
        if judged.reply is None:
            raise UpstreamFailed("the call was given up")
        return judged.reply


def _end_of(error: UpstreamError) -> CallEnd:
    """Return how a call without a reply ended for the budget."""
    match error:
        case KeyRefused() | UpstreamBusy():
            return CallEnd.ABANDONED  # it was never sent
        case AnswerTooLarge():
            return CallEnd.ANSWERED  # the upstream works: the query asks for too much
        case _:
            return CallEnd.FAILED


async def _read(reply: Reply[Parsed], reading: _Reading[Parsed]) -> tuple[Reply[Parsed], UpstreamBadAnswer | None]:
    """Return the reply with what was read of its body, and the error if the body does not have the documented shape."""
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
    """Check a body, a large one in pieces. Return what `check` returns for the whole; raise ValueError as it does.

    If a piece is wrong, the body may have been cut in the wrong places: then the whole body is checked.
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
