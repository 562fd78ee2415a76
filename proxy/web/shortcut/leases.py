"""Answers requests by leases, found by the text of a request or by its bytes. `web.shortcut` tells what a lease promises."""

import os
from collections.abc import Callable

from aiohttp import web

from proxy.clock import Clock
from proxy.core.freshness.directives import Demand
from proxy.core.freshness.entry import Coding
from proxy.core.freshness.outcome import Kind
from proxy.core.freshness.verdict import Verdict, judge
from proxy.core.question.query import Query
from proxy.generation import Generation
from proxy.service.answering import Represented
from proxy.service.lifetimes.run_lifetimes import RunLifetimes
from proxy.service.tenancy import Tenancy
from proxy.settings import Settings
from proxy.store.memory import MemoryStore
from proxy.web.accounting.accounting import Accounting
from proxy.web.accounting.context import RequestContext
from proxy.web.accounting.ids import BATCH, ENDS, RequestIds
from proxy.web.gate.guard import Guard, Visit
from proxy.web.gate.limits import ClientLimits, client_of
from proxy.web.reply.chunks import CHUNK_BYTES
from proxy.web.shortcut.lease import Lease
from proxy.web.shortcut.prepared import PreparedResponse
from proxy.web.shortcut.request_text import LONGEST, length_of, text_of
from proxy.web.shortcut.table import LeaseTable, Place, Seen
from proxy.web.shortcut.writing import Outlet, file_of

# A larger body is sent from a file, once its lease was used so often: to make one costs as much as to copy the body some times.
FILED_BYTES = 65_536
_OFTEN = 8
# Of the memory for answers, leases have one part in so many.
_SHARE = 8


def share_of(memory_bytes: int) -> int:
    """Return how many bytes of the memory for answers are for leases."""
    return memory_bytes // _SHARE


class Leases:
    """Answers requests by leases, makes, renews and ends them. They take `most_bytes` of memory together."""

    def __init__(
        self,
        *,
        memory: MemoryStore,
        generation: Generation,
        guard: Guard,
        tenancy: Tenancy,
        lifetimes: RunLifetimes,
        limits: ClientLimits,
        accounting: Accounting,
        ids: RequestIds,
        clock: Clock,
        settings: Settings,
        most_bytes: int,
    ) -> None:
        self._memory = memory
        self._generation = generation
        self._guard = guard
        self._tenancy = tenancy
        self._lifetimes = lifetimes
        self._limits = limits
        self._accounting = accounting
        self._ids = ids
        self._clock = clock
        self._machine_s: Callable[[], float] = clock.machine_s
        self._settings = settings
        self._table = LeaseTable(most_bytes)
        self._seen = self._table.seen
        self._uncounted: list[Seen] = []
        self._judged = guard.generation
        self._stopped = False
        self._answered = 0
        self.parsed = 0
        """How many requests were parsed."""
        memory.follow(self._table.end)
        # Hosts, origins, what queries mean and what a request may demand follow from the settings.
        settings.follow(self._forget)

    @property
    def answered(self) -> int:
        """How many requests were answered without being parsed."""
        self.settle()
        return self._answered

    @property
    def count(self) -> int:
        """How many leases there are."""
        return len(self._table.leases)

    @property
    def size_bytes(self) -> int:
        """What the leases and the requests that were seen take in memory."""
        return self._table.size_bytes

    def stop(self) -> None:
        """Answer nothing any more: what the ordinary way answers says that the connection ends."""
        self._stopped = True
        self._forget()

    def answer(self, address: str, raw: bytes, outlet: Outlet) -> bool:
        """Answer a request of these bytes; return False where it is to be parsed."""
        seen = self._seen.get((address, raw))
        if seen is None:
            return False
        lease = seen.lease
        # As `_holds` looks first, here for the sake of what a call would cost.
        if (
            not lease.since_s <= self._machine_s() < lease.until_s
            or lease.generation != self._generation.number
            or lease.ids == BATCH
        ):
            renewed = self._renewed((address, raw), seen)
            if renewed is None:
                return False
            lease = renewed
        if seen.client is not None and not self._limits.take_at_once(seen.client, self._clock.monotonic_s()):
            return False
        if not seen.count:
            self._uncounted.append(seen)
        seen.count += 1
        lease.head[lease.id_at] = ENDS[lease.ids]
        lease.ids += 1
        if lease.body or outlet.descriptor is None:
            outlet.write(lease)
            return True
        # As the outlet writes it, here for the sake of what a call would cost.
        try:
            sent = os.write(outlet.descriptor, lease.head)
        except OSError:
            sent = 0
        if sent != lease.whole_bytes:
            outlet.leave(lease, sent)
        return True

    def answer_parsed(self, request: web.BaseRequest, visit: Visit, raw: bytes | None) -> PreparedResponse | None:
        """Return the response to a request that had to be parsed, None where it must go the ordinary way.

        `raw` is all of its bytes, where they are at hand: they are remembered.
        """
        self.parsed += 1
        text = text_of(request, visit)
        lease = None if text is None else self._table.leases.get(text)
        if lease is None or not self._is_known(visit) or not self._holds(lease):
            return None
        client = client_of(request, visit)
        if not self._limits.take_at_once(client, self._clock.monotonic_s()):
            return None
        given_id = self._ids.given(request)
        prepared = lease.with_id(given_id or self._ids.new())
        self._account(lease, visit.grant.name, 1)
        if given_id is None and raw is not None:
            self._remember((request.remote or "", raw), lease, token=visit.grant.name, client=client)
        return PreparedResponse(request, prepared)

    def remember(
        self, context: RequestContext, query: Query, demand: Demand, found: Represented, response: web.Response
    ) -> None:
        """Make a lease of the response to an ordinary request if it can be given again: a fresh hit with nothing more to tell.

        What memory doesn't have as it went out is not leased: an answer whose keys were put in another order, or a compressed
        form that the client waited for. Nor is what was decided, in part at least, by settings of before.
        """
        if self._stopped or context.visit.version != self._settings.version or not self._is_known(context.visit):
            return
        answer, coding = found.answer, found.coding
        if answer.outcome.kind is not Kind.HIT or answer.entry.status != 200 or answer.outcome.detail or query.unknown:
            return
        if self._memory.peek(answer.tenant.namespace, query.target) is not answer.entry:
            return
        if coding is not Coding.IDENTITY and coding not in answer.entry.encoded:
            return
        text = text_of(context.request, context.visit)
        if text is None or length_of(text) > LONGEST:
            return
        is_empty = response.status == 304 or context.request.method == "HEAD"
        lease = Lease(
            text,
            tenant=answer.tenant,
            query=query,
            entry=answer.entry,
            oldest_s=demand.max_age_s,
            expires_at_s=context.visit.grant.expires_at_s,
            coding=None if is_empty else coding,
            response=response,
        )
        self._table.add(lease)

    def settle(self) -> None:
        """Account for all that was answered."""
        uncounted, self._uncounted = self._uncounted, []
        for seen in uncounted:
            self._settle(seen)

    def _renewed(self, place: Place, seen: Seen) -> Lease | None:
        """Return the lease that answers a request now, None where there is none."""
        if self._guard.generation != self._judged:
            self._forget()
            return None
        lease: Lease | None = seen.lease
        if seen.lease.entry is None:
            # Another request of the same text may have brought the lease of the entry that is there now.
            lease = self._table.leases.get(seen.lease.text)
        if lease is None or not self._holds(lease):
            self._table.forget_seen(place)
            return None
        if lease is not seen.lease:
            self._settle(seen)
            seen.take(lease)
        self._table.use_seen(place)
        if len(lease.body) > FILED_BYTES and lease.file is None and lease.ids > _OFTEN:
            # Room for it is made of others: this one is in use, though `_holds` may not have moved it.
            self._table.use(lease)
            self._file(lease)
        return None if lease.entry is None else lease

    def _holds(self, lease: Lease) -> bool:
        """Tell whether a lease holds; it is renewed if need be, and ended where its answer isn't the one of now."""
        machine_s, generation = self._machine_s(), self._generation.number
        if lease.since_s <= machine_s < lease.until_s and lease.generation == generation and lease.ids < BATCH:
            return True
        began_s, now_s = self._clock.monotonic_s(), self._clock.now_s()
        tenant = self._tenancy.current()
        entry = self._memory.peek(*lease.entry_key)
        lifetimes = self._lifetimes.of(lease.query, lease.tenant)
        if (
            entry is None
            or entry is not lease.entry
            or tenant is not lease.tenant
            or tenant.namespace != lease.namespace
            or not lease.accepts(entry, now_s)
            or judge(entry, now_s, lifetimes) is not Verdict.FRESH
        ):
            self._table.drop(lease)
            return False
        if lease.ids == BATCH:
            lease.give_ids(self._ids.new_batch())
        lease.renew(entry, lifetimes, generation, now_s=now_s, machine_s=machine_s)
        self._table.use(lease)
        lease.note_time(self._clock.monotonic_s() - began_s)
        return True

    def _file(self, lease: Lease) -> None:
        """Put the body of a lease that is used often into a file, if there is room for it."""
        size_bytes = len(lease.body)
        if size_bytes <= self._table.most_bytes // _SHARE and (file := file_of(lease.body)) is not None:
            lease.keep_in(file)
            self._table.take(size_bytes)

    def _is_known(self, visit: Visit) -> bool:
        """Tell whether a request was judged by what holds now; what was judged otherwise before is forgotten.

        So tokens that were revoked don't stay in memory either.
        """
        if self._guard.generation != self._judged:
            self._forget()
        return self._guard.stands(visit)

    def _remember(self, place: Place, lease: Lease, *, token: str, client: str) -> None:
        """Remember a request that a lease has answered, unless what the socket doesn't take would be copied."""
        if len(place[1]) <= LONGEST and lease.body_bytes <= CHUNK_BYTES:
            self._table.add_seen(place, Seen(lease, token=token, client=client if self._limits.has_rate else None))

    def _forget(self) -> None:
        """Forget all leases and requests."""
        self._judged = self._guard.generation
        self._table.clear()

    def _settle(self, seen: Seen) -> None:
        """Account for what a request's lease has answered."""
        times = seen.counted()
        if times:
            self._answered += times
            self._account(seen.lease, seen.token, times)

    def _account(self, lease: Lease, token: str, times: int) -> None:
        # That it was made takes longer than to give it: for none of them it was more.
        self._accounting.hits(
            lease.query,
            token,
            times=times,
            duration_s=lease.took_s,
            age_s=lease.age_s,
            body_bytes=lease.body_bytes,
            not_modified=lease.not_modified,
        )
