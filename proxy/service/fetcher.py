"""Asking the upstream for one question: at most one call under way for each, its answer checked, stored and remembered."""

import asyncio
from dataclasses import dataclass, replace

import structlog

from proxy.clock import Clock
from proxy.core.entry import Entry, digest_of
from proxy.core.freshness import Lifetimes, Verdict, judge
from proxy.core.query import Query
from proxy.errors import KeyRefused, UpstreamBadAnswer, UpstreamBusy, UpstreamError
from proxy.flight import Flight, Flights
from proxy.service.encoder import Encoder
from proxy.service.memo import Failure, Memo
from proxy.service.tenancy import Tenancy
from proxy.store.tiers import TieredStore
from proxy.upstream.client import Upstream
from proxy.upstream.reply import Reply

# Checking a body takes about 5 ms a megabyte; larger ones are checked in a thread.
_LARGE_BYTES = 2**20
_OK = 200
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What a flight brought.

    `stored`: whether it is kept. `asked`: False where somebody else's flight had landed just before, and its entry serves.
    `elapsed_s`: how long the upstream took.
    """

    entry: Entry
    stored: bool
    asked: bool = True
    elapsed_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What a caller needs of a flight.

    `not_before_s`: the wall time at which it must have begun or later. `persist`: the answer may be written to disk.
    `landings`: the count of landed flights when the caller looked into the store.
    """

    not_before_s: float
    persist: bool
    landings: int


class Fetcher:
    """The only way from the service to the upstream."""

    def __init__(
        self,
        *,
        upstream: Upstream,
        store: TieredStore,
        tenancy: Tenancy,
        memo: Memo,
        encoder: Encoder,
        lifetimes: Lifetimes,
        clock: Clock,
        max_object_bytes: int,
    ) -> None:
        self._upstream = upstream
        self._store = store
        self._tenancy = tenancy
        self._memo = memo
        self._encoder = encoder
        self._lifetimes = lifetimes
        self._clock = clock
        self._max_object_bytes = max_object_bytes
        self._flights: Flights[tuple[str, str], Fetched] = Flights()
        self._persisted: set[tuple[str, str]] = set()

    @property
    def landings(self) -> int:
        """How many flights have landed so far."""
        return self._flights.landings

    @property
    def in_flight(self) -> int:
        """How many questions are being asked upstream now."""
        return len(self._flights)

    async def fetch(self, namespace: str, query: Query, need: Need) -> tuple[Fetched, bool]:
        """Return what the upstream answers, and whether the caller joined a flight that was under way.

        A flight that began too early for the caller's need is waited for, not joined; whoever waited shares the next one, so
        that demanding clients cannot start more than one call at a time. Raises UpstreamError.
        """
        key = (namespace, query.target)
        while (flight := self._flights.get(key)) is not None:
            if flight.started_s >= need.not_before_s:
                self._note(key, need)
                return await flight.result(), True
            await flight.ended()
        return await self._start(key, query, need).result(), False

    def refresh(self, namespace: str, query: Query, need: Need) -> None:
        """See to it that a flight is under way, without waiting for it."""
        key = (namespace, query.target)
        if self._flights.get(key) is None:
            self._start(key, query, need)

    async def aclose(self) -> None:
        """End what is under way."""
        await self._flights.aclose()

    def _start(self, key: tuple[str, str], query: Query, need: Need) -> Flight[Fetched]:
        self._note(key, need)
        return self._flights.start(key, lambda: self._call(key, query, need), now_s=self._clock.now_s())

    def _note(self, key: tuple[str, str], need: Need) -> None:
        if need.persist:
            self._persisted.add(key)

    async def _call(self, key: tuple[str, str], query: Query, need: Need) -> Fetched:
        namespace, target = key
        try:
            if (landed := await self._landed_meanwhile(key, need)) is not None:
                return landed
            reply = await self._upstream.get(target)
            await _check(query, reply)
            return self._keep(key, reply)
        except UpstreamError as exc:
            self._remember(namespace, target, exc)
            raise
        finally:
            self._persisted.discard(key)

    async def _landed_meanwhile(self, key: tuple[str, str], need: Need) -> Fetched | None:
        """Look again where flights have landed since the caller looked: this very question may have been answered."""
        if self.landings == need.landings:
            return None
        entry = await self._store.get(*key)
        if entry is None or entry.sent_at_s < need.not_before_s:
            return None
        if judge(entry, self._clock.now_s(), self._lifetimes) is not Verdict.FRESH:
            return None
        return Fetched(entry=entry, stored=True, asked=False)

    def _keep(self, key: tuple[str, str], reply: Reply) -> Fetched:
        entry = Entry(body=reply.body, sent_at_s=reply.sent_at_s, digest=digest_of(reply.body), status=reply.status)
        namespace, target = self._place(key, reply)
        if reply.status != _OK:
            self._memo.remember(namespace, target, entry)
            return Fetched(entry=entry, stored=False, elapsed_s=reply.elapsed_s)
        self._memo.forget(namespace, target)
        stored = len(entry.body) <= self._max_object_bytes
        if stored:
            entry = self._like_before(namespace, target, entry)
            self._encoder.keep(namespace, target, entry, persist=key in self._persisted)
        return Fetched(entry=entry, stored=stored, elapsed_s=reply.elapsed_s)

    def _like_before(self, namespace: str, target: str, entry: Entry) -> Entry:
        """Take over the compressed forms of the entry before it where a refresh brought the same bytes."""
        before = self._store.memory.peek(namespace, target)
        if before is None or before.digest != entry.digest:
            return entry
        return replace(entry, body=before.body, encoded=before.encoded)

    def _place(self, key: tuple[str, str], reply: Reply) -> tuple[str, str]:
        """Return where an answer belongs: to the key it was fetched with, which may have changed or become known meanwhile."""
        return self._tenancy.namespace_of(reply.fingerprint), key[1]

    def _remember(self, namespace: str, target: str, error: UpstreamError) -> None:
        _log.warning("fetch.failed", key=target, code=error.code, reason=error.detail, upstream_status=error.upstream_status)
        # Those two are remembered where they belong, for the upstream as a whole and with times of their own.
        if not isinstance(error, UpstreamBusy | KeyRefused):
            self._memo.remember(namespace, target, Failure(error=error))


async def _check(query: Query, reply: Reply) -> None:
    if reply.status != _OK:
        return
    try:
        if len(reply.body) > _LARGE_BYTES:
            await asyncio.to_thread(query.route.check, reply.body)
        else:
            query.route.check(reply.body)
    except ValueError as exc:
        message = f"the upstream's answer does not have the documented shape: {exc}"
        raise UpstreamBadAnswer(message, upstream_status=reply.status) from None
