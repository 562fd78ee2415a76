"""What an exception means, and how long it is before the next attempt."""

import errno
import sqlite3
from pathlib import Path

import pytest

from proxy.errors import StoreError
from proxy.store.sqlite.faults import DiskFault, DiskFaultKind, MovedError, Remedy, Trouble, fault_of
from proxy.store.sqlite.files import TooManySetAsideError
from tests.store.support import ManualClock

PATH = Path("/cache/answers.sqlite")


def sqlite_error(code: int) -> sqlite3.OperationalError:
    exc = sqlite3.OperationalError("what SQLite said")
    exc.sqlite_errorcode = code
    exc.sqlite_errorname = "SQLITE_NAME"
    return exc


@pytest.mark.parametrize(
    ("exc", "kind"),
    [
        (sqlite_error(sqlite3.SQLITE_CORRUPT), DiskFaultKind.DAMAGED),
        (sqlite_error(sqlite3.SQLITE_CORRUPT_INDEX), DiskFaultKind.DAMAGED),
        (sqlite_error(sqlite3.SQLITE_NOTADB), DiskFaultKind.DAMAGED),
        (sqlite_error(sqlite3.SQLITE_ERROR), DiskFaultKind.DAMAGED),
        (sqlite_error(sqlite3.SQLITE_CONSTRAINT_UNIQUE), DiskFaultKind.DAMAGED),
        (sqlite_error(sqlite3.SQLITE_READONLY_DBMOVED), DiskFaultKind.MOVED),
        (MovedError(), DiskFaultKind.MOVED),
        (sqlite_error(sqlite3.SQLITE_FULL), DiskFaultKind.FULL),
        (OSError(errno.ENOSPC, "No space"), DiskFaultKind.FULL),
        (OSError(errno.EDQUOT, "Quota"), DiskFaultKind.FULL),
        (sqlite_error(sqlite3.SQLITE_BUSY), DiskFaultKind.LOCKED),
        (sqlite_error(sqlite3.SQLITE_BUSY_SNAPSHOT), DiskFaultKind.LOCKED),
        (sqlite_error(sqlite3.SQLITE_LOCKED), DiskFaultKind.LOCKED),
        (sqlite_error(sqlite3.SQLITE_READONLY), DiskFaultKind.READ_ONLY),
        (sqlite_error(sqlite3.SQLITE_READONLY_DIRECTORY), DiskFaultKind.READ_ONLY),
        (sqlite_error(sqlite3.SQLITE_PERM), DiskFaultKind.READ_ONLY),
        (OSError(errno.EROFS, "Read-only"), DiskFaultKind.READ_ONLY),
        (PermissionError(errno.EACCES, "Denied"), DiskFaultKind.READ_ONLY),
        (sqlite_error(sqlite3.SQLITE_IOERR_READ), DiskFaultKind.UNREADABLE),
        (sqlite_error(sqlite3.SQLITE_IOERR_SHORT_READ), DiskFaultKind.UNREADABLE),
        (OSError(errno.EIO, "I/O"), DiskFaultKind.UNREADABLE),
        (sqlite_error(sqlite3.SQLITE_IOERR_WRITE), DiskFaultKind.FAILED),
        (sqlite_error(sqlite3.SQLITE_CANTOPEN), DiskFaultKind.FAILED),
        (sqlite3.OperationalError("without a code"), DiskFaultKind.FAILED),
        (OSError("without a number"), DiskFaultKind.FAILED),
        (OSError(errno.EMFILE, "Too many"), DiskFaultKind.FAILED),
        (MemoryError(), DiskFaultKind.FAILED),
        (StoreError("a sentence"), DiskFaultKind.REFUSED),
        (TooManySetAsideError("a sentence"), DiskFaultKind.REFUSED),
    ],
    ids=lambda value: str(getattr(value, "sqlite_errorcode", value)),
)
def test_what_an_exception_means(exc: Exception, kind: DiskFaultKind) -> None:
    """Each has its kind, and a sentence that names the file, but for those that are sentences already."""
    fault = fault_of(exc, PATH)
    assert fault.kind is kind
    assert fault.sentence == "a sentence" if kind is DiskFaultKind.REFUSED else str(PATH) in fault.sentence


def test_waiting_doubles(clock: ManualClock) -> None:
    """1, 2, 4 … 30 s between attempts, and from the beginning again after a quiet minute."""
    trouble = Trouble(clock)
    fault = DiskFault(kind=DiskFaultKind.FULL, sentence="full")
    waits = []
    for _ in range(8):
        assert trouble.note(fault) is Remedy.HOLD
        waits.append(trouble.due_in_s())
        clock.advance(trouble.due_in_s())
    assert waits == [1, 2, 4, 8, 16, 30, 30, 30]
    assert trouble.clear() is fault
    clock.advance(61)
    trouble.note(fault)
    assert trouble.due_in_s() == 1


@pytest.mark.parametrize("kind", [DiskFaultKind.DAMAGED, DiskFaultKind.MOVED])
def test_the_first_attempt_comes_at_once(clock: ManualClock, kind: DiskFaultKind) -> None:
    """What a new file mends is mended at once, unless it has just been tried."""
    trouble = Trouble(clock)
    waits = []
    for _ in range(4):
        trouble.note(DiskFault(kind=kind, sentence="broken"))
        waits.append(trouble.due_in_s())
    assert waits == [0, 1, 2, 4]


def test_unreadable_for_long_is_as_good_as_damaged(clock: ManualClock) -> None:
    """After three attempts in a row that did not help, a file that cannot be read is given up."""
    trouble = Trouble(clock)
    remedies = [trouble.note(DiskFault(kind=DiskFaultKind.UNREADABLE, sentence="unreadable")) for _ in range(4)]
    assert remedies == [Remedy.WAIT] * 3 + [Remedy.RENEW]
