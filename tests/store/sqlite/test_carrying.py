"""A cache file that is carried to another machine."""

import sqlite3
import stat
from pathlib import Path

import pytest

from proxy.core.freshness.purge import Purge
from proxy.errors import StoreError
from proxy.store.sqlite.carrying import export_file, import_file, list_entries
from proxy.store.sqlite.files import FileLock
from proxy.store.sqlite.schema import APPLICATION_ID, SCHEMA_VERSION
from tests.store.support import MIB, NOW_S, ManualClock, entry, noise, opened

NAMESPACE = "n"
KEYS = ["/api/runs/metrics?runId=1&projectName=demo&logName=loss&limit=2000", "/api/runs/details/2", "extents of nothing"]


def take_in(source: Path, path: Path, *, replace: bool = False) -> int:
    return import_file(source, path, now_s=NOW_S, max_bytes=64 * MIB, replace=replace, progress=lambda _done, _total: None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "cache"
    folder.mkdir(mode=0o700)
    return folder


async def filled(path: Path, count: int = 3) -> None:
    async with opened(path) as store:
        for number in range(count):
            key = KEYS[number] if number < len(KEYS) else f"/api/runs/details/{number}"
            store.put(NAMESPACE, key, entry(noise(100, number)))
        await store.adopt("http://a", "f", "org", old_namespace="old", new_namespace=NAMESPACE)
        await store.flush()


async def test_there_and_back(folder: Path, tmp_path: Path) -> None:
    """Exported while a store has the file open, taken in elsewhere: the same entries, and whose the key is."""
    path, copy, other = folder / "c.sqlite", tmp_path / "copy", tmp_path / "other" / "c.sqlite"
    async with opened(path) as store:
        store.put(NAMESPACE, KEYS[0], entry("body"))
        await store.adopt("http://a", "f", "org", old_namespace="old", new_namespace=NAMESPACE)
        await store.flush()
        export_file(path, copy)
        store.put(NAMESPACE, KEYS[1], entry("later"))
        await store.flush()
        assert store.health is None
    assert take_in(copy, other) == 1
    assert {stat.S_IMODE(made.stat().st_mode) for made in (copy, other)} == {0o600}
    async with opened(other) as store:
        kept = await store.get(NAMESPACE, KEYS[0])
        assert kept is not None
        assert kept.body == b"body"
        assert await store.get(NAMESPACE, KEYS[1]) is None
        assert await store.organization_of("http://a", "f") == "org"
        assert await store.namespaces() == [NAMESPACE]
    assert not [*tmp_path.glob("**/*.part*")]


async def test_what_was_deleted_is_not_carried(folder: Path, tmp_path: Path) -> None:
    """A purge leaves bytes in the file's free pages; the copy has none of them."""
    path, copy = folder / "c.sqlite", tmp_path / "copy"
    secret = noise(5_000, 7)
    async with opened(path) as store:
        store.put(NAMESPACE, KEYS[0], entry(secret))
        await store.flush()
        await store.purge(Purge(at_s=NOW_S + 1))
        export_file(path, copy)
    assert secret[1_000:1_100] not in copy.read_bytes()


async def test_nothing_is_written_over(folder: Path, tmp_path: Path) -> None:
    """Not by an export, nor by an import that isn't told to; what is replaced is set aside."""
    path, copy = folder / "c.sqlite", tmp_path / "copy"
    await filled(path)
    copy.write_text("mine")
    with pytest.raises(StoreError, match="is there already"):
        export_file(path, copy)
    assert copy.read_text() == "mine"
    copy.unlink()
    export_file(path, copy)
    with pytest.raises(StoreError, match="--replace"):
        take_in(copy, path)
    assert take_in(copy, path, replace=True) == 3
    assert len([*folder.glob("c.sqlite.set-aside-*")]) == 1


async def test_a_log_that_was_left_behind(folder: Path, tmp_path: Path) -> None:
    """It is set aside with its database, so that it isn't applied to the new one."""
    path, copy = folder / "c.sqlite", tmp_path / "copy"
    await filled(path)
    export_file(path, copy)
    path.unlink()
    Path(f"{path}-wal").write_bytes(b"left")
    with pytest.raises(StoreError, match="--replace"):
        take_in(copy, path)
    take_in(copy, path, replace=True)
    assert not Path(f"{path}-wal").exists()


async def test_a_file_in_use(folder: Path, tmp_path: Path) -> None:
    """Nothing is taken in where a proxy has the file."""
    path, copy = folder / "c.sqlite", tmp_path / "copy"
    await filled(path)
    export_file(path, copy)
    lock = FileLock(path)
    lock.acquire()
    with pytest.raises(StoreError, match="is in use"):
        take_in(copy, path, replace=True)
    lock.release()


def header(application_id: int, version: int) -> bytes:
    made = bytearray(b"SQLite format 3\0".ljust(100, b"\0"))
    made[60:64], made[68:72] = version.to_bytes(4, "big"), application_id.to_bytes(4, "big")
    return bytes(made)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty"),
        (b"something else", "not an SQLite database"),
        (header(APPLICATION_ID, SCHEMA_VERSION + 1), "a newer version"),
        (header(7, SCHEMA_VERSION), "another program's"),
        (header(APPLICATION_ID, SCHEMA_VERSION), "file is not a database|malformed|no such table"),
        (None, "cannot be read: No such file"),
    ],
)
def test_what_is_no_cache_file(tmp_path: Path, content: bytes | None, reason: str) -> None:
    """It is told in a line, and leaves nothing behind."""
    source, path = tmp_path / "source", tmp_path / "cache" / "c.sqlite"
    if content is not None:
        source.write_bytes(content)
    with pytest.raises(StoreError, match=reason):
        take_in(source, path)
    assert not path.exists()
    assert not [*tmp_path.glob("**/*.part*")]


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ("UPDATE entries SET key = 'another' WHERE id = 2", "does not match its checksum"),
        ("UPDATE bodies SET blob = x'00' WHERE id = 2", "does not match its checksum"),
        ("UPDATE bodies SET blob = 7 WHERE id = 2", "does not match its checksum"),
        ("DELETE FROM bodies WHERE id = 2", "1 of its 3 entries have no body"),
        ("DROP TABLE bodies", "no such table"),
    ],
)
async def test_a_damaged_copy(folder: Path, tmp_path: Path, damage: str, reason: str) -> None:
    """Nothing of it is taken in; the cache file that was there stays."""
    path, copy, other = folder / "c.sqlite", tmp_path / "copy", tmp_path / "other" / "c.sqlite"
    await filled(path)
    export_file(path, copy)
    with sqlite3.connect(copy) as connection:
        connection.execute(damage)
    connection.close()
    with pytest.raises(StoreError, match=reason):
        take_in(copy, other)
    with pytest.raises(StoreError, match=reason):
        take_in(copy, path, replace=True)
    assert path.exists()
    assert not [*folder.glob("*set-aside*")]


async def test_only_rows_are_carried(folder: Path, tmp_path: Path) -> None:
    """Triggers and other tables of a strange file don't come along, nor organizations that don't match their checksum."""
    path, copy, other = folder / "c.sqlite", tmp_path / "copy", tmp_path / "other" / "c.sqlite"
    await filled(path)
    export_file(path, copy)
    with sqlite3.connect(copy) as connection:
        connection.execute("CREATE TABLE evil (x)")
        connection.execute("CREATE TRIGGER t AFTER INSERT ON entries BEGIN DELETE FROM bodies; END")
        connection.execute("UPDATE organizations SET organization = 'another'")
    connection.close()
    take_in(copy, other)
    connection = sqlite3.connect(other)
    names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'")}
    assert names == {"namespaces", "entries", "entries_by_use", "bodies", "organizations"}
    assert connection.execute("SELECT count(*) FROM organizations").fetchone() == (0,)
    connection.close()


async def test_more_entries_than_are_read_at_a_time(folder: Path, tmp_path: Path) -> None:
    """All of them come, and how far it is is told on the way."""
    path, copy, other = folder / "c.sqlite", tmp_path / "copy", tmp_path / "other" / "c.sqlite"
    await filled(path, 450)
    export_file(path, copy)
    told: list[tuple[int, int]] = []
    progress = lambda done, total: told.append((done, total))  # noqa: E731
    assert import_file(copy, other, now_s=NOW_S, max_bytes=MIB, replace=False, progress=progress) == 450
    assert told[-1] == (450, 450)
    assert len(told) > 1


async def test_a_list(folder: Path) -> None:
    """What belongs to a project, run or metric, the last used first; the store may have the file open."""
    path, clock = folder / "c.sqlite", ManualClock()
    async with opened(path, clock) as store:
        for key in KEYS:
            store.put(NAMESPACE, key, entry("{}" * 50))
            await store.flush()
            clock.advance(1)
        assert [one.key for one in list_entries(path, project=None, run=None, metric=None)] == KEYS[::-1]
        runs = [*list_entries(path, project=None, run="2", metric=None)]
        assert KEYS[1] in {one.key for one in runs}
        assert KEYS[0] not in {one.key for one in runs}
        assert runs[0].body_bytes == 100
    with pytest.raises(StoreError, match="there is no cache file"):
        next(list_entries(folder / "none", project=None, run=None, metric=None))


async def test_where_nothing_can_be_written(folder: Path, tmp_path: Path) -> None:
    """A copy that was cut short is named; so is a folder that isn't there."""
    path = folder / "c.sqlite"
    await filled(path)
    (tmp_path / "copy.part").write_text("half")
    with pytest.raises(StoreError, match="cut short"):
        export_file(path, tmp_path / "copy")
    with pytest.raises(StoreError, match="cannot be written"):
        export_file(path, tmp_path / "nowhere" / "copy")
    assert (tmp_path / "copy.part").read_text() == "half"
