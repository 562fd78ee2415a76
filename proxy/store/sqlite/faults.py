"""What can go wrong with the file: the sentence that tells it, and the remedy, which the keeper carries out."""

import errno
import sqlite3
from dataclasses import dataclass
from enum import Enum, StrEnum
from pathlib import Path

from proxy.clock import Clock
from proxy.errors import StoreError
from proxy.store.sqlite.files import InUseError, LockLostError, TooManySetAsideError

FIRST_DELAY_S = 1.0
LONGEST_DELAY_S = 30.0

# After so long without a fault, the next one counts as the first of a new row.
QUIET_S = 60.0

# If reading failed so many times in a row, the file is treated as damaged.
UNREADABLE_AFTER = 3


class DiskFaultKind(StrEnum):
    """The kinds of faults. The values are the words in the log."""

    DAMAGED = "damaged"
    MOVED = "moved"
    UNLOCKED = "unlocked"
    LOG_HELD = "log-held"
    FULL = "full"
    LOCKED = "locked"
    READ_ONLY = "read-only"
    UNREADABLE = "unreadable"
    FAILED = "failed"
    REFUSED = "refused"
    IN_USE = "in-use"


class Remedy(Enum):
    """What the keeper does about a fault."""

    RENEW = "set the file aside and begin a new one"
    REOPEN = "open whatever lies at the path now, or begin a new file"
    WAIT = "close the file and try again later"
    HOLD = "go on reading; try to write again later"


REMEDIES = {
    DiskFaultKind.DAMAGED: Remedy.RENEW,
    DiskFaultKind.MOVED: Remedy.REOPEN,
    DiskFaultKind.UNLOCKED: Remedy.REOPEN,
    DiskFaultKind.LOG_HELD: Remedy.HOLD,
    DiskFaultKind.FULL: Remedy.HOLD,
    DiskFaultKind.LOCKED: Remedy.HOLD,
    DiskFaultKind.READ_ONLY: Remedy.HOLD,
    DiskFaultKind.UNREADABLE: Remedy.WAIT,
    DiskFaultKind.FAILED: Remedy.WAIT,
    DiskFaultKind.REFUSED: Remedy.WAIT,
    DiskFaultKind.IN_USE: Remedy.WAIT,
}


UNUSABLE = "the cache file cannot be used; answers are kept in memory alone"


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskFault:
    """One fault. `sentence` tells it to the operator."""

    kind: DiskFaultKind
    sentence: str

    @property
    def effect(self) -> str:
        """One sentence for everybody, which names no file: what follows from the fault."""
        match self.kind:
            case DiskFaultKind.LOG_HELD:
                return "another program goes on reading the cache file: nothing new is written to it"
            case _ if REMEDIES[self.kind] is Remedy.HOLD:
                return "the cache file cannot be written: new answers are kept in memory alone"
            case _:
                return UNUSABLE


def is_about_writing(exc: Exception, path: Path) -> bool:
    """Tell whether the file can still be read after this error."""
    return REMEDIES[fault_of(exc, path).kind] is Remedy.HOLD


class MovedError(Exception):
    """The open file no longer lies at its path."""


class LogHeldError(Exception):
    """The write-ahead log is full and cannot be emptied, since another program reads from it."""

    def __init__(self, log_bytes: int) -> None:
        super().__init__(f"{log_bytes} bytes")
        self.log_bytes = log_bytes


def fault_of(exc: Exception, path: Path) -> DiskFault:
    """Return the fault that an exception means for the file at `path`."""
    if isinstance(exc, StoreError | TooManySetAsideError):
        kind = DiskFaultKind.IN_USE if isinstance(exc, InUseError) else DiskFaultKind.REFUSED
        return DiskFault(kind=kind, sentence=str(exc))
    kind = _kind_of(exc)
    match kind:
        case DiskFaultKind.DAMAGED:
            sentence = f"the cache file {path} is damaged"
        case DiskFaultKind.MOVED:
            sentence = f"the cache file {path} was removed or replaced"
        case DiskFaultKind.UNLOCKED:
            sentence = (
                f"the lock of the cache file {path} was removed or replaced, another pluto-proxy may have begun to use it"
            )
        case DiskFaultKind.LOG_HELD:
            sentence = (
                f"another program goes on reading the cache file {path}, so that its write-ahead log cannot be emptied: "
                "nothing is written until that program has ended its transaction"
            )
        case DiskFaultKind.FULL:
            sentence = f"there is no room for the cache file {path}"
        case DiskFaultKind.LOCKED:
            sentence = f"the cache file {path} is locked by another program"
        case DiskFaultKind.READ_ONLY:
            sentence = f"the cache file {path} or its directory is read-only"
        case DiskFaultKind.UNREADABLE:
            sentence = f"reading the cache file {path} failed"
        case _:
            sentence = f"the cache file {path} cannot be used"
    return DiskFault(kind=kind, sentence=f"{sentence} ({_detail(exc)})")


def _kind_of(exc: Exception) -> DiskFaultKind:
    match exc:
        case MovedError():
            return DiskFaultKind.MOVED
        case LockLostError():
            return DiskFaultKind.UNLOCKED
        case LogHeldError():
            return DiskFaultKind.LOG_HELD
        case sqlite3.Error():
            return _kind_of_sqlite(getattr(exc, "sqlite_errorcode", None))
        case OSError(errno=errno.EROFS | errno.EACCES | errno.EPERM):
            return DiskFaultKind.READ_ONLY
        case OSError(errno=errno.ENOSPC | errno.EDQUOT):
            return DiskFaultKind.FULL
        case OSError(errno=errno.EIO):
            return DiskFaultKind.UNREADABLE
        case _:
            return DiskFaultKind.FAILED


def _kind_of_sqlite(code: int | None) -> DiskFaultKind:
    match code, (code or 0) & 0xFF:
        case sqlite3.SQLITE_READONLY_DBMOVED, _:
            return DiskFaultKind.MOVED
        case (
            sqlite3.SQLITE_IOERR_READ | sqlite3.SQLITE_IOERR_SHORT_READ | sqlite3.SQLITE_IOERR_CORRUPTFS,
            _,
        ):
            return DiskFaultKind.UNREADABLE
        # SQLITE_ERROR is a table or column that should be there, SQLITE_CONSTRAINT an index that contradicts its table.
        case _, sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_ERROR | sqlite3.SQLITE_CONSTRAINT:
            return DiskFaultKind.DAMAGED
        case _, sqlite3.SQLITE_FULL:
            return DiskFaultKind.FULL
        case _, sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return DiskFaultKind.LOCKED
        case _, sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
            return DiskFaultKind.READ_ONLY
        case _:
            return DiskFaultKind.FAILED


def _detail(exc: Exception) -> str:
    if isinstance(exc, sqlite3.Error):
        return f"{getattr(exc, 'sqlite_errorname', type(exc).__name__)}: {exc}"
    if isinstance(exc, LogHeldError | LockLostError):
        return str(exc)
    if isinstance(exc, OSError) and exc.errno is not None:
        return f"{errno.errorcode.get(exc.errno, exc.errno)}: {exc.strerror}"
    return f"{type(exc).__name__}: {exc}"


class Trouble:
    """The fault that the store has now, if any, and when to try again.

    After the first fault of a row the next attempt is made at once if the remedy is to open a file anew. Otherwise the delays
    grow: 1 s, 2 s, 4 s … 30 s by the monotonic clock. Whether another process still uses the file is looked at each second.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last_at_s: float | None = None
        self._attempts = 0
        self._retry_at_s = 0.0
        self.fault: DiskFault | None = None

    def note(self, fault: DiskFault) -> Remedy:
        """Note a fault. Return the remedy."""
        now_s = self._clock.monotonic_s()
        quiet = self._last_at_s is None or now_s - self._last_at_s > QUIET_S
        # The other process may be about to end, and let go of the file.
        passing = fault.kind is DiskFaultKind.IN_USE
        self._attempts = 0 if quiet or passing else self._attempts + 1
        self._last_at_s = now_s
        self.fault = fault
        remedy = REMEDIES[fault.kind]
        if fault.kind is DiskFaultKind.UNREADABLE and self._attempts >= UNREADABLE_AFTER:
            remedy = Remedy.RENEW
        at_once = remedy in (Remedy.RENEW, Remedy.REOPEN)
        self._retry_at_s = now_s + self._delay_s(self._attempts - at_once)
        return remedy

    def due_in_s(self) -> float:
        """Return the seconds until the next attempt is due; 0 or less: it is due now."""
        return self._retry_at_s - self._clock.monotonic_s()

    def clear(self) -> DiskFault | None:
        """Note that nothing is wrong any more, so that nothing is put off. Return the fault that there was, if any."""
        fault, self.fault = self.fault, None
        self._retry_at_s = self._clock.monotonic_s()
        return fault

    @staticmethod
    def _delay_s(attempt: int) -> float:
        # 2**6 s is longer than the longest delay: a larger exponent would make no difference.
        return 0.0 if attempt < 0 else min(LONGEST_DELAY_S, FIRST_DELAY_S * 2 ** min(attempt, 6))
