"""Reads of the open file, each in bounded time: a disk that does not answer must hold up no request.

One thread reads. While a read is stuck there, nothing else is read: all others return at once.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TypeVar

import structlog

from proxy.store.contract import UnreadError
from proxy.store.counters import StoreCounters
from proxy.store.sqlite.database import Database
from proxy.store.sqlite.keeper import Keeper

# A read that takes longer counts as a miss: the upstream may well be faster.
READ_TIMEOUT_S = 0.25
# What waits for others is not late, so few reads are begun at once: that many keep the thread busy.
READS_AT_ONCE = 8
_ROUNDS = 5
_log = structlog.get_logger()

T = TypeVar("T")


class Reads:
    """Reads the file that the keeper has open, if it has one. `counters.unread` counts what could not be read."""

    def __init__(self, path: Path, keeper: Keeper, counters: StoreCounters, *, timeout_s: float) -> None:
        self._path = path
        self._keeper = keeper
        self._counters = counters
        self._timeout_s = timeout_s
        self._slow: asyncio.Task[None] | None = None
        self._turns = asyncio.Semaphore(READS_AT_ONCE)

    @property
    def trouble(self) -> str | None:
        """One sentence for the operator where a read is stuck."""
        return None if self._slow is None else f"reading the cache file {self._path} takes longer than {self._timeout_s:g} s"

    async def read(self, read: Callable[[Database], Coroutine[None, None, T]]) -> T | None:
        """Return what a read of the file brings, None where it asks for what no file can hold.

        Takes the timeout at most, once the reads that came before have come back. Raises UnreadError, and nothing else, where
        the file cannot be read now.
        """
        async with self._turns:
            database = self._keeper.database
            if database is None or self._slow is not None:
                self._counters.unread += 1
                raise UnreadError
            try:
                return await self._in_time(read(database))
            except UnicodeEncodeError:
                return None  # a lone surrogate
            except Exception as exc:  # noqa: BLE001 - the contract: any fault whatever is nothing read
                self._counters.unread += 1
                self._note_failure(database, exc)
        raise UnreadError

    async def aclose(self) -> None:
        """Wait for no read any more."""
        if self._slow is not None:
            self._slow.cancel()
            await asyncio.wait({self._slow})

    async def _in_time(self, reading: Coroutine[None, None, T]) -> T:
        """Return what a read brings. Raises TimeoutError where the disk does not answer.

        Time counts only while the event loop goes round: where the process itself is busy, the disk is not late.
        """
        task = asyncio.create_task(reading)
        try:
            for _ in range(_ROUNDS):
                done, _ = await asyncio.wait({task}, timeout=self._timeout_s / _ROUNDS)
                if done:
                    return task.result()
            raise TimeoutError
        finally:
            task.cancel()

    def _note_failure(self, database: Database, exc: Exception) -> None:
        """Handle a failed read: after a timeout wait for the disk, else report the fault to the keeper."""
        if isinstance(exc, TimeoutError):
            self._counters.errors += 1
            if self._slow is None:
                _log.warning("store.read_timed_out", path=str(self._path), timeout_s=self._timeout_s)
                self._slow = asyncio.create_task(self._wait_for_disk(database), name="store-slow-read")
        elif not isinstance(exc, ValueError):
            # A ValueError is no fault of the file: the connection was closed meanwhile.
            self._keeper.report(database, exc)

    async def _wait_for_disk(self, database: Database) -> None:
        """Wait until a stuck read has come back. Nothing else is read until then."""
        try:
            await database.drain()
            _log.info("store.read_returned", path=str(self._path))
        except (sqlite3.Error, ValueError) as exc:
            self._keeper.report(database, exc)
        finally:
            self._slow = None
