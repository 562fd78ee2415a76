"""Giving the file to another process that takes over from this one, and taking it back.

Whoever asks for either says only what is wanted. What is, only the keeper's task changes, between its passes: so a file that is
taken back while it is being closed is closed first, and opened again then.
"""

from pathlib import Path
from typing import Protocol

from proxy.store.counters import StoreCounters
from proxy.store.sqlite.backlog import Backlog
from proxy.store.sqlite.batch import Batch
from proxy.store.sqlite.faults import Trouble, fault_of
from proxy.store.sqlite.held_file import HeldFile
from proxy.store.sqlite.warned import Warned
from proxy.store.sqlite.writer import Writer


class Heir(Protocol):
    """The process that has the file now, as far as it is there to write."""

    async def write(self, batch: Batch, *, now_s: float) -> int:
        """Have a batch written; return 0. Raises OSError where that process is gone."""


class Giving:
    """Who is to have the file, and who has it."""

    def __init__(
        self,
        path: Path,
        *,
        file: HeldFile,
        writer: Writer,
        backlog: Backlog,
        counters: StoreCounters,
        warned: Warned,
        trouble: Trouble,
    ) -> None:
        self._path = path
        self._file = file
        self._writer = writer
        self._backlog = backlog
        self._counters = counters
        self._warned = warned
        self._trouble = trouble
        self._heir: Heir | None = None
        self._let_go = False
        self._awaited = False
        self.wanted = False
        """Whether another process is to have the file."""

    @property
    def is_given(self) -> bool:
        """Whether another process has the file, or is to have it: what is put waits for that process, or for the file.

        One from which the file was taken back may have it for a while.
        """
        return self.wanted or self._let_go or self._awaited

    @property
    def has_let_go(self) -> bool:
        """Whether another process may use the file."""
        return self.wanted and self._let_go and not self._file.locked

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to do for `step`."""
        return self._let_go and (self._heir is None or not self._backlog.is_urgent)

    def want(self) -> None:
        """Have the file given away."""
        self.wanted = True

    def inherit(self, heir: Heir) -> None:
        """Hand what waits, and whatever comes, to the process that has the file."""
        self._heir = heir

    def take_back(self) -> None:
        """Have the file used here again: the process that had it is gone."""
        self.wanted = False
        self._heir = None

    async def step(self) -> bool:
        """Write what waits, and close the file; once it is closed, hand what waits to who has it.

        Return whether all that waited is written, or nobody is there to write it: then it goes on waiting.
        """
        if not self._let_go:
            await self._write_and_let_go()
            return True
        if self._heir is None or not self._backlog.is_urgent:
            return True
        try:
            return await self._writer.write(self._heir)
        except OSError:
            self._heir = None
            self._counters.dropped += self._backlog.put_back()
            return True

    def end(self) -> None:
        """Note that the file is to be used here, as soon as the other process has let go of it (`note_back`)."""
        self._awaited = self._awaited or self._let_go
        self._let_go = False

    def note_back(self) -> None:
        """Note that no other process has the file."""
        self._awaited = False

    async def _write_and_let_go(self) -> None:
        try:
            while self._file.database is not None and self._trouble.fault is None and self._backlog.is_urgent:
                await self._writer.write(self._file.database)
        except Exception as exc:  # noqa: BLE001 - whatever it is: who has the file next writes what is left
            self._warned.once("store.failed", "giving", reason=fault_of(exc, self._path).sentence)
            self._counters.dropped += self._backlog.put_back()
        self._let_go = True
        await self._file.let_go()
        self._trouble.clear()
