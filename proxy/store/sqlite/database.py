"""One opened cache file: a connection that writes, and another that reads while it does."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import aiosqlite

from proxy.core.freshness.purge import Purge
from proxy.store.sqlite import codec, connections, files, quota, schema
from proxy.store.sqlite.connections import run, run_many
from proxy.store.sqlite.faults import LogHeldError, MovedError
from proxy.store.sqlite.presence import Presence

# For more keys than these (8 MiB) nothing is set aside, whatever the quota.
_MOST_KEYS = 2**22
# So many rows are changed by one statement: some MB.
_AT_A_TIME = 1_000
# How long reads of our own are waited for that keep the log from being emptied.
_DRAIN_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Adoption:
    """That a key fingerprint belongs to an organization, whose entries lay under `old_namespace` until now."""

    upstream: str
    fingerprint: str
    organization: str
    old_namespace: str
    new_namespace: str

    @property
    def is_storable(self) -> bool:
        """Whether a file can hold it: text with a lone surrogate would fail every batch that it is in."""
        texts = (self.upstream, self.fingerprint, self.organization, self.old_namespace, self.new_namespace)
        return all(text == text.encode(errors="replace").decode() for text in texts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one transaction writes, in this order: `adoptions`; `purges`; away with the `damaged` rows (id and seal as read) and
    with what lies under the `unfit` keys (namespace, key, and when the entry was sent that is too large to take its place); the
    `touches` (when an id was last used), before what is least recently used has to make room; the `rows`.
    """

    rows: Sequence[codec.Row] = ()
    unfit: Sequence[tuple[str, str, float]] = ()
    touches: Mapping[int, float] = field(default_factory=dict)
    damaged: Sequence[tuple[int, object]] = ()
    adoptions: Sequence[Adoption] = ()
    purges: Sequence[Purge] = ()


class Database:
    """The file at `path`, which keeps to its `room`. Everything raises sqlite3.Error; nothing is retried in here."""

    def __init__(self, path: Path, writer: aiosqlite.Connection, reader: aiosqlite.Connection, *, room: quota.Room) -> None:
        self._path = path
        self._writer = writer
        self._reader = reader
        self._room = room
        self._max_bytes = room.file_bytes
        self._opened: files.Inodes = ()
        self._presence = Presence(reader, most=min(_MOST_KEYS, room.file_bytes // quota.ROW_BYTES))

    @classmethod
    async def open(cls, path: Path, *, room: quota.Room, lock_timeout_s: float) -> "Database":
        """Open the file, which must be there: empty, or one of this store."""
        writer = await connections.open_writer(path, lock_timeout_s=lock_timeout_s)
        try:
            reader = await connections.open_reader(path)
        except BaseException:
            await connections.close(writer)
            raise
        database = cls(path, writer, reader, room=room)
        try:
            # The first read makes the write-ahead log, so that all that belongs to the file is there to be looked at.
            await run(reader, "SELECT count(*) FROM organizations")
            database._opened = await asyncio.to_thread(files.inodes_of, path)
            database._presence.learn()
        except BaseException:
            await database.close()
            raise
        return database

    def may_hold(self, namespace: str, key: str) -> bool:
        """Return False only where nothing is stored, without looking into the file."""
        return self._presence.may_hold((namespace, key))

    async def read(self, namespace: str, key: str) -> tuple[int, codec.Row] | None:
        """Return the id and the row stored there, not verified, or None. Abandoning it harms nothing."""
        rows = await run(self._reader, schema.SELECT_ENTRY, (namespace, key))
        if not rows:
            return None
        entry_id, sent_at_s, digest, body_bytes, blob, blob_hash, seal = rows[0]
        return entry_id, codec.Row(
            namespace=namespace,
            key=key,
            sent_at_s=sent_at_s,
            digest=digest,
            body_bytes=body_bytes,
            # Of a damaged file it may be anything, or missing.
            blob=blob if isinstance(blob, bytes) else b"",
            blob_hash=blob_hash,
            seal=seal,
        )

    async def drain(self) -> None:
        """Return when every read that was asked for before has come back."""
        await run(self._reader, "SELECT 1")

    async def organization_of(self, upstream: str, fingerprint: str) -> str | None:
        """Return the organization that was adopted, or None."""
        rows = await run(self._reader, schema.SELECT_ORGANIZATION, (upstream, fingerprint))
        if not rows or rows[0][1] != codec.seal_of(upstream, fingerprint, rows[0][0]):
            return None
        return str(rows[0][0])

    async def entries(self) -> int:
        """Count the entries (about 1 ms for 100,000)."""
        [(count,)] = await run(self._writer, "SELECT count(*) FROM entries")
        return int(count)

    async def probe(self) -> None:
        """Find out whether the file can be written, by writing what its header says already, and bring it within its bounds."""
        async with self._transaction():
            await run(self._writer, f"PRAGMA user_version = {schema.SCHEMA_VERSION}")
            await quota.make_room(self._writer, 0, max_bytes=self._max_bytes)
        await quota.limit_pages(self._writer, self._max_bytes)

    async def look(self) -> None:
        """Raise MovedError unless the file that is open is the one that lies at the path; OSError."""
        there = await asyncio.to_thread(files.inodes_of, self._path)
        if any(ours is not None and ours != now for ours, now in zip(self._opened, there, strict=True)):
            raise MovedError(str(self._path))

    async def write(self, batch: Batch, *, now_s: float) -> int:
        """Commit the batch, all or nothing, making room for it first. Return how many entries that evicted."""
        moves = any(adoption.old_namespace != adoption.new_namespace for adoption in batch.adoptions)
        if moves:
            self._presence.forget()
        self._presence.add([(row.namespace, row.key) for row in batch.rows])
        try:
            return await self._write(batch, now_s=now_s)
        finally:
            if moves:
                self._presence.learn()

    async def _write(self, batch: Batch, *, now_s: float) -> int:
        need_bytes = sum(quota.need_of(len(row.blob)) for row in batch.rows)
        try:
            return await self._transact(batch, need_bytes, now_s=now_s, fill=quota.FILL)
        except sqlite3.Error as exc:
            if getattr(exc, "sqlite_errorcode", None) != sqlite3.SQLITE_FULL or not await self._at_quota(need_bytes):
                raise
        # The quota was reached before the reckoning said so: entries break up into more pages than was assumed.
        return await self._transact(batch, need_bytes, now_s=now_s, fill=quota.FILL_WHEN_FULL)

    async def tidy(self) -> tuple[bool, quota.Pages]:
        """Return some free space to the file system. Return whether there is more of it, and how full the file is now."""
        return await quota.give_back(self._writer, self._room)

    async def log_bytes(self) -> int:
        """Return the size of the write-ahead log. Raises OSError."""
        return await asyncio.to_thread(files.size_of, files.log_of(self._path))

    async def bound_log(self, log_bytes: int) -> int:
        """See to it that the log, which has so many bytes, may grow by another transaction; return its size then.

        Raises LogHeldError where it is full, and another program goes on reading what is in it; OSError.
        """
        if log_bytes <= self._room.full_log_bytes:
            return log_bytes
        await self._roll_back()
        # What our own reads hold is given up when they have come back: the second attempt copies what they had kept from that,
        # so that those which begin later need nothing of the log, and the third meets none of the former.
        for _ in range(3):
            if await connections.empty_log(self._writer):
                return await self.log_bytes()
            with suppress(TimeoutError):
                async with asyncio.timeout(_DRAIN_TIMEOUT_S):
                    await self.drain()
        raise LogHeldError(log_bytes)

    async def close(self) -> bool:
        """Bring everything into the file and close it. Never raises; return False if the disk does not answer."""
        await self._presence.close()
        read = await connections.close(self._reader)
        # The last connection copies the log into the database and removes it.
        return await connections.close(self._writer) and read

    async def remove_remains(self) -> None:
        """After closing a file that does not lie at its path any more: leave its log to no other. Raises OSError."""
        await asyncio.to_thread(files.remove_companions, self._path, self._opened)

    async def _transact(self, batch: Batch, need_bytes: int, *, now_s: float, fill: float) -> int:
        async with self._transaction():
            for adoption in batch.adoptions:
                await self._adopt(adoption)
            for purge in batch.purges:
                await self._purge(purge)
            await self._delete(batch)
            await run_many(self._writer, schema.TOUCH, [(at_s, id_, at_s) for id_, at_s in batch.touches.items()])
            # Filled less than the quota, room is made even if the reckoning says that it would do.
            max_bytes = self._max_bytes if fill == quota.FILL else int(self._max_bytes * fill)
            evicted = await quota.make_room(self._writer, need_bytes, max_bytes=max_bytes)
            await self._put(batch.rows, now_s)
        return evicted

    async def _put(self, rows: Sequence[codec.Row], now_s: float) -> None:
        await run_many(self._writer, schema.PUT_NAMESPACE, {(row.namespace,) for row in rows})
        await run_many(
            self._writer,
            schema.PUT_ENTRY,
            [(r.namespace, r.key, r.sent_at_s, r.digest, r.body_bytes, len(r.blob), r.blob_hash, r.seal, now_s) for r in rows],
        )
        await run_many(self._writer, schema.PUT_BODY, [(row.blob, row.namespace, row.key, row.seal) for row in rows])

    async def _delete(self, batch: Batch) -> None:
        ids = []
        for entry_id, seal in batch.damaged:
            ids += [row[0] for row in await run(self._writer, schema.SELECT_DAMAGED, (entry_id, seal))]
        for unfit in batch.unfit:
            ids += [row[0] for row in await run(self._writer, schema.SELECT_SUPERSEDED, unfit)]
        await quota.delete(self._writer, ids)

    async def _purge(self, purge: Purge) -> None:
        named = (purge.project, purge.run, purge.metric)
        if purge.soft:
            await self._for_ids(schema.MARK_PURGED, await run(self._writer, schema.SELECT_MARKED, (purge.at_s, *named)))
        taken = await run(self._writer, schema.SELECT_PURGED, (purge.at_s, not purge.soft, *named))
        await quota.delete(self._writer, [row[0] for row in taken])

    async def _adopt(self, adoption: Adoption) -> None:
        named = (adoption.upstream, adoption.fingerprint, adoption.organization)
        await run(self._writer, schema.PUT_ORGANIZATION, (*named, codec.seal_of(*named)))
        old, new = adoption.old_namespace, adoption.new_namespace
        if old == new:
            return
        await run(self._writer, schema.PUT_NAMESPACE, (new,))
        ids = dict(await run(self._writer, "SELECT name, id FROM namespaces WHERE name IN (?, ?)", (old, new)))
        if old not in ids:
            return
        outdated = await run(self._writer, schema.SELECT_OUTDATED, (ids[old], ids[new]))
        await quota.delete(self._writer, [row[0] for row in outdated])
        moving = await run(self._writer, schema.SELECT_OF, (ids[old],))
        await self._for_ids(schema.MOVE_ENTRIES, moving, before=(ids[new], new), after=(old,))
        left = await run(self._writer, schema.SELECT_OF, (ids[old],))
        await quota.delete(self._writer, [row[0] for row in left])
        await run(self._writer, "DELETE FROM namespaces WHERE id = ?", (ids[old],))

    async def _for_ids(
        self,
        statement: str,
        rows: Sequence[Sequence[int]],
        *,
        before: Sequence[object] = (),
        after: Sequence[object] = (),
    ) -> None:
        """Run a statement for the ids in these rows, some at a time: SQLite keeps in memory what one statement changes.

        `before` and `after` are the parameters before and after the ids.
        """
        for begin in range(0, len(rows), _AT_A_TIME):
            ids = json.dumps([row[0] for row in rows[begin : begin + _AT_A_TIME]])
            await run(self._writer, statement, (*before, ids, *after))

    async def _at_quota(self, need_bytes: int) -> bool:
        """Whether it was the quota, and not the disk, that had no more room."""
        pages = await quota.pages_of(self._writer)
        return pages.live_bytes + 2 * need_bytes > self._max_bytes

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[None]:
        """Commit what is done within, or nothing of it."""
        await self._roll_back()
        await run(self._writer, "BEGIN IMMEDIATE")
        try:
            yield
            await run(self._writer, "COMMIT")
        except BaseException:
            # What went wrong before is what is to be told.
            with suppress(sqlite3.Error, ValueError):
                if self._writer.in_transaction:
                    await run(self._writer, "ROLLBACK")
            raise

    async def _roll_back(self) -> None:
        # A transaction that could not be rolled back when it failed is still open.
        if self._writer.in_transaction:
            await run(self._writer, "ROLLBACK")
