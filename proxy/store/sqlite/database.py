"""One open cache file: a connection that writes, and another one that reads at the same time."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiosqlite

from proxy.core.freshness.purge import Purge
from proxy.store.sqlite import codec, connections, files, purge_notes, quota, schema
from proxy.store.sqlite.batch import Adoption, Batch
from proxy.store.sqlite.connections import run, run_many
from proxy.store.sqlite.faults import LogHeldError, MovedError
from proxy.store.sqlite.outlasting import Outlasting
from proxy.store.sqlite.presence import Presence

# The filter of keys (`presence`) is made for so many keys at most, which takes 8 MiB, whatever the quota.
_MOST_KEYS = 2**22
# How many rows one statement changes: SQLite keeps a few MB in memory for them.
_AT_A_TIME = 1_000
# How long to wait for this process's own reads, which keep the log from being emptied.
_DRAIN_TIMEOUT_S = 2.0


class Database:
    """The open file at `path`, kept within `limits`. All methods raise sqlite3.Error; nothing is retried in here."""

    def __init__(
        self,
        path: Path,
        writer: aiosqlite.Connection,
        reader: aiosqlite.Connection,
        *,
        limits: quota.SizeLimits,
        outlasting: Outlasting,
    ) -> None:
        self._path = path
        self._outlasting = outlasting
        self._writer = writer
        self._reader = reader
        self._limits = limits
        self._max_bytes = limits.file_bytes
        self._opened: files.Inodes = ()
        self._presence = Presence(reader, max_keys=min(_MOST_KEYS, limits.file_bytes // quota.ROW_BYTES))

    @classmethod
    async def open(
        cls, path: Path, *, limits: quota.SizeLimits, lock_timeout_s: float, outlasting: Outlasting, now_s: float
    ) -> "Database":
        """Open the file. It must exist and be either empty or one of this store.

        `outlasting`: the connections that are being closed. `now_s`: the wall time.
        """
        writer = await connections.open_writer(path, outlasting, lock_timeout_s=lock_timeout_s, now_s=now_s)
        try:
            reader = await connections.open_reader(path, outlasting)
        except BaseException:
            await connections.close(writer, outlasting)
            raise
        database = cls(path, writer, reader, limits=limits, outlasting=outlasting)
        try:
            # The first read makes the write-ahead log and its index, so that their inodes can be noted.
            await run(reader, "SELECT count(*) FROM organizations")
            database._opened = await asyncio.to_thread(files.inodes_of, path)
            database._presence.learn()
        except BaseException:
            await database.close()
            raise
        return database

    def may_hold(self, namespace: str, key: str) -> bool:
        """Return False only if nothing is stored there. Does not read the file."""
        return self._presence.may_hold((namespace, key))

    async def read(self, namespace: str, key: str) -> tuple[int, codec.Row] | None:
        """Return the id and the row stored there, not verified, or None. May be cancelled at any time."""
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
            # In a damaged file the body may have any type, or be missing.
            blob=blob if isinstance(blob, bytes) else b"",
            blob_hash=blob_hash,
            seal=seal,
        )

    async def drain(self) -> None:
        """Return when every read that was begun before has come back."""
        await run(self._reader, "SELECT 1")

    async def organization_of(self, upstream: str, fingerprint: str) -> str | None:
        """Return the organization that was adopted for a key fingerprint, or None."""
        rows = await run(self._reader, schema.SELECT_ORGANIZATION, (upstream, fingerprint))
        if not rows or rows[0][1] != codec.seal_of(upstream, fingerprint, rows[0][0]):
            return None
        return str(rows[0][0])

    async def namespaces(self) -> list[str]:
        """Return the namespaces that have entries."""
        rows = await run(self._reader, schema.SELECT_USED_NAMESPACES)
        return [name.decode(errors="replace") for (name,) in rows if isinstance(name, bytes)]

    async def entries(self) -> int:
        """Count the entries (about 1 ms for 100,000)."""
        [(count,)] = await run(self._writer, "SELECT count(*) FROM entries")
        return int(count)

    async def check_writable(self) -> None:
        """Check that the file can be written, by writing into its header what is there already. Bring it within its bounds."""
        async with self._transaction():
            await run(self._writer, f"PRAGMA user_version = {schema.SCHEMA_VERSION}")
            await quota.make_room(self._writer, 0, max_bytes=self._max_bytes)
        await quota.limit_pages(self._writer, self._max_bytes)

    async def check_in_place(self) -> None:
        """Check that the open file is the one that lies at the path. Raises MovedError if it is not; OSError."""
        there = await asyncio.to_thread(files.inodes_of, self._path)
        if any(ours is not None and ours != now for ours, now in zip(self._opened, there, strict=True)):
            raise MovedError(str(self._path))

    async def write(self, batch: Batch, *, now_s: float) -> int:
        """Commit the batch, all of it or nothing. Return how many entries were evicted to make room."""
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
        need_bytes = sum(quota.needed_bytes(len(row.blob)) for row in batch.rows)
        try:
            return await self._transact(batch, need_bytes, now_s=now_s, fill=quota.FILL)
        except sqlite3.Error as exc:
            if getattr(exc, "sqlite_errorcode", None) != sqlite3.SQLITE_FULL or not await self._at_quota(need_bytes):
                raise
        # The file was full although the estimate said otherwise: the entries take more pages than was assumed.
        return await self._transact(batch, need_bytes, now_s=now_s, fill=quota.FILL_WHEN_FULL)

    async def give_back_space(self) -> tuple[bool, quota.Pages]:
        """Give some free space back to the file system. Return whether there is more to give back, and the file's pages."""
        return await quota.give_back(self._writer, self._limits)

    async def log_bytes(self) -> int:
        """Return the size of the write-ahead log. Raises OSError."""
        return await asyncio.to_thread(files.size_of, files.log_of(self._path))

    async def bound_log(self, log_bytes: int) -> int:
        """Empty the write-ahead log, which has `log_bytes`, if it is too full for another transaction. Return its size then.

        Raises LogHeldError if it is full and cannot be emptied because another program reads from it; OSError.
        """
        if log_bytes <= self._limits.full_log_bytes:
            return log_bytes
        await self._roll_back()
        # This process's own reads may hold the log as well, until they have come back. The second attempt copies what they kept
        # from being copied, so that reads which begin later need nothing of the log; the third attempt then meets none that
        # does.
        for _ in range(3):
            if await connections.empty_log(self._writer):
                return await self.log_bytes()
            with suppress(TimeoutError):
                async with asyncio.timeout(_DRAIN_TIMEOUT_S):
                    await self.drain()
        raise LogHeldError(log_bytes)

    async def close(self) -> None:
        """Close both connections. Never raises. If the disk does not answer, the closing goes on by itself."""
        await self._presence.close()
        await connections.close(self._reader, self._outlasting)
        # Closing the last connection copies the write-ahead log into the database and removes it.
        await connections.close(self._writer, self._outlasting)

    async def remove_remains(self) -> None:
        """Remove the log of a file that was closed and no longer lies at its path. Raises OSError.

        Otherwise it would be taken for the log of the file that lies there now.
        """
        await asyncio.to_thread(files.remove_companions, self._path, self._opened)

    async def _transact(self, batch: Batch, need_bytes: int, *, now_s: float, fill: float) -> int:
        async with self._transaction():
            for adoption in batch.adoptions:
                await self._adopt(adoption)
            for purge in batch.purges:
                await self._purge(purge)
            await self._delete(batch)
            await run_many(self._writer, schema.TOUCH, [(at_s, id_, at_s) for id_, at_s in batch.touches.items()])
            # On the second attempt the limit is lower, so that room is made although the estimate says that there is enough.
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
        for superseded in batch.superseded:
            ids += [row[0] for row in await run(self._writer, schema.SELECT_SUPERSEDED, superseded)]
        await quota.delete(self._writer, ids)

    async def _purge(self, purge: Purge) -> None:
        named = (purge.project, purge.run, purge.metric)
        if purge.soft:
            await self._for_ids(schema.MARK_PURGED, await run(self._writer, schema.SELECT_MARKED, (purge.at_s, *named)))
        taken = await run(self._writer, schema.SELECT_PURGED, (purge.at_s, not purge.soft, *named))
        await quota.delete(self._writer, [row[0] for row in taken])
        for statement, parameters in purge_notes.noting(purge):
            await run(self._writer, statement, parameters)

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
        """Run a statement for the ids in these rows, for _AT_A_TIME ids each time.

        `before` and `after` are the parameters before and after the ids.
        """
        for begin in range(0, len(rows), _AT_A_TIME):
            ids = json.dumps([row[0] for row in rows[begin : begin + _AT_A_TIME]])
            await run(self._writer, statement, (*before, ids, *after))

    async def _at_quota(self, need_bytes: int) -> bool:
        """Whether the file is full because of its quota. If not, the disk is full."""
        pages = await quota.pages_of(self._writer)
        return pages.live_bytes + 2 * need_bytes > self._max_bytes

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[None]:
        """Commit everything that is done within, or nothing of it if something raises."""
        await self._roll_back()
        await run(self._writer, "BEGIN IMMEDIATE")
        try:
            yield
            await run(self._writer, "COMMIT")
        except BaseException:
            # A failed rollback must not hide the error that came first.
            with suppress(sqlite3.Error, ValueError):
                if self._writer.in_transaction:
                    await run(self._writer, "ROLLBACK")
            raise

    async def _roll_back(self) -> None:
        # If rolling back failed, the transaction is still open.
        if self._writer.in_transaction:
            await run(self._writer, "ROLLBACK")
