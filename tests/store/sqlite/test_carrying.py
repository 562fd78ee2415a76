"""A cache file that is carried to another machine."""

import sqlite3
import stat
from pathlib import Path

import pytest

from proxy.core.freshness.purge import Purge
from proxy.errors import StoreError
from proxy.store.sqlite.carrying import Imported, export_file, import_file, list_entries
from proxy.store.sqlite.files import FileLock
from proxy.store.sqlite.schema import APPLICATION_ID, SCHEMA_VERSION
from tests.store.support import MIB, NOW_S, ManualClock, edit, entry, noise, opened

NAMESPACE = "n"
KEYS = ["/api/runs/metrics?runId=1&projectName=demo&logName=loss&limit=2000", "/api/runs/details/2", "extents of nothing"]


def take_in(source: Path, path: Path, *, replace: bool = False) -> Imported:
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
    assert take_in(copy, other) == Imported(entries=1, purged=0, knows_purges=False)
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
    assert take_in(copy, path, replace=True) == Imported(entries=3, purged=0, knows_purges=True)
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
    assert names == {"namespaces", "entries", "entries_by_use", "bodies", "organizations", "purges", "purges_noted_since"}
    assert connection.execute("SELECT count(*) FROM organizations").fetchone() == (0,)
    connection.close()


async def test_more_entries_than_are_read_at_a_time(folder: Path, tmp_path: Path) -> None:
    """All of them come, and how far it is is told on the way."""
    path, copy, other = folder / "c.sqlite", tmp_path / "copy", tmp_path / "other" / "c.sqlite"
    await filled(path, 450)
    export_file(path, copy)
    told: list[tuple[int, int]] = []
    progress = lambda done, total: told.append((done, total))  # noqa: E731 -- one line in place of two
    imported = import_file(copy, other, now_s=NOW_S, max_bytes=MIB, replace=False, progress=progress)
    assert imported == Imported(entries=450, purged=0, knows_purges=False)
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


OF_RUN_1, OF_RUN_2 = KEYS[0], KEYS[0].replace("runId=1", "runId=2")
EXTENTS = "extents of /api/runs/metrics?runId=2&projectName=demo&limit=10000"
BEFORE, PURGED_AT_S, AFTER = NOW_S - 10, NOW_S - 5, NOW_S - 1


async def backed_up(path: Path, copy: Path, *purges: Purge) -> None:
    """Put entries, export them, and have them purged."""
    async with opened(path) as store:
        for key in (OF_RUN_1, OF_RUN_2, EXTENTS):
            store.put(NAMESPACE, key, entry(key, sent_at_s=BEFORE))
        await store.flush()
        export_file(path, copy)
        for purge in purges:
            await store.purge(purge)


async def left_in(path: Path) -> dict[str, bool]:
    """Return which of the entries there are, and whether each is marked as purged."""
    async with opened(path) as store:
        found = {key: await store.get(NAMESPACE, key) for key in (OF_RUN_1, OF_RUN_2, EXTENTS)}
        assert (store.health, store.counters.corrupt) == (None, 0)
        return {key: one.purged for key, one in found.items() if one is not None}


@pytest.mark.parametrize(
    ("purge", "left"),
    [
        (Purge(at_s=PURGED_AT_S, run="1"), {OF_RUN_2: False, EXTENTS: False}),
        (Purge(at_s=PURGED_AT_S, run="2"), {OF_RUN_1: False}),
        (Purge(at_s=PURGED_AT_S, run="2", soft=True), {OF_RUN_1: False, OF_RUN_2: True}),
        (Purge(at_s=PURGED_AT_S), {}),
        (Purge(at_s=PURGED_AT_S, project="other"), {OF_RUN_1: False, OF_RUN_2: False, EXTENTS: False}),
        (Purge(at_s=BEFORE - 1), {OF_RUN_1: False, OF_RUN_2: False, EXTENTS: False}),
    ],
)
async def test_what_was_purged_does_not_come_back(folder: Path, tmp_path: Path, purge: Purge, left: dict[str, bool]) -> None:
    """A copy from before a purge is taken in as the purge left the file; and so is an older one after that."""
    path, copy = folder / "c.sqlite", tmp_path / "copy"
    await backed_up(path, copy, purge)
    assert await left_in(path) == left
    for _ in range(2):
        imported = take_in(copy, path, replace=True)
        assert imported == Imported(entries=len(left), purged=3 - len(left), knows_purges=True)
        assert await left_in(path) == left
    elsewhere = tmp_path / "elsewhere" / "c.sqlite"
    assert not take_in(copy, elsewhere).knows_purges
    assert len(await left_in(elsewhere)) == 3


async def test_purged_bytes_do_not_come_along(folder: Path, tmp_path: Path) -> None:
    """What is left out isn't in the new file's free pages either."""
    path, copy = folder / "c.sqlite", tmp_path / "copy"
    secret = noise(5_000, 7)
    async with opened(path) as store:
        store.put(NAMESPACE, OF_RUN_1, entry(secret, sent_at_s=BEFORE))
        await store.flush()
        export_file(path, copy)
        await store.purge(Purge(at_s=PURGED_AT_S))
    assert secret[1_000:1_100] in copy.read_bytes()
    take_in(copy, path, replace=True)
    assert secret[1_000:1_100] not in path.read_bytes()


async def test_what_is_replaced_cannot_be_read(folder: Path, tmp_path: Path) -> None:
    """That is what backups are for. It is told that its purges aren't known."""
    path, copy = folder / "c.sqlite", tmp_path / "copy"
    await backed_up(path, copy, Purge(at_s=PURGED_AT_S))
    path.write_bytes(b"SQLite format 3\0" + bytes(200))
    assert take_in(copy, path, replace=True) == Imported(entries=3, purged=0, knows_purges=False)


def first_version(path: Path) -> None:
    """Make a cache file one of schema 1, which noted no purges."""
    edit(path, "DROP TABLE purges", "DROP TABLE purges_noted_since", "PRAGMA user_version = 1")


async def test_what_is_replaced_has_no_notes(folder: Path, tmp_path: Path) -> None:
    """A file of schema 1 doesn't tell what was purged in it."""
    path, copy = folder / "c.sqlite", tmp_path / "copy"
    await backed_up(path, copy, Purge(at_s=PURGED_AT_S))
    first_version(path)
    assert take_in(copy, path, replace=True) == Imported(entries=3, purged=0, knows_purges=False)


async def test_what_is_replaced_was_taken_over(folder: Path, tmp_path: Path, clock: ManualClock) -> None:
    """It tells nothing of purges from before; of those from after that it knows all, and holds them against a copy."""
    path, before, after = folder / "c.sqlite", tmp_path / "before", tmp_path / "after"
    await backed_up(path, before, Purge(at_s=PURGED_AT_S, run="1"))
    first_version(path)
    clock.advance(60)
    async with opened(path, clock) as store:
        await store.get(NAMESPACE, OF_RUN_2)
        await store.flush()
    export_file(path, after)
    async with opened(path, clock) as store:
        await store.purge(Purge(at_s=clock.now_s(), run="2"))
    assert take_in(after, path, replace=True) == Imported(entries=0, purged=2, knows_purges=True)
    assert take_in(before, path, replace=True) == Imported(entries=1, purged=2, knows_purges=False)
    assert take_in(after, path, replace=True) == Imported(entries=0, purged=2, knows_purges=True)


async def test_what_is_replaced_was_begun_later(folder: Path, tmp_path: Path, clock: ManualClock) -> None:
    """The file that the copy is of was lost, or set aside: the new one knows nothing of its purges."""
    path, copy, later = folder / "c.sqlite", tmp_path / "copy", tmp_path / "later"
    await backed_up(path, copy, Purge(at_s=PURGED_AT_S))
    path.unlink()
    clock.advance(60)
    async with opened(path, clock) as store:
        store.put(NAMESPACE, OF_RUN_1, entry(sent_at_s=clock.now_s()))
        await store.flush()
        export_file(path, later)
    assert take_in(later, path, replace=True).knows_purges
    assert not take_in(copy, path, replace=True).knows_purges
    assert take_in(later, path, replace=True).knows_purges


@pytest.mark.parametrize(
    "damage", ["DELETE FROM purges_noted_since", "UPDATE purges_noted_since SET at_s = 'x'", "DROP TABLE purges_noted_since"]
)
async def test_since_when_is_damaged(folder: Path, tmp_path: Path, damage: str) -> None:
    """Then it isn't known what was purged."""
    path, copy = folder / "c.sqlite", tmp_path / "copy"
    await backed_up(path, copy)
    edit(path, damage)
    assert not take_in(copy, path, replace=True).knows_purges


async def test_a_noted_purge_that_is_damaged(folder: Path, tmp_path: Path) -> None:
    """In the file that is replaced it makes all of them unknown; in the copy it makes the copy unsound."""
    path, copy = folder / "c.sqlite", tmp_path / "copy"
    await backed_up(path, copy, Purge(at_s=PURGED_AT_S, run="1"))
    for file in (path, copy):
        connection = sqlite3.connect(file, isolation_level=None)
        connection.execute("INSERT INTO purges VALUES ('soon', 0, NULL, NULL, NULL)")
        connection.close()
    with pytest.raises(StoreError, match="a purge that was noted is damaged"):
        take_in(copy, path, replace=True)
    connection = sqlite3.connect(copy, isolation_level=None)
    connection.execute("DELETE FROM purges")
    connection.close()
    assert take_in(copy, path, replace=True).knows_purges is False
