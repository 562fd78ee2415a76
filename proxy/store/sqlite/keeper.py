"""The one task that opens the file, writes to it, notices what goes wrong, and mends what can be mended.

The task works in passes. While nothing is wrong, a pass checks that the open file is still the one at its path, and commits one
batch of what waits in the backlog. A pass begins GATHER_S after something was put: what was put in between is one batch, so
that not every entry costs a transaction. Readers need not wait for that, since they read the backlog too; and whoever waits for
a commit (`settle`) has the pass begin at once. While something is wrong, a pass tries to mend it as soon as a try is due.

The rest of the store talks to the keeper by putting something into the backlog and waking it.

The file can be given to another process that takes over from this one (`giving`): it is closed then, and what waits in the
backlog goes to that process instead (`Heir`), which writes it.
"""

import asyncio
from contextlib import suppress
from pathlib import Path

import structlog

from proxy.clock import Clock
from proxy.core.kept_errors import drop_frames
from proxy.errors import StoreError
from proxy.store.counters import StoreCounters, StoreSizes
from proxy.store.sqlite import files
from proxy.store.sqlite.backlog import TOUCHES_AFTER_S, Backlog
from proxy.store.sqlite.database import Database
from proxy.store.sqlite.faults import DiskFaultKind, Remedy, Trouble, fault_of, is_about_writing
from proxy.store.sqlite.giving import Giving, Heir
from proxy.store.sqlite.held_file import CHECK_EVERY_S, HeldFile
from proxy.store.sqlite.quota import SizeLimits
from proxy.store.sqlite.warned import Warned
from proxy.store.sqlite.writer import Writer

log = structlog.get_logger()

# How long entries are gathered into one batch. A transaction takes about ten calls of the file's thread, for one entry as for
# 100.
GATHER_S = 0.05

# How long start() waits for the file to open, and stop() for the last writing.
START_TIMEOUT_S = 5.0
STOP_TIMEOUT_S = 5.0


class Keeper:
    """See above. While `database` is not None it may be read from. `trouble.fault` says what is wrong."""

    def __init__(
        self,
        path: Path,
        *,
        limits: SizeLimits,
        clock: Clock,
        counters: StoreCounters,
        backlog: Backlog,
        lock_timeout_s: float,
        waits: bool,
    ) -> None:
        self._waits = waits
        self._path = path
        self._clock = clock
        self._counters = counters
        self._backlog = backlog
        self._warned = Warned(path)
        self._file = HeldFile(
            path, limits=limits, clock=clock, counters=counters, warned=self._warned, lock_timeout_s=lock_timeout_s
        )
        self._writer = Writer(limits=limits, clock=clock, counters=counters, backlog=backlog)
        self._wake = asyncio.Event()
        # Set when the next pass is to begin without gathering.
        self._at_once = asyncio.Event()
        self._started: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._closing = False
        self._waiting: list[asyncio.Future[None]] = []
        self._reported: Exception | None = None
        self._written_at_s = clock.monotonic_s()
        self.trouble = Trouble(clock)
        self._giving = Giving(
            path,
            file=self._file,
            writer=self._writer,
            backlog=backlog,
            counters=counters,
            warned=self._warned,
            trouble=self.trouble,
        )

    @property
    def database(self) -> Database | None:
        """The open file."""
        return self._file.database

    @property
    def sizes(self) -> StoreSizes:
        """How full the file was after the last write."""
        return self._writer.sizes

    @property
    def accepts_writes(self) -> bool:
        """Whether an entry that is put now will be written, as far as is known."""
        return (self._giving.is_given or (self.database is not None and self.trouble.fault is None)) and not self._closing

    @property
    def given(self) -> bool:
        """Whether another process has the file, or is to have it."""
        return self._giving.wanted

    @property
    def has_let_go(self) -> bool:
        """Whether another process may use the file."""
        return self._giving.has_let_go

    async def start(self) -> None:
        """Start the task. Returns when the file is open or cannot be opened now (see `trouble`), or after START_TIMEOUT_S.

        Raises StoreError if the file must not be used: another process uses it, or it is not safe where it lies. The task has
        ended then.
        """
        self._started = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._run(self._started), name="store-keeper")
        await asyncio.wait({self._started}, timeout=START_TIMEOUT_S)
        if self._started.done():
            self._started.result()
        else:
            self._started.cancel()

    async def settle(self) -> None:
        """Return when everything in the backlog is committed, or cannot be written now.

        Then it is dropped, or waits for who has the file.
        """
        if self._task is None or self._task.done():
            return
        settled: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(settled)
        self._wake.set()
        self._at_once.set()
        await settled

    async def give(self) -> bool:
        """Write what waits, close the file and release its lock, for another process to use it.

        Return False if the disk does not answer: then the lock is held until the file is closed. Never raises.
        """
        self._giving.want()
        await self.settle()
        return self.has_let_go

    def inherit(self, heir: Heir) -> None:
        """Hand what waits, and whatever comes, to the process that has the file."""
        self._giving.inherit(heir)
        self.wake()

    def take_back(self) -> None:
        """Use the file again: the process that had it is gone."""
        self._giving.take_back()
        self.wake()

    def wake(self) -> None:
        """Tell the task that there is something to do."""
        self._wake.set()

    def note_use(self) -> None:
        """Note that the store is used, and wake the task if the file is due to be checked."""
        if self._file.check_is_due:
            self._wake.set()

    def report(self, database: Database, exc: Exception) -> None:
        """Report a failed read of `database`. Ignored if that file has been closed meanwhile."""
        if database is self.database and self._reported is None:
            # Without this the error would keep the frames of the read, and what was read, until the next pass.
            drop_frames(exc)
            self._reported = exc
            self._wake.set()

    def warn_once(self, event: str, kind: str, **values: object) -> None:
        """Log a warning once for each event and kind, until the store has recovered."""
        self._warned.once(event, kind, **values)

    async def stop(self) -> None:
        """Write what waits, close the file and release the lock. Never raises; may be called again.

        The task is cancelled if it takes longer than STOP_TIMEOUT_S.
        """
        self._closing = True
        self._wake.set()
        self._at_once.set()
        if self._task is not None and not self._task.done():
            _, late = await asyncio.wait({self._task}, timeout=STOP_TIMEOUT_S)
            if late:
                self._task.cancel()
                await asyncio.wait({self._task}, timeout=STOP_TIMEOUT_S)
        self._counters.dropped += self._backlog.give_up()
        self._release(self._waiting)
        self._reported = None
        await self._file.let_go()

    async def _run(self, started: asyncio.Future[None]) -> None:
        try:
            await self._mend()
        except StoreError as exc:
            if not (started.done() or (self._waits and isinstance(exc, files.InUseError))):
                await self._file.let_go()
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
        if self._giving.wanted:
            return self._giving.is_idle
        if self.trouble.fault is not None:
            return self.trouble.due_in_s() > 0
        return not (self._backlog.is_urgent or self._backlog.has_touches)

    async def _sleep(self) -> None:
        """Wait until there is something to do, then until what comes with it is gathered."""
        # The file is checked even if nobody uses the store: a deleted file frees its space only when it is closed.
        wait_s = CHECK_EVERY_S
        if self.trouble.fault is not None:
            due_in_s = max(0.0, self.trouble.due_in_s())
            wait_s = due_in_s if self.database is None else min(due_in_s, CHECK_EVERY_S)
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._wake.wait()
        if self.trouble.fault is None and self._reported is None:
            with suppress(TimeoutError):
                async with asyncio.timeout(GATHER_S):
                    await self._at_once.wait()
        self._wake.clear()
        self._at_once.clear()

    async def _pass(self) -> None:
        waiting = list(self._waiting)
        try:
            settled = await self._step(everything=bool(waiting) or self._closing)
        except Exception as exc:  # noqa: BLE001 - any fault whatever: the service runs without the file
            settled = await self._fail(exc)
            drop_frames(exc)  # an error that was reported and raised here is in a reference cycle with this frame
        if settled:
            self._release(waiting)

    async def _step(self, *, everything: bool) -> bool:
        """Do what is due. Return whether everything that was in the backlog at the beginning is written or dropped."""
        if self._giving.wanted:
            return await self._hand_on()
        self._giving.end()
        exc, self._reported = self._reported, None
        # While writing is at fault already, a read that meets the same fault must not put off the next attempt: one fault, not
        # many.
        if exc is not None and not (self.trouble.fault and is_about_writing(exc, self._path)):
            raise exc
        if self.database is None or self.trouble.fault is not None:
            if self.trouble.due_in_s() > 0:
                self._let_wait_or_drop()
                await self._check_in_place_while_held()
                return True
            await self._mend()
        return self.database is None or await self._work(self.database, everything=everything)

    async def _hand_on(self) -> bool:
        self._reported = None
        last = await self._giving.step()
        if not last:
            self._at_once.set()
            self._wake.set()
        return last

    async def _work(self, database: Database, *, everything: bool) -> bool:
        """Commit one batch if there is something to write. Return whether nothing is left to write."""
        now_s = self._clock.monotonic_s()
        if self._file.check_is_due:
            await self._file.check_in_place(database)
        last = True
        touches_due = everything or now_s - self._written_at_s >= TOUCHES_AFTER_S
        if self._backlog.is_urgent or (self._backlog.has_touches and touches_due):
            self._written_at_s = now_s
            last = await self._writer.write(database)
        elif not self._writer.more_to_give_back:
            return True
        await self._writer.tidy(database)
        if self._writer.more_to_give_back or not last:
            self._wake.set()
            # What is left has waited already.
            self._at_once.set()
        return last

    async def _check_in_place_while_held(self) -> None:
        """Check a file that is only read for now, as often as one that is written. An OSError of the check changes nothing."""
        if self.database is not None and self._file.check_is_due:
            with suppress(OSError):
                await self._file.check_in_place(self.database)

    async def _mend(self) -> None:
        """Open the file if it is closed, and check that it can be written. If nothing raises, the fault is mended."""
        database = await self._file.open()
        self._giving.note_back()
        await self._file.check_in_place(database)
        await self._writer.bound_log(database)
        await database.check_writable()
        await self._writer.tidy(database)
        fault = self.trouble.clear()
        self._warned.forget()
        log.info("store.recovered" if fault else "store.opened", path=str(self._path), entries=self._writer.sizes.entries)

    async def _fail(self, exc: Exception) -> bool:
        """Note a fault and apply its remedy.

        Return whether nothing can be written for a while. Otherwise the next pass tries again at once.
        """
        fault = fault_of(exc, self._path)
        remedy = self.trouble.note(fault)
        self._counters.errors += 1
        self._warned.once("store.failed", fault.kind, reason=fault.sentence)
        if fault.kind is not DiskFaultKind.IN_USE:
            self._giving.note_back()
        if remedy is Remedy.RENEW:
            self._file.note_broken(fault.sentence)
        if remedy is not Remedy.HOLD:
            self._reported = None
            await self._file.close(moved=fault.kind is DiskFaultKind.MOVED)
        if self.trouble.due_in_s() <= 0:
            self._counters.dropped += self._backlog.put_back()
            return False
        self._let_wait_or_drop()
        return True

    def _let_wait_or_drop(self) -> None:
        """Drop what waits, since nothing can be written for a while, unless it waits for who has the file, or has it still."""
        given = self._giving.is_given
        self._counters.dropped += self._backlog.put_back() if given else self._backlog.give_up()

    def _release(self, waiting: list[asyncio.Future[None]]) -> None:
        for settled in waiting:
            if not settled.done():
                settled.set_result(None)
        self._waiting = [settled for settled in self._waiting if not settled.done()]
