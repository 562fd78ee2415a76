"""The file as a file: who may touch it, whose it is, and what becomes of one that is not ours."""

import os
import shutil
import sqlite3
import stat
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from proxy.core.freshness.purge import Purge
from proxy.errors import StoreError
from proxy.store import SqliteStore, UnreadError
from proxy.store.sqlite.connections import run
from proxy.store.sqlite.files import MOST_SET_ASIDE, FileLock
from proxy.store.sqlite.schema import APPLICATION_ID, SCHEMA_VERSION, TABLES
from tests.store.support import MIB, ManualClock, aside, edit, entry, fetch, noise, opened, reader, same, scribble


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def test_everything_is_made_for_the_owner_alone(path: Path) -> None:
    """File, log and lock are 0600, the directory and its missing parents 0700, whatever the umask allows."""
    deep = path.parent / "more" / path.name
    before = os.umask(0)
    try:
        async with opened(deep) as store:
            store.put("ns", "key", entry())
            await store.flush()
            assert {file.name: mode_of(file) for file in deep.parent.iterdir()} == {
                f"{deep.name}{suffix}": 0o600 for suffix in ("", "-wal", "-shm", ".lock")
            }
    finally:
        os.umask(before)
    assert (mode_of(deep.parent), mode_of(path.parent)) == (0o700, 0o700)


async def test_a_file_that_others_may_read_is_closed_to_them(path: Path) -> None:
    """An existing file becomes 0600 and keeps its entries."""
    async with opened(path) as store:
        store.put("ns", "key", entry())
    path.chmod(0o664)
    async with opened(path) as store:
        assert await store.get("ns", "key") is not None
    assert mode_of(path) == 0o600


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777])
async def test_a_directory_that_others_may_write_is_refused(path: Path, mode: int) -> None:
    """Whoever can write in the directory could exchange the file."""
    path.parent.mkdir()
    path.parent.chmod(mode)
    with pytest.raises(StoreError, match=r"may be written by others.*set cache\.path"):
        async with opened(path):
            pass
    assert list(path.parent.iterdir()) == []


async def test_a_sticky_directory_will_do(path: Path) -> None:
    """In a directory like /tmp others cannot rename what is not theirs; it is readable, so there is a warning."""
    path.parent.mkdir()
    path.parent.chmod(0o1777)
    with capture_logs() as logs:
        async with opened(path) as store:
            assert store.health is None
    assert [line["event"] for line in logs].count("store.directory_readable") == 1


@pytest.mark.parametrize("thing", ["directory", "symlink", "dangling", "fifo"])
async def test_what_is_not_a_file_is_left_alone(path: Path, thing: str) -> None:
    """A directory or a link at the path is a mistake in the configuration: it is refused and not renamed."""
    path.parent.mkdir(mode=0o700)
    target = path.with_name("target")
    match thing:
        case "directory":
            path.mkdir()
        case "symlink":
            target.write_bytes(b"precious")
            path.symlink_to(target)
        case "dangling":
            path.symlink_to(target)
        case _:
            os.mkfifo(path)
    with pytest.raises(StoreError, match="is not a regular file"):
        async with opened(path):
            pass
    assert os.path.lexists(path)
    assert not aside(path)
    assert thing != "symlink" or target.read_bytes() == b"precious"


async def test_a_relative_path_is_made_absolute(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change of the working directory does not move the file."""
    path.parent.mkdir(mode=0o700)
    monkeypatch.chdir(path.parent)
    async with opened(Path("odd #?%20name.sqlite")) as store:
        monkeypatch.chdir("/")
        store.put("ns", "key", entry())
        await store.flush()
        assert store.path == path.parent / "odd #?%20name.sqlite"
        assert store.path.exists()


async def test_one_process_for_one_file(path: Path) -> None:
    """A second store is refused while the first is open, harms nothing, and may have the file afterwards."""
    async with opened(path) as first:
        with pytest.raises(StoreError, match=r"is in use by another pluto-proxy; set cache\.path to another file"):
            async with opened(path):
                pass
        first.put("ns", "key", entry())
        await first.flush()
        assert await first.get("ns", "key") is not None
    async with opened(path) as second:
        assert await second.get("ns", "key") is not None


async def test_a_refused_store_answers_nothing(path: Path, clock: ManualClock) -> None:
    """After a refusal, and before opening, everything may be called and nothing happens."""
    async with opened(path):
        store = SqliteStore(path, max_bytes=1 << 20, clock=clock)
        for _ in range(2):
            store.put("ns", "key", entry())
            assert await store.get("ns", "key") is None
            with pytest.raises(UnreadError):
                await store.organization_of("u", "f")
            await store.adopt("u", "f", "o", old_namespace="a", new_namespace="b")
            await store.flush()
            assert store.health == f"the cache file {path} is not open"
            with pytest.raises(StoreError):
                await store.open()
        await store.aclose()


async def test_a_refusal_keeps_no_lock(path: Path, clock: ManualClock) -> None:
    """A store that was refused for another reason than the lock does not keep it, closed or not."""
    path.mkdir(parents=True, mode=0o700)
    path.parent.chmod(0o700)
    refused = SqliteStore(path, max_bytes=1 << 20, clock=clock)
    with pytest.raises(StoreError):
        await refused.open()
    path.rmdir()
    async with opened(path, clock) as store:
        assert store.health is None


async def test_reading_cannot_write(path: Path) -> None:
    """The connection that reads changes nothing, whatever it is told."""
    async with opened(path) as store:
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            await run(reader(store), "DELETE FROM entries")


def other_program(path: Path) -> None:
    edit(path, "PRAGMA application_id = 7", f"PRAGMA user_version = {SCHEMA_VERSION}", "CREATE TABLE precious (a)")


def plain_database(path: Path) -> None:
    edit(path, "CREATE TABLE precious (a)")


def never(path: Path) -> None:
    edit(path, "CREATE TABLE t (a)", f"PRAGMA application_id = {APPLICATION_ID}", "PRAGMA user_version = -1")


def newer(path: Path) -> None:
    edit(path, "CREATE TABLE t (a)", f"PRAGMA application_id = {APPLICATION_ID}", f"PRAGMA user_version = {SCHEMA_VERSION + 1}")


def garbage(path: Path) -> None:
    path.write_bytes(b"\xa5" * 100_000)


def short(path: Path) -> None:
    path.write_bytes(b"SQLite format 3\0")


def text(path: Path) -> None:
    path.write_text("precious")


@pytest.mark.parametrize("make", [other_program, plain_database, never, garbage, short, text])
async def test_a_file_that_is_not_ours_is_set_aside(path: Path, make: object) -> None:
    """Foreign, of no version that there was, or no database at all: it is renamed untouched, said so, and a new file begun."""
    assert callable(make)
    path.parent.mkdir(mode=0o700)
    make(path)
    Path(f"{path}-wal").write_bytes(b"its log")
    before = path.read_bytes()
    with capture_logs() as logs:
        async with opened(path) as store:
            assert (store.health, store.counters.set_aside) == (None, 1)
            store.put("ns", "key", entry())
            await store.flush()
            assert await store.get("ns", "key") is not None
    [kept] = aside(path)
    assert kept.read_bytes() == before
    assert Path(f"{kept}-wal").read_bytes() == b"its log"
    [line] = [line for line in logs if line["event"] == "store.set_aside"]
    assert (line["path"], line["aside"]) == (str(path), str(kept))
    assert line["reason"]


async def test_a_newer_file_is_left_whole(path: Path, clock: ManualClock) -> None:
    """Nobody knows here what it holds: the store refuses to open, says what to do, and touches neither the file nor its log."""
    path.parent.mkdir(mode=0o700)
    newer(path)
    Path(f"{path}-wal").write_bytes(b"its log")
    before = path.read_bytes()
    store = SqliteStore(path, max_bytes=MIB, clock=clock)
    with pytest.raises(StoreError, match=r"left as it is.*newer version.*run that version, or set cache\.path"):
        await store.open()
    await store.aclose()
    assert path.read_bytes() == before
    assert Path(f"{path}-wal").read_bytes() == b"its log"
    assert not aside(path)


async def test_a_newer_file_comes_while_it_runs(path: Path, clock: ManualClock) -> None:
    """It is left whole as well, and the store goes on without; once it is gone, the store has a file again."""
    async with opened(path, clock) as store:
        path.rename(path.with_name("away"))
        newer(path)
        before = path.read_bytes()
        clock.advance(2)
        store.put("ns", "key", entry())
        await store.flush()
        assert store.health is not None
        assert "newer version" in store.health
        assert path.read_bytes() == before
        path.unlink()
        clock.advance(60)
        store.put("ns", "key", entry())
        await store.flush()
        assert store.health is None
    assert not aside(path)


def first_version(path: Path) -> None:
    """Make an empty file as version 1 had it."""
    edit(
        path,
        "PRAGMA auto_vacuum = INCREMENTAL",
        *(statement for statement in TABLES if "TABLE purges" not in statement),
        "PRAGMA user_version = 1",
        "PRAGMA journal_mode = WAL",
    )


async def test_an_older_file_is_taken_over(path: Path) -> None:
    """What is new is made in it, and its header says so at once, so that no older version takes it for its own."""
    path.parent.mkdir(mode=0o700)
    first_version(path)
    with capture_logs() as logs:
        async with opened(path) as store:
            assert (store.health, store.counters.set_aside) == (None, 0)
            assert int.from_bytes(path.read_bytes()[60:64], "big") == SCHEMA_VERSION
            await store.purge(Purge(at_s=1.0))
    assert [line["schema"] for line in logs if line["event"] == "store.taken_over"] == [1]
    assert fetch(path, "SELECT at_s FROM purges") == [(1.0,)]
    with capture_logs() as logs:
        async with opened(path):
            pass
    assert "store.taken_over" not in {line["event"] for line in logs}


async def test_taking_over_is_done_or_not(path: Path) -> None:
    """While another program reads the file it cannot be; the file stays what it was, and it is tried again."""
    path.parent.mkdir(mode=0o700)
    first_version(path)
    reading = sqlite3.connect(path, isolation_level=None)
    reading.execute("BEGIN")
    reading.execute("SELECT count(*) FROM entries").fetchall()
    clock = ManualClock()
    async with opened(path, clock) as store:
        assert store.health is not None
        assert "locked" in store.health
        assert fetch(path, "PRAGMA user_version") == [(1,)]
        reading.close()
        clock.advance(60)
        store.put("ns", "key", entry())
        await store.flush()
        assert store.health is None
    assert fetch(path, "PRAGMA user_version") == [(SCHEMA_VERSION,)]
    assert not aside(path)


async def test_nothing_set_aside_is_overwritten(path: Path) -> None:
    """Several files set aside within one second get different names; after too many the store waits for someone to look."""
    path.parent.mkdir(mode=0o700)
    clock = ManualClock()
    for number in range(MOST_SET_ASIDE):
        path.write_text(f"precious {number}")
        async with opened(path, clock) as store:
            assert store.health is None
    assert sorted(file.read_text() for file in aside(path)) == sorted(f"precious {n}" for n in range(MOST_SET_ASIDE))
    path.write_text("one too many")
    async with opened(path, clock) as store:
        assert store.health == f"{MOST_SET_ASIDE} files set aside lie beside {path}: look at them and remove them"
        assert await store.get("ns", "key") is None
        aside(path)[0].unlink()
        clock.advance(1)
        await store.flush()
        assert store.health is None
    assert "one too many" in {file.read_text() for file in aside(path)}


def size_of(files: list[Path]) -> int:
    return sum(file.stat().st_size for file in files)


async def test_what_is_set_aside_does_not_fill_the_disk(path: Path) -> None:
    """Of caches of our own the last is kept, and older ones within another quota; nothing else is ever removed."""
    path.parent.mkdir(mode=0o700)
    clock = ManualClock()
    foreign = path.with_name(f"{path.name}.set-aside-20200101T000000Z")
    edit(foreign, "CREATE TABLE precious (a)")
    renamed = path.with_name(f"{path.name}.set-aside-precious")
    never(renamed)
    with capture_logs() as logs:
        for number in range(30):
            async with opened(path, clock, max_bytes=MIB) as store:
                assert store.health is None
                for part in range(4):
                    store.put("ns", f"{number} {part}", entry(noise(80_000, 100 * number + part)))
                await store.flush()
            kept = [file for file in aside(path) if file not in {foreign, renamed}]
            assert size_of(kept) <= MIB
            edit(path, "PRAGMA user_version = -1")
            Path(f"{path}-wal").write_bytes(b"its log")
            clock.advance(number % 3)
    assert len(kept) == 2
    assert foreign.exists()
    assert renamed.exists()
    assert len(list(path.parent.glob("*.set-aside-*-wal"))) == len(kept)
    set_aside, gone = (
        [line["aside"] for line in logs if line["event"] == f"store.{event}"] for event in ("set_aside", "set_aside_removed")
    )
    assert gone == set_aside[: len(gone)]
    assert [str(file) for file in kept] == set_aside[len(gone) :]


async def test_the_last_one_stays(path: Path) -> None:
    """However large it is: somebody may want to look at it, or go back to the version that it is of."""
    path.parent.mkdir(mode=0o700)
    never(path)
    edit(path, "CREATE TABLE large (a)", "INSERT INTO large VALUES (zeroblob(2000000))")
    async with opened(path, max_bytes=MIB) as store:
        assert store.health is None
    assert size_of(aside(path)) > MIB


async def test_what_others_made_is_no_more_than_some_quotas(path: Path) -> None:
    """What isn't known for our own is never removed: beyond four times the quota the store waits for someone to look."""
    path.parent.mkdir(mode=0o700)
    clock = ManualClock()
    for number in range(5):
        path.write_bytes(noise(MIB, number))
        async with opened(path, clock, max_bytes=MIB) as store:
            assert store.health is None
    path.write_bytes(noise(10))
    async with opened(path, clock, max_bytes=MIB) as store:
        assert store.health == f"5 files set aside lie beside {path}: look at them and remove them"
    assert len(aside(path)) == 5


async def test_looking_at_a_file_does_not_change_it(path: Path) -> None:
    """A healthy file with a log that was never copied into it is opened with all its entries: nothing is lost by the check."""
    async with opened(path) as store:
        put = entry()
        store.put("ns", "key", put)
        await store.flush()
        copy = path.parent / "copy.sqlite"
        for suffix in ("", "-wal"):
            shutil.copy(f"{path}{suffix}", f"{copy}{suffix}")
    async with opened(copy) as store:
        assert same(await store.get("ns", "key"), put)
        assert store.counters.set_aside == 0


async def test_a_log_without_its_database_is_set_aside(path: Path) -> None:
    """The log of a deleted file is never applied to a new one."""
    path.parent.mkdir(mode=0o700)
    Path(f"{path}-wal").write_bytes(b"left over")
    async with opened(path) as store:
        assert store.health is None
    [kept] = path.parent.glob("*.set-aside-*")
    assert kept.read_bytes() == b"left over"


async def test_a_file_that_was_just_begun_is_finished(path: Path) -> None:
    """An empty file is what is left when the process dies while it makes a new one."""
    path.parent.mkdir(mode=0o700)
    path.touch()
    async with opened(path) as store:
        assert (store.health, store.counters.set_aside) == (None, 0)
    assert fetch(path, "PRAGMA integrity_check") == [("ok",)]


async def test_what_is_opened_is_sound(path: Path) -> None:
    """The header says whose file it is; write-ahead logging and incremental vacuum are on; closing leaves one file."""
    async with opened(path) as store:
        store.put("ns", "key", entry())
    assert fetch(path, "PRAGMA application_id") == [(APPLICATION_ID,)]
    assert fetch(path, "PRAGMA user_version") == [(SCHEMA_VERSION,)]
    assert fetch(path, "PRAGMA journal_mode") == [("wal",)]
    assert fetch(path, "PRAGMA auto_vacuum") == [(2,)]
    assert sorted(file.name for file in path.parent.iterdir()) == [path.name, f"{path.name}.lock"]


def test_a_lock_that_was_deleted_is_taken_anew(path: Path) -> None:
    """Whoever deletes the lock file makes room for a second process: the first notices when it takes the lock again."""
    path.parent.mkdir()
    first, second = FileLock(path), FileLock(path)
    first.acquire()
    first.acquire()
    Path(f"{path}.lock").unlink()
    second.acquire()
    with pytest.raises(StoreError):
        first.acquire()
    second.release()
    second.release()
    scribble(Path(f"{path}.lock"))
    first.acquire()
    first.release()


def test_a_file_system_without_locks(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where locking fails for another reason than another process, no descriptor is left open."""
    path.parent.mkdir()

    def no_locks(_descriptor: int, _operation: int) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("proxy.store.sqlite.files.fcntl.flock", no_locks)
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(OSError, match="not implemented"):
        FileLock(path).acquire()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
