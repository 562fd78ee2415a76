"""Whether the upstream still sends as much as it was seen to.

An answer that was taken to be whole because as much was sent a moment before is a claim (`core.proof.limits`). The claim's
witness, the question that showed how much is sent, is asked again within a minute. Where less is sent by then, what is known of
series may lack rows: all of it is forgotten, and asked for again.

What is known of series outlives the process, and so do the claims that are still to be confirmed: they lie in the cache file,
and their witnesses are asked first thing after a restart.
"""

import asyncio
from collections.abc import Mapping

import msgspec
import structlog

from proxy.clock import Clock
from proxy.core.budget.line import Priority
from proxy.core.freshness.entry import Entry, digest_of
from proxy.core.proof.limits import Claim, Limits
from proxy.core.proof.sizes import Size, size_of, thinned_of
from proxy.core.series.answers import splitting
from proxy.core.series.metrics_query import MetricsQuery
from proxy.errors import UpstreamError
from proxy.service.knowledge.shelves import Shelves
from proxy.service.tenancy import Tenancy
from proxy.slices import in_slices
from proxy.store import SqliteStore, UnreadError
from proxy.tasks import end_tasks
from proxy.upstream.client import Upstream
from proxy.upstream.reply import Reply

# How often, in seconds, due witnesses are looked for, and the claims written.
_PERIOD_S = 1.0
_KEY = "witnesses to be asked"
_log = structlog.get_logger()


class _Claim(msgspec.Struct, frozen=True):
    """A claim as it is written to disk: how much must be sent for a question."""

    question: MetricsQuery
    size: Size


_claims = msgspec.json.Decoder(tuple[_Claim, ...])


class _Gone(Exception):
    """The upstream refuses a witness, or its answer can't be taken apart: it confirms nothing any more."""


class Witnesses:
    """Asks witnesses again, one at a time."""

    def __init__(
        self,
        *,
        upstream: Upstream,
        limits: Limits,
        shelves: Shelves,
        tenancy: Tenancy,
        disk: SqliteStore,
        clock: Clock,
    ) -> None:
        self._upstream = upstream
        self._limits = limits
        self._shelves = shelves
        self._tenancy = tenancy
        self._disk = disk
        self._clock = clock
        self._written: Mapping[MetricsQuery, Size] = {}
        # The namespace whose claims were read.
        self._read_of: str | None = None
        self._asking: asyncio.Task[None] | None = None
        self._writing: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Ask witnesses when they are due, for as long as the process runs."""
        while True:
            await asyncio.sleep(_PERIOD_S)
            self.ask_due()

    async def open(self) -> None:
        """Read the claims that an earlier process left unconfirmed. Where the disk cannot be read, they are read later."""
        await self._read()

    def ask_due(self) -> None:
        """Write the claims, and begin to ask a witness again, where one is due."""
        if not self._are_read and (self._writing is None or self._writing.done()):
            self._writing = asyncio.get_running_loop().create_task(self.write(), name="witnesses.write")
        self._write()
        claim = self._limits.due(self._clock.now_s())
        if claim is not None and (self._asking is None or self._asking.done()):
            self._asking = asyncio.get_running_loop().create_task(self._ask_again(claim), name="witnesses.hear")

    async def write(self) -> None:
        """Write the claims, if they have changed. Until those on disk could be read, they aren't written over."""
        await self._read()
        self._write()

    @property
    def _are_read(self) -> bool:
        return self._read_of == self._tenancy.current().namespace

    async def _read(self) -> None:
        tenant = self._tenancy.current()
        namespace = tenant.namespace
        # As long as the disk hasn't told whose the key is, its claims may lie in another namespace.
        if self._are_read or not (tenant.is_recalled or tenant.known):
            return
        try:
            entry = await self._disk.read(namespace, _KEY)
        except UnreadError:
            return
        if self._are_read:
            return  # somebody else has read them meanwhile
        self._read_of = namespace
        try:
            kept = () if entry is None else _claims.decode(entry.body)
        except msgspec.DecodeError as exc:
            # Written by another version, or damaged: what is known of series may lack rows.
            _log.warning("series.limits_in_doubt", reason=str(exc))
            self._shelves.forget()
            return
        for claim in kept:
            self._limits.resume(claim.question, claim.size, self._clock.now_s())
        self._written = {claim.question: claim.size for claim in kept}

    def _write(self) -> None:
        if not self._are_read or not self._disk.accepts_writes or (pending := self._limits.pending) == self._written:
            return
        self._written = pending
        body = msgspec.json.encode([_Claim(question=question, size=size) for question, size in pending.items()])
        entry = Entry(body=body, sent_at_s=self._clock.now_s(), digest=digest_of(body))
        self._disk.put(self._tenancy.current().namespace, _KEY, entry)

    async def settled(self) -> None:
        """Wait until the witness that is being asked has answered."""
        if under_way := [task for task in (self._asking, self._writing) if task is not None]:
            await asyncio.wait(under_way)

    async def aclose(self) -> None:
        """End what is under way, and write the claims."""
        await end_tasks([self._asking, self._writing])
        await self.write()
        if self._limits.pending and not self._are_read:
            # They can't be left to the next process.
            _log.warning("series.limits_in_doubt", reason="what is still to be confirmed could not be written")
            self._shelves.forget()

    async def _ask_again(self, claim: Claim) -> None:
        try:
            confirmed = await self._confirms(claim, claim.smaller) or await self._confirms(claim, claim.witness.question)
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
            self._shelves.forget()

    async def _confirms(self, claim: Claim, question: MetricsQuery) -> bool:
        """Ask a question; tell whether as much was sent as a claim needs. Raises UpstreamError and _Gone."""
        asked_s, query = self._clock.now_s(), question.query
        ticket = self._upstream.ticket(Priority.REFRESH)
        reply: Reply[object] = await self._upstream.get(query.target, ticket, query.route.check)
        if reply.status != 200:
            raise _Gone
        try:
            told = await in_slices(splitting(reply.body, question, sent_at_s=asked_s))
        except ValueError:
            raise _Gone from None  # nothing is computed from such an answer
        size = size_of(told, len(reply.body))
        self._limits.note(question, size, asked_s, thinned_of(told))
        return size.holds(claim.size)
