"""Entries stored, and their compressed forms.

A form is made once a client takes it, after the response has gone out; a large one is made in a thread.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from types import MappingProxyType

from proxy.core.freshness.entry import Coding, Entry, tombstone
from proxy.core.http.coding import LEAST_BYTES, encode
from proxy.core.question.keeping import Keeping
from proxy.service.tenancy import Tenant
from proxy.store.memory import MemoryStore
from proxy.store.sqlite import SqliteStore

# gzip takes about 13 us a kB: what is larger would hold up the event loop noticeably.
_INLINE_BYTES = 16_384
_Form = tuple[Tenant, str, str, Coding]


class Encoder:
    """Stores entries, and makes their compressed forms in the background.

    A form is added to the entry in memory. A response that goes out before it is ready has no coding (identity).
    """

    def __init__(self, memory: MemoryStore, disk: SqliteStore) -> None:
        self._memory = memory
        self._disk = disk
        self._making: dict[_Form, asyncio.Task[bytes]] = {}

    def keep(self, tenant: Tenant, key: str, entry: Entry, keeping: Keeping) -> bool:
        """Store an entry; return whether it is stored anywhere.

        The disk stores the zstd form. Its writer makes that form, unless `_encode` has made it by then.
        """
        entry = _like(self._memory.peek(tenant.namespace, key), entry)
        self._memory.put(tenant.namespace, key, entry, few=keeping is Keeping.ONE_OFF)
        held = self._memory.peek(tenant.namespace, key) is entry
        if keeping is not Keeping.DISK:
            return held
        self._disk.put(tenant.namespace, key, entry)
        return True

    def held(self, tenant: Tenant, key: str) -> Entry | None:
        """Return the entry that memory has under a key."""
        return self._memory.peek(tenant.namespace, key)

    def let_go(self, tenant: Tenant, key: str, entry: Entry) -> None:
        """Take an entry out of memory, if it is the one under a key."""
        if self.held(tenant, key) is entry:
            self._memory.put(tenant.namespace, key, tombstone(entry.sent_at_s))

    async def choose(self, tenant: Tenant, key: str, entry: Entry, wanted: Sequence[Coding]) -> tuple[Coding, bytes]:
        """Return the coding and the body to send: the best of `wanted` (the best first, at least one) that is ready.

        Better forms that could be made and kept in memory are begun. A form is waited for only where the client excludes
        identity.
        """
        held = self._memory.peek(tenant.namespace, key)
        worthwhile = len(entry.body) >= LEAST_BYTES and held is not None and held.digest == entry.digest
        for coding in wanted:
            if coding is Coding.IDENTITY:
                return coding, entry.body
            if (body := entry.encoded.get(coding)) is not None:
                return coding, body
            if worthwhile:
                self._make(tenant, key, entry, coding)
        if Coding.IDENTITY in wanted:
            return Coding.IDENTITY, entry.body
        return wanted[0], await asyncio.shield(self._make(tenant, key, entry, wanted[0]))

    async def settled(self) -> None:
        """Wait until every form begun so far is made and handed to the store."""
        while self._making:
            await asyncio.wait(self._making.values())

    async def aclose(self) -> None:
        """Finish what was begun."""
        await self.settled()

    def _make(self, tenant: Tenant, key: str, entry: Entry, coding: Coding) -> "asyncio.Task[bytes]":
        form = (tenant, key, entry.digest, coding)
        if (task := self._making.get(form)) is None:
            task = asyncio.get_running_loop().create_task(self._encode(form, entry))
            self._making[form] = task
            task.add_done_callback(lambda _: self._making.pop(form))
        return task

    async def _encode(self, form: _Form, entry: Entry) -> bytes:
        tenant, key, digest, coding = form
        if len(entry.body) > _INLINE_BYTES:
            body = await asyncio.to_thread(encode, entry.body, coding)
        else:
            body = encode(entry.body, coding)
        # By now the entry may have gained another form, been refreshed with the same bytes, or moved to its organization.
        current = self._memory.peek(tenant.namespace, key)
        if current is not None and current.digest == digest:
            current = _with(current, coding, body)
            self._memory.put(tenant.namespace, key, current)
            if coding is Coding.ZSTD:
                self._disk.put_form(tenant.namespace, key, current)
        return body


def _like(before: Entry | None, entry: Entry) -> Entry:
    """Return an entry with the body and the compressed forms of the one before it, where the bytes are the same."""
    if before is None or before.digest != entry.digest:
        return entry
    return replace(entry, body=before.body, encoded=before.encoded)


def _with(entry: Entry, coding: Coding, body: bytes) -> Entry:
    return replace(entry, encoded=MappingProxyType({**entry.encoded, coding: body}))
