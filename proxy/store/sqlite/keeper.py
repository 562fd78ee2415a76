"""The one task that has the file: it opens it, writes what is waiting, notices what goes wrong, and mends what can be mended.

It goes round in passes. A pass without a fault looks whether the file is still the one at its path, and commits one batch of
all that waits; what is put in the next moment (GATHER_S) is one batch, so that a transaction is not paid for each entry. Nobody
waits for that: what is on its way is read from the backlog, and whoever wants it in the file doesn't let it gather. A pass with
a fault that is due tries to mend it. Everything else in the store talks to the keeper by leaving something in the backlog and
waking it.
"""

import asyncio
from contextlib import suppress
from pathlib import Path

import structlog

from proxy.clock import Clock
from proxy.core.raised import let_go
from proxy.errors import StoreError
from proxy.store.counters import StoreCounters, StoreSizes
from proxy.store.sqlite import files
from proxy.store.sqlite.backlog import TOUCHES_AFTER_S, Backlog
from proxy.store.sqlite.database import Database
from proxy.store.sqlite.faults import DiskFaultKind, Remedy, Trouble, fault_of, is_about_writing
from proxy.store.sqlite.quota import Room
from proxy.store.sqlite.writer import Writer

log = structlog.get_logger()

# How often it is looked at, when the store is used, whether the file is still the one that was opened.
LOOK_EVERY_S = 1.0

# A transaction takes some ten calls of the file's thread, whether for one entry or for a hundred.
GATHER_S = 0.05

# How long the first opening is waited for, and the last writing.
START_TIMEOUT_S = 5.0
STOP_TIMEOUT_S = 5.0


class Keeper:
    """See above. `database` may be read from while it is not None; `trouble.fault` says what is wrong."""

    def __init__(
        self,
        path: Path,
        *,
        room: Room,
        clock: Clock,
        counters: StoreCounters,
        backlog: Backlog,
        lock_timeout_s: float,
    ) -> None:
        self._path = path
        self._room = room
        self._clock = clock
        self._counters = counters
        self._backlog = backlog
        self._lock_timeout_s = lock_timeout_s
        self._writer = Writer(room=room, clock=clock, counters=counters, backlog=backlog)
        self._lock = files.FileLock(path)
        self._wake = asyncio.Event()
        # Somebody waits for what is to be done: nothing is gathered.
        self._hurry = asyncio.Event()
        self._started: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._closing = False
        self._waiting: list[asyncio.Future[None]] = []
        self._reported: Exception | None = None
        self._broken: str | None = None
        self._looked_at_s = self._written_at_s = clock.monotonic_s()
        self._said: set[tuple[str, str]] = set()
        self.trouble = Trouble(clock)
        self.database: Database | None = None

    @property
    def sizes(self) -> StoreSizes:
        """How full the file was after the last write."""
        return self._writer.sizes

    @property
    def is_writing(self) -> bool:
        """Whether what is put now will be written."""
        return self.database is not None and self.trouble.fault is None and not self._closing

    async def start(self) -> None:
        """Begin. Returns when the file is open, cannot be opened now (see `trouble`), or START_TIMEOUT_S have passed.

        Raises StoreError if the file must not be used: it is in use, or not safe where it lies. Nothing goes on then.
        """
        self._started = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._run(self._started), name="store-keeper")
        await asyncio.wait({self._started}, timeout=START_TIMEOUT_S)
        if self._started.done():
            self._started.result()
        else:
            self._started.cancel()

    async def settle(self) -> None:
        """Return when everything in the backlog is committed, or given up because it cannot be written now."""
        if self._task is None or self._task.done():
            return
        settled: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(settled)
        self._wake.set()
        self._hurry.set()
        await settled

    def wake(self) -> None:
        """There is something to do."""
        self._wake.set()

    def used(self) -> None:
        """The store is being used: it may be time to look whether the file is still there."""
        if self._clock.monotonic_s() - self._looked_at_s >= LOOK_EVERY_S:
            self._wake.set()

    def report(self, database: Database, exc: Exception) -> None:
        """Reading failed. What a file says that has been closed meanwhile is of no interest."""
        if database is self.database and self._reported is None:
            # What was being read when it came need not be kept until it is dealt with.
            let_go(exc)
            self._reported = exc
            self._wake.set()

    def say(self, event: str, kind: str, **values: object) -> None:
        """Log a warning, once for each kind until the store has recovered."""
        if (event, kind) not in self._said:
            self._said.add((event, kind))
            log.warning(event, kind=kind, path=str(self._path), **values)

    async def stop(self) -> None:
        """Write what waits, for STOP_TIMEOUT_S at most, close the file and let go of it. Never raises; repeatable."""
        self._closing = True
        self._wake.set()
        self._hurry.set()
        if self._task is not None and not self._task.done():
            _, late = await asyncio.wait({self._task}, timeout=STOP_TIMEOUT_S)
            if late:
                self._task.cancel()
                await asyncio.wait({self._task}, timeout=STOP_TIMEOUT_S)
        self._counters.dropped += self._backlog.give_up()
        self._answer(self._waiting)
        if await self._close():
            self._lock.release()

    async def _run(self, started: asyncio.Future[None]) -> None:
        try:
            await self._mend()
        except StoreError as exc:
            if not started.done():
                self._lock.release()
                started.set_exception(exc)
                return
            await self._fail(exc)
        except Exception as exc:  # noqa: BLE001 - any fault whatever: the service runs without the file
            await self._fail(exc)
        if not started.done():
            started.set_result(None)
        while not (self._closing and self._is_idle()):
            await self._sleep()
            await self._pass()

    def _is_idle(self) -> bool:
        if self.trouble.fault is not None:
            return self.trouble.due_in_s() > 0
        return not (self._backlog.is_urgent or self._backlog.has_touches)

    async def _sleep(self) -> None:
        """Wait until there is something to do."""
        # Even if nobody asks for anything: of a file that was deleted the space is free only when it is closed.
        wait_s = LOOK_EVERY_S
        if self.trouble.fault is not None:
            due_in_s = max(0.0, self.trouble.due_in_s())
            wait_s = due_in_s if self.database is None else min(due_in_s, LOOK_EVERY_S)
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._wake.wait()
        if self.trouble.fault is None and self._reported is None:
            with suppress(TimeoutError):
                async with asyncio.timeout(GATHER_S):
                    await self._hurry.wait()
        self._wake.clear()
        self._hurry.clear()

    async def _pass(self) -> None:
        waiting = list(self._waiting)
        try:
            settled = await self._step(everything=bool(waiting) or self._closing)
        except Exception as exc:  # noqa: BLE001 - any fault whatever: the service runs without the file
            settled = await self._fail(exc)
            let_go(exc)  # one that was reported is in a circle with the frame that raised it here
        if settled:
            self._answer(waiting)

    async def _step(self, *, everything: bool) -> bool:
        """Do what is due; return whether all that was in the backlog at the beginning is dealt with."""
        exc, self._reported = self._reported, None
        # A lock that keeps readers out as well is one fault, not one for every read: its next attempt must not be put off.
        if exc is not None and not (self.trouble.fault and is_about_writing(exc, self._path)):
            raise exc
        if self.database is None or self.trouble.fault is not None:
            if self.trouble.due_in_s() > 0:
                self._counters.dropped += self._backlog.give_up()
                await self._look_on()
                return True
            await self._mend()
        return self.database is None or await self._work(self.database, everything=everything)

    async def _work(self, database: Database, *, everything: bool) -> bool:
        """Commit one batch, if there is something to write; return whether that was all."""
        now_s = self._clock.monotonic_s()
        if now_s - self._looked_at_s >= LOOK_EVERY_S:
            await self._look(database)
        last = True
        touches_due = everything or now_s - self._written_at_s >= TOUCHES_AFTER_S
        if self._backlog.is_urgent or (self._backlog.has_touches and touches_due):
            self._written_at_s = now_s
            last = await self._writer.write(database)
        elif not self._writer.untidy:
            return True
        await self._writer.tidy(database)
        if self._writer.untidy or not last:
            self._wake.set()
            # What is left has been gathered already.
            self._hurry.set()
        return last

    async def _look(self, database: Database) -> None:
        """Raise MovedError, LockLostError or OSError unless the file and the lock are those that lie at their paths."""
        self._looked_at_s = self._clock.monotonic_s()
        await database.look()
        await asyncio.to_thread(self._lock.check)

    async def _look_on(self) -> None:
        """The same for a file that is only read now; another fault of looking changes nothing about that."""
        if self.database is not None and self._clock.monotonic_s() - self._looked_at_s >= LOOK_EVERY_S:
            with suppress(OSError):
                await self._look(self.database)

    async def _mend(self) -> None:
        """Open the file if it is not open, and find out whether it can be written; then all is well again."""
        if self.database is None:
            await self._prepare()
            self.database = await Database.open(self._path, room=self._room, lock_timeout_s=self._lock_timeout_s)
        await self._look(self.database)
        await self._writer.bound_log(self.database)
        await self.database.probe()
        await self._writer.tidy(self.database)
        fault = self.trouble.clear()
        self._said.clear()
        log.info("store.recovered" if fault else "store.opened", path=str(self._path), entries=self._writer.sizes.entries)

    async def _prepare(self) -> None:
        readable = await asyncio.to_thread(files.prepare_directory, self._path.parent)
        if readable:
            self.say("store.directory_readable", "directory", reason=f"others may read in {self._path.parent}")
        await asyncio.to_thread(self._lock.acquire)
        now_s, most = self._clock.now_s(), self._room.max_bytes
        aside = await asyncio.to_thread(files.prepare_file, self._path, broken=self._broken, now_s=now_s, max_bytes=most)
        self._broken = None
        if aside is not None:
            self._counters.set_aside += 1
            log.warning("store.set_aside", path=str(self._path), aside=str(aside[0]), reason=aside[1])
            for removed in await asyncio.to_thread(files.thin_out, self._path, max_bytes=most):
                log.warning("store.set_aside_removed", path=str(self._path), aside=str(removed))

    async def _fail(self, exc: Exception) -> bool:
        """Let a fault stand. Return whether the backlog was given up; if not, the next pass tries again at once."""
        fault = fault_of(exc, self._path)
        remedy = self.trouble.note(fault)
        self._counters.errors += 1
        self.say("store.failed", fault.kind, reason=fault.sentence)
        if remedy is Remedy.RENEW:
            self._broken = fault.sentence
        if remedy is not Remedy.HOLD:
            await self._close(moved=fault.kind is DiskFaultKind.MOVED)
        given_up = self.trouble.due_in_s() > 0
        self._counters.dropped += self._backlog.give_up() if given_up else self._backlog.put_back()
        return given_up

    async def _close(self, *, moved: bool = False) -> bool:
        """Close the file if it is open. Never raises; return False if the disk does not answer."""
        database, self.database = self.database, None
        self._reported = None
        if database is None:
            return True
        closed = await database.close()
        if moved:
            # What stays behind is left to the next opening, which fails and is tried again if it must.
            with suppress(OSError):
                await database.remove_remains()
        return closed

    def _answer(self, waiting: list[asyncio.Future[None]]) -> None:
        for settled in waiting:
            if not settled.done():
                settled.set_result(None)
        self._waiting = [settled for settled in self._waiting if not settled.done()]
