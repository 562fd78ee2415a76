"""The cache file and its lock, as far as this process has them: opening, checking that they are still there, closing."""

import asyncio
from contextlib import suppress
from pathlib import Path

import structlog

from proxy.clock import Clock
from proxy.store.counters import StoreCounters
from proxy.store.sqlite import files
from proxy.store.sqlite.database import Database
from proxy.store.sqlite.outlasting import Outlasting
from proxy.store.sqlite.quota import SizeLimits
from proxy.store.sqlite.warned import Warned

# How often it is checked that the open file is still the one at its path.
CHECK_EVERY_S = 1.0
_log = structlog.get_logger()


class HeldFile:
    """While `database` is not None the file is open."""

    def __init__(
        self,
        path: Path,
        *,
        limits: SizeLimits,
        clock: Clock,
        counters: StoreCounters,
        warned: Warned,
        lock_timeout_s: float,
    ) -> None:
        self._path = path
        self._limits = limits
        self._clock = clock
        self._counters = counters
        self._warned = warned
        self._lock_timeout_s = lock_timeout_s
        self._lock = files.FileLock(path)
        self._wanted = False
        self._outlasting = Outlasting(ended=self._release_unused)
        self._broken: str | None = None
        self._checked_at_s = clock.monotonic_s()
        self.database: Database | None = None

    @property
    def locked(self) -> bool:
        """Whether this process has the right to use the file."""
        return self._lock.held

    @property
    def check_is_due(self) -> bool:
        """Whether it is time to check that the file is still there."""
        return self._clock.monotonic_s() - self._checked_at_s >= CHECK_EVERY_S

    async def open(self) -> Database:
        """Return the open file, which is opened if it is closed. Raises StoreError, OSError or sqlite3.Error if it can't be."""
        if self.database is None:
            self._wanted = True
            return await asyncio.shield(self._outlasting.begin(self._open()))
        return self.database

    async def check_in_place(self, database: Database) -> None:
        """Check that the file and its lock are those at their paths. Raises MovedError, LockLostError, OSError."""
        self._checked_at_s = self._clock.monotonic_s()
        await database.check_in_place()
        await asyncio.to_thread(self._lock.check)

    def note_broken(self, reason: str) -> None:
        """Note that the file can be used no more: it is set aside when it is opened next."""
        self._broken = reason

    async def close(self, *, moved: bool = False) -> None:
        """Close the file if it is open. Never raises. If the disk does not answer, the closing goes on by itself.

        `moved`: the file no longer lies at its path, so its log is removed too.
        """
        database, self.database = self.database, None
        if database is None:
            return
        await asyncio.shield(self._outlasting.begin(database.close()))
        if moved:
            # If removing fails, the next opening finds the log; if that fails for it, it is tried again.
            with suppress(OSError):
                await database.remove_remains()

    async def let_go(self) -> None:
        """Close the file and release its lock. If the disk does not answer, the lock is released when the file is closed."""
        self._wanted = False
        await self.close()
        self._release_unused()

    def _release_unused(self) -> None:
        if not self._wanted and not self._outlasting:
            self._lock.release()

    async def _open(self) -> Database:
        await self._prepare()
        database = await Database.open(
            self._path,
            limits=self._limits,
            lock_timeout_s=self._lock_timeout_s,
            outlasting=self._outlasting,
            now_s=self._clock.now_s(),
        )
        if self._wanted:
            self.database = database
        else:
            await database.close()
        return database

    async def _prepare(self) -> None:
        readable = await asyncio.to_thread(files.prepare_directory, self._path.parent)
        if readable:
            self._warned.once("store.directory_readable", "directory", reason=f"others may read in {self._path.parent}")
        await asyncio.to_thread(self._lock.acquire)
        now_s, most = self._clock.now_s(), self._limits.max_bytes
        aside = await asyncio.to_thread(files.prepare_file, self._path, broken=self._broken, now_s=now_s, max_bytes=most)
        self._broken = None
        if aside is not None:
            self._counters.set_aside += 1
            _log.warning("store.set_aside", path=str(self._path), aside=str(aside[0]), reason=aside[1])
            for removed in await asyncio.to_thread(files.remove_oldest_aside, self._path, max_bytes=most):
                _log.warning("store.set_aside_removed", path=str(self._path), aside=str(removed))
