"""Opening and closing SQLite connections, and running statements on them with few hops between threads."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import aiosqlite
import structlog

from proxy.store.sqlite import codec, purge_notes, schema, versions
from proxy.store.sqlite.outlasting import Outlasting

# A read hardly waits for another program's lock: all later reads would wait behind it.
READER_LOCK_TIMEOUT_S = 0.05

# After the write-ahead log was copied into the database, its file is truncated to this size.
WAL_BYTES = 8 * 1024 * 1024

CLOSE_TIMEOUT_S = 2.0

Parameters = Sequence[object]
_log = structlog.get_logger()


async def run(connection: aiosqlite.Connection, sql: str, parameters: Parameters = ()) -> list[Any]:
    """Run one statement to its end and return its rows, in one hop to the connection's thread. Raises sqlite3.Error."""
    return list(await connection.execute_fetchall(sql, parameters))


async def run_many(connection: aiosqlite.Connection, sql: str, rows: Iterable[Parameters]) -> None:
    """Run one statement for each row. Raises sqlite3.Error."""
    if rows := list(rows):
        # The cursor is closed in the connection's thread. Were it freed in the event loop's, the loop could wait for a slow
        # disk.
        async with connection.executemany(sql, rows):
            pass


async def open_writer(path: Path, outlasting: Outlasting, *, lock_timeout_s: float, now_s: float) -> aiosqlite.Connection:
    """Open the file for writing, make the tables it lacks, and switch it to write-ahead logging.

    Waits at most `lock_timeout_s` for other programs' locks. `now_s`: the wall time. Raises sqlite3.Error.
    """
    return await _connect(path, outlasting, lock_timeout_s, partial(_prepare_writer, now_s=now_s))


async def open_reader(path: Path, outlasting: Outlasting) -> aiosqlite.Connection:
    """Open the file for reading only. Raises sqlite3.Error."""
    return await _connect(path, outlasting, READER_LOCK_TIMEOUT_S, _prepare_reader)


async def empty_log(writer: aiosqlite.Connection) -> bool:
    """Copy the write-ahead log into the database and truncate it to nothing.

    Return False, without waiting, if somebody still reads from the log. Raises sqlite3.Error.
    """
    [(timeout_ms,)] = await run(writer, "PRAGMA busy_timeout")
    await run(writer, "PRAGMA busy_timeout = 0")
    try:
        [(busy, _, _)] = await run(writer, "PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        await run(writer, f"PRAGMA busy_timeout = {timeout_ms}")
    return not busy


async def close(connection: aiosqlite.Connection, outlasting: Outlasting) -> None:
    """Close the connection and end its thread. Never raises.

    Returns after CLOSE_TIMEOUT_S if the disk does not answer. The closing goes on by itself then (see `outlasting`).
    """
    # The task is not cancelled: what is in the connection's queue cannot be taken back.
    await asyncio.wait({outlasting.begin(connection.close())}, timeout=CLOSE_TIMEOUT_S)


async def _connect(
    path: Path, outlasting: Outlasting, lock_timeout_s: float, prepare: Callable[[aiosqlite.Connection], Awaitable[None]]
) -> aiosqlite.Connection:
    # mode=rw: SQLite must never create the file itself, since it would not have mode 0600.
    connection = await aiosqlite.connect(f"{path.as_uri()}?mode=rw", uri=True, isolation_level=None, timeout=lock_timeout_s)
    try:
        await run(connection, "PRAGMA cell_size_check = ON")
        await run(connection, "PRAGMA trusted_schema = OFF")
        await prepare(connection)
    except BaseException:
        await close(connection, outlasting)
        raise
    return connection


async def _prepare_writer(writer: aiosqlite.Connection, *, now_s: float) -> None:
    for pragma in (
        "auto_vacuum = INCREMENTAL",
        "secure_delete = OFF",
        f"journal_size_limit = {WAL_BYTES}",
        # SQLite's temporary data is small. In a file it would go to another directory, which may be full or read-only.
        "temp_store = MEMORY",
    ):
        await run(writer, f"PRAGMA {pragma}")
    await _make_tables(writer, now_s)
    [(mode,)] = await run(writer, "PRAGMA journal_mode = WAL")
    if mode != "wal":
        raise sqlite3.OperationalError(f"the file system cannot do write-ahead logging (journal_mode is {mode})")
    await run(writer, "PRAGMA synchronous = NORMAL")
    await writer.create_function("seal_of", 6, codec.seal_of, deterministic=True)
    await writer.create_function("takes", 4, schema.takes, deterministic=True)


async def _prepare_reader(reader: aiosqlite.Connection) -> None:
    # query_only, not mode=ro: a connection with mode=ro cannot always set up the write-ahead log's index.
    await run(reader, "PRAGMA query_only = ON")


async def _make_tables(writer: aiosqlite.Connection, now_s: float) -> None:
    [(version,)] = await run(writer, "PRAGMA user_version")
    if 0 < version < schema.SCHEMA_VERSION:
        # With a write-ahead log the new version would stand in there for a while, and the header tell the old one.
        await run(writer, "PRAGMA journal_mode = DELETE")
    await run(writer, "BEGIN IMMEDIATE")
    statements = schema.TABLES if version == 0 else versions.steps_from(version)
    for statement in statements:
        await run(writer, statement)
    if version < purge_notes.FIRST_VERSION:
        await run(writer, *purge_notes.beginning(now_s))
    await run(writer, "COMMIT")
    if 0 < version < schema.SCHEMA_VERSION:
        _log.info("store.taken_over", schema=version, now=schema.SCHEMA_VERSION)
