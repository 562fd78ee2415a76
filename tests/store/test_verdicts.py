"""What an exception means, and how long it is before the next attempt."""

import errno
import sqlite3
from pathlib import Path

import pytest

from proxy.errors import StoreError
from proxy.store.faults import Fault, Kind, MovedError, Remedy, Trouble, fault_of
from proxy.store.files import TooManySetAsideError
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
        (sqlite_error(sqlite3.SQLITE_CORRUPT), Kind.DAMAGED),
        (sqlite_error(sqlite3.SQLITE_CORRUPT_INDEX), Kind.DAMAGED),
        (sqlite_error(sqlite3.SQLITE_NOTADB), Kind.DAMAGED),
        (sqlite_error(sqlite3.SQLITE_ERROR), Kind.DAMAGED),
        (sqlite_error(sqlite3.SQLITE_CONSTRAINT_UNIQUE), Kind.DAMAGED),
        (sqlite_error(sqlite3.SQLITE_READONLY_DBMOVED), Kind.MOVED),
        (MovedError(), Kind.MOVED),
        (sqlite_error(sqlite3.SQLITE_FULL), Kind.FULL),
        (OSError(errno.ENOSPC, "No space"), Kind.FULL),
        (OSError(errno.EDQUOT, "Quota"), Kind.FULL),
        (sqlite_error(sqlite3.SQLITE_BUSY), Kind.LOCKED),
        (sqlite_error(sqlite3.SQLITE_BUSY_SNAPSHOT), Kind.LOCKED),
        (sqlite_error(sqlite3.SQLITE_LOCKED), Kind.LOCKED),
        (sqlite_error(sqlite3.SQLITE_READONLY), Kind.READ_ONLY),
        (sqlite_error(sqlite3.SQLITE_READONLY_DIRECTORY), Kind.READ_ONLY),
        (sqlite_error(sqlite3.SQLITE_PERM), Kind.READ_ONLY),
        (OSError(errno.EROFS, "Read-only"), Kind.READ_ONLY),
        (PermissionError(errno.EACCES, "Denied"), Kind.READ_ONLY),
        (sqlite_error(sqlite3.SQLITE_IOERR_READ), Kind.UNREADABLE),
        (sqlite_error(sqlite3.SQLITE_IOERR_SHORT_READ), Kind.UNREADABLE),
        (OSError(errno.EIO, "I/O"), Kind.UNREADABLE),
        (sqlite_error(sqlite3.SQLITE_IOERR_WRITE), Kind.FAILED),
        (sqlite_error(sqlite3.SQLITE_CANTOPEN), Kind.FAILED),
        (sqlite3.OperationalError("without a code"), Kind.FAILED),
        (OSError("without a number"), Kind.FAILED),
        (OSError(errno.EMFILE, "Too many"), Kind.FAILED),
        (MemoryError(), Kind.FAILED),
        (StoreError("a sentence"), Kind.REFUSED),
        (TooManySetAsideError("a sentence"), Kind.REFUSED),
    ],
    ids=lambda value: str(getattr(value, "sqlite_errorcode", value)),
)
def test_what_an_exception_means(exc: Exception, kind: Kind) -> None:
    """Each has its kind, and a sentence that names the file, but for those that are sentences already."""
    fault = fault_of(exc, PATH)
    assert fault.kind is kind
    assert fault.sentence == "a sentence" if kind is Kind.REFUSED else str(PATH) in fault.sentence


def test_waiting_doubles(clock: ManualClock) -> None:
    """1, 2, 4 … 30 s between attempts, and from the beginning again after a quiet minute."""
    trouble = Trouble(clock)
    fault = Fault(kind=Kind.FULL, sentence="full")
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


@pytest.mark.parametrize("kind", [Kind.DAMAGED, Kind.MOVED])
def test_the_first_attempt_comes_at_once(clock: ManualClock, kind: Kind) -> None:
    """What a new file mends is mended at once, unless it has just been tried."""
    trouble = Trouble(clock)
    waits = []
    for _ in range(4):
        trouble.note(Fault(kind=kind, sentence="broken"))
        waits.append(trouble.due_in_s())
    assert waits == [0, 1, 2, 4]


def test_unreadable_for_long_is_as_good_as_damaged(clock: ManualClock) -> None:
    """After three attempts in a row that did not help, a file that cannot be read is given up."""
    trouble = Trouble(clock)
    remedies = [trouble.note(Fault(kind=Kind.UNREADABLE, sentence="unreadable")) for _ in range(4)]
    assert remedies == [Remedy.WAIT] * 3 + [Remedy.RENEW]
