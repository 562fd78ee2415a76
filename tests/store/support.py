"""Entries, a clock, and ways to get hold of a store and its file."""

import asyncio
import os
import random
import sqlite3
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiosqlite

from proxy.core.freshness.entry import Entry, digest_of
from proxy.store import SqliteStore
from proxy.store.sqlite.backlog import Backlog
from proxy.store.sqlite.database import Database
from proxy.store.sqlite.keeper import Keeper
from proxy.store.sqlite.presence import Presence

NOW_S = 1_800_000_000.0
MIB = 1024 * 1024

# Reads the file and keeps what it has read from being written over, until its standard input ends.
READER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN")
connection.execute("SELECT count(*) FROM entries").fetchall()
print("reading", flush=True)
sys.stdin.read()
connection.close()
"""

# Holds a lock on the file until its standard input ends.
LOCKER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute(f"PRAGMA locking_mode = {sys.argv[2]}")
connection.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.read()
connection.close()
"""


class ManualClock:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.wall_s = NOW_S
        self.passed_s = 1_000.0

    def now_s(self) -> float:
        return self.wall_s

    def machine_s(self) -> float:
        return self.wall_s

    def monotonic_s(self) -> float:
        return self.passed_s

    def advance(self, seconds: float) -> None:
        self.wall_s += seconds
        self.passed_s += seconds


def entry(text: str | bytes = "{}", sent_at_s: float = NOW_S, status: int = 200) -> Entry:
    body = text.encode() if isinstance(text, str) else text
    return Entry(body=body, sent_at_s=sent_at_s, digest=digest_of(body), status=status)


def noise(size: int, seed: int = 0) -> bytes:
    """Bytes that do not compress."""
    return random.Random(seed).randbytes(size)  # noqa: S311 - nothing secret


@asynccontextmanager
async def opened(
    path: Path,
    clock: ManualClock | None = None,
    *,
    max_bytes: int = 64 * MIB,
    read_timeout_s: float = 30.0,
    lock_timeout_s: float = 0.0,
    pending_bytes: int = 64 * MIB,
    waits: bool = False,
) -> AsyncIterator[SqliteStore]:
    """A store that is open; nothing in it takes its time unless a test wants it to."""
    store = SqliteStore(
        path,
        max_bytes=max_bytes,
        clock=clock or ManualClock(),
        read_timeout_s=read_timeout_s,
        lock_timeout_s=lock_timeout_s,
        pending_bytes=pending_bytes,
        waits=waits,
    )
    try:
        await store.open()
        yield store
    finally:
        await store.aclose()


# What is beneath a store, for tests that break it there, or look at what nobody is told of.


def keeper(store: SqliteStore) -> Keeper:
    return store._keeper  # noqa: SLF001 -- see above


def database(store: SqliteStore) -> Database:
    found = keeper(store).database
    assert found is not None
    return found


def writer(store: SqliteStore) -> aiosqlite.Connection:
    return database(store)._writer  # noqa: SLF001 -- see above


def reader(store: SqliteStore) -> aiosqlite.Connection:
    return database(store)._reader  # noqa: SLF001 -- see above


def presence(store: SqliteStore) -> Presence:
    return database(store)._presence  # noqa: SLF001 -- see above


def learning(store: SqliteStore) -> asyncio.Task[None]:
    """The task that goes through the file's keys, or went."""
    found = presence(store)._learning  # noqa: SLF001 -- see above
    assert found is not None
    return found


def backlog(store: SqliteStore) -> Backlog:
    return store._backlog  # noqa: SLF001 -- see above


def pending(store: SqliteStore) -> int:
    """How many entries are on their way to the file."""
    return len(backlog(store)._pending)  # noqa: SLF001 -- see above


def purges(of: Backlog) -> int:
    """How many purges wait."""
    return len(of._purges)  # noqa: SLF001 -- see above


def same(found: Entry | None, put: Entry) -> bool:
    return found is not None and (found.body, found.sent_at_s, found.digest, found.status) == (
        put.body,
        put.sent_at_s,
        put.digest,
        put.status,
    )


async def until(condition: Callable[[], bool]) -> None:
    """Let others have their turn until the condition holds; a thread of theirs may take a moment."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - nothing tells of it but the state itself
            await asyncio.sleep(0.001)


def aside(path: Path) -> list[Path]:
    """The files set aside beside `path`, without what belongs to them."""
    found = sorted(path.parent.glob(f"{path.name}.set-aside-*"))
    return [file for file in found if not file.name.endswith(("-wal", "-shm", "-journal"))]


def fetch(path: Path, sql: str) -> list[tuple[object, ...]]:
    """Look into a file that no store has open, changing nothing."""
    connection = sqlite3.connect(path)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def edit(path: Path, *statements: str) -> None:
    """Change a file that no store has open."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        for statement in statements:
            connection.execute(statement)
    finally:
        connection.close()


def scribble(path: Path, *, begin: int = 0) -> None:
    """Overwrite a file in place from `begin` on, its length unchanged."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(begin)
        file.write(b"\xa5" * (size - begin))
        file.flush()
        os.fsync(file.fileno())


@asynccontextmanager
async def locked(path: Path, mode: str = "NORMAL") -> AsyncIterator[None]:
    """Another program holds the file."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", LOCKER, str(path), mode, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert await process.stdout.readline() == b"locked\n"
    try:
        yield
    finally:
        process.stdin.close()
        assert await process.wait() == 0


@asynccontextmanager
async def read_elsewhere(path: Path) -> AsyncIterator[None]:
    """Another program reads the file all the while."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", READER, str(path), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert await process.stdout.readline() == b"reading\n"
    try:
        yield
    finally:
        process.stdin.close()
        assert await process.wait() == 0


@asynccontextmanager
async def stuck(connection: aiosqlite.Connection) -> AsyncIterator[None]:
    """The connection's thread is held in one operation, as by a disk that does not answer."""
    gate = threading.Event()
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()

    def hold() -> None:
        loop.call_soon_threadsafe(begun.set)
        assert gate.wait(30), "somebody waited for the disk"

    holding = asyncio.create_task(connection._execute(hold))  # type: ignore[no-untyped-call]  # noqa: SLF001 -- no public way to hold the thread
    await begun.wait()
    try:
        yield
    finally:
        gate.set()
        await holding


def connection_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if "_connection_worker_thread" in thread.name]
