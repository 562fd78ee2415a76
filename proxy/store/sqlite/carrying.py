"""A cache file carried to another machine: a copy of it is written while the proxy runs, and taken in where none does.

A file from elsewhere is not used as it is. Its rows are verified and written into a new file, which so has this store's own
tables and nothing else. Everything here blocks: it is for the command line.
"""

import contextlib
import math
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import cast

from proxy.core.freshness.purge import Purge, is_answer
from proxy.errors import StoreError
from proxy.store.sqlite import codec, files, purge_notes, schema, versions

Progress = Callable[[int, int], None]
"""Called with how many entries are done, and how many there are."""
_AT_A_TIME = 200
_WAIT_S = 5.0
_SELECT_LISTED = """
    SELECT n.name, e.key, e.sent_at_s, e.body_bytes, e.blob_bytes, e.used_at_s
    FROM entries AS e JOIN namespaces AS n ON n.id = e.namespace_id
    WHERE takes(e.key, ?, ?, ?) ORDER BY e.used_at_s DESC, e.id
"""
_SELECT_ALL = """
    SELECT n.name, e.key, e.sent_at_s, e.digest, e.body_bytes, b.blob, e.blob_hash, e.seal, e.used_at_s
    FROM entries AS e JOIN namespaces AS n ON n.id = e.namespace_id JOIN bodies AS b ON b.id = e.id
    ORDER BY e.id
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """An entry as a list shows it. `key` is the canonical question, or the name of what answers are computed from."""

    namespace: str
    key: str
    sent_at_s: float
    body_bytes: int
    blob_bytes: int
    used_at_s: float


def list_entries(path: Path, *, project: str | None, run: str | None, metric: str | None) -> Iterator[Listed]:
    """Yield what a cache file holds, the last used first; what belongs to a project, run and metric where they are named.

    Raises StoreError.
    """
    with _reading(path) as connection:
        connection.create_function("takes", 4, schema.takes, deterministic=True)
        for row in connection.execute(_SELECT_LISTED, (project, run, metric)):
            namespace, key, sent_at_s, body_bytes, blob_bytes, used_at_s = row
            yield Listed(
                namespace=str(namespace),
                key=str(key),
                sent_at_s=float(sent_at_s),
                body_bytes=int(body_bytes),
                blob_bytes=int(blob_bytes),
                used_at_s=float(used_at_s),
            )


def export_file(path: Path, target: Path) -> None:
    """Write a copy of a cache file, of one moment, while it may be in use. It has nothing of what was deleted.

    Its mode is 0600. Raises StoreError where there is something at `target`, and where the file cannot be read.
    """
    if os.path.lexists(target):
        raise StoreError(f"{target} is there already")
    if not target.parent.is_dir():
        raise StoreError(f"{target} cannot be written: there is no folder {target.parent}")
    part = _part_of(target)
    with _new(part):
        with _reading(path) as connection:
            connection.execute("VACUUM INTO ?", (str(part),))
        _move(part, target)


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What was taken in.

    `entries`: how many there are. `purged`: how many were left out, since the file that was replaced had them purged.
    `knows_purges`: whether there was such a file, and it has all purges from after the copy was written.
    """

    entries: int
    purged: int
    knows_purges: bool


def import_file(source: Path, path: Path, *, now_s: float, max_bytes: int, replace: bool, progress: Progress) -> Imported:
    """Make the cache file at `path` of the rows of another one, of this version or an older one.

    No proxy may have the file at `path` in use. With `replace` the file that is there is set aside. The purges that were
    carried out in it hold for what is taken in, so that an older copy doesn't bring back what was purged since. Raises
    StoreError where `source` is no sound cache file, and where there is a file at `path` that isn't to be replaced.
    """
    _check_source(source)
    files.prepare_directory(path.parent)
    lock = files.FileLock(path)
    try:
        lock.acquire()
    except StoreError:
        raise StoreError(f"{path} is in use: end the pluto-proxy that has it, or set cache.path to another file") from None
    try:
        there = any(os.path.lexists(f"{path}{suffix}") for suffix in ("", *files.COMPANIONS))
        if there and not replace:
            raise StoreError(f"there is a cache file at {path}: --replace sets it aside")
        part = _part_of(path)
        notes = (_notes_of(path) if there else None) or _Notes(purges=(), since_s=math.inf)
        with _new(part):
            imported = _copy_rows(source, part, notes, progress, now_s=now_s)
            if there:
                files.set_aside(path, now_s=now_s, max_bytes=max_bytes)
            _move(part, path)
    except files.TooManySetAsideError as exc:
        raise StoreError(str(exc)) from None
    finally:
        lock.release()
    return imported


def _check_source(source: Path) -> None:
    try:
        reason = versions.reason_against(source)
        empty = source.stat().st_size == 0
    except OSError as exc:
        raise StoreError(f"{source} cannot be read: {exc.strerror}") from None
    if reason is not None or empty:
        raise StoreError(f"{source} cannot be taken in: {reason or 'it is empty'}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Notes:
    """The purges that a file has, and since when (wall time) it has them all."""

    purges: Sequence[Purge]
    since_s: float


def _notes_of(path: Path) -> _Notes | None:
    """Return the purges that are noted in the file that is to be replaced, None where there are no notes or none to be read."""
    try:
        with _reading(path) as connection:
            notes = _Notes(purges=purge_notes.noted_in(connection), since_s=purge_notes.noted_since(connection))
    except (StoreError, ValueError):
        return None
    return notes


def _copy_rows(source: Path, part: Path, notes: _Notes, progress: Progress, *, now_s: float) -> Imported:
    """Verify the rows of a file and write them into a new one, without what the purges took."""
    with _reading(source, mode="ro") as reader, contextlib.closing(sqlite3.connect(part, isolation_level=None)) as writer:
        for statement in ("PRAGMA auto_vacuum = INCREMENTAL", "BEGIN IMMEDIATE", *schema.TABLES):
            writer.execute(statement)
        [(total, used_at_s)] = reader.execute("SELECT count(*), max(used_at_s) FROM entries")
        rows = reader.execute(_SELECT_ALL)
        done = purged = 0
        while found := rows.fetchmany(_AT_A_TIME):
            purged += sum(not _copy_row(writer, row, notes.purges) for row in found)
            done += len(found)
            progress(done, int(total))
        if done != total:
            raise StoreError(f"{source} is damaged: {total - done} of its {total} entries have no body")
        _copy_organizations(reader, writer)
        _note_purges(reader, writer, notes.purges)
        writer.execute(*purge_notes.beginning(notes.since_s if math.isfinite(notes.since_s) else now_s))
        writer.execute("COMMIT")
    # The copy was written after its entries were used.
    knows = isinstance(used_at_s, float) and notes.since_s <= used_at_s
    return Imported(entries=done - purged, purged=purged, knows_purges=knows)


def _copy_row(writer: sqlite3.Connection, columns: Sequence[object], purges: Sequence[Purge]) -> bool:
    """Write a row that is what was put, unless the purges take it. Return whether. Raises StoreError where it isn't."""
    namespace, key, sent_at_s, digest, body_bytes, blob, blob_hash, seal, used_at_s = columns
    if (
        not isinstance(blob, bytes)
        or seal != codec.seal_of(namespace, key, sent_at_s, digest, body_bytes, blob_hash)
        or codec.hash_of(blob) != blob_hash
    ):
        raise StoreError(f"it is damaged: the entry {key!a:.100} does not match its checksum")
    # The seal says that they are what was put.
    left = _left_by(purges, str(key), cast("float", sent_at_s), cast("bytes", digest))
    if left is None:
        return False
    if left != digest:
        seal = codec.seal_of(namespace, key, sent_at_s, left, body_bytes, blob_hash)
    writer.execute(schema.PUT_NAMESPACE, (namespace,))
    entry = (namespace, key, sent_at_s, left, body_bytes, len(blob), blob_hash, seal, used_at_s)
    writer.execute(schema.PUT_ENTRY, entry)
    writer.execute(schema.PUT_BODY, (blob, namespace, key, seal))
    return True


def _left_by(purges: Sequence[Purge], key: str, sent_at_s: float, digest: bytes) -> bytes | None:
    """Return the digest of an entry with the mark that the purges leave, None if they take the entry."""
    for purge in purges:
        if sent_at_s > purge.at_s or not purge.takes(key):
            continue
        if not purge.soft or not is_answer(key):
            return None
        if not digest.startswith(codec.PURGED):
            digest = codec.PURGED + digest
    return digest


def _note_purges(reader: sqlite3.Connection, writer: sqlite3.Connection, purges: Sequence[Purge]) -> None:
    """Note these purges, and those that are noted in the file that was read. Raises StoreError."""
    try:
        noted = purge_notes.noted_in(reader)
    except ValueError as exc:
        raise StoreError(f"it is damaged: {exc}") from None
    for purge in sorted((*noted, *purges), key=attrgetter("at_s")):
        for statement, parameters in purge_notes.noting(purge):
            writer.execute(statement, parameters)


def _copy_organizations(reader: sqlite3.Connection, writer: sqlite3.Connection) -> None:
    """Copy which organization each key's fingerprint belongs to. A row that doesn't match its checksum tells nothing."""
    for upstream, fingerprint, organization, seal in reader.execute("SELECT * FROM organizations"):
        if seal == codec.seal_of(upstream, fingerprint, organization):
            writer.execute(schema.PUT_ORGANIZATION, (upstream, fingerprint, organization, seal))


@contextlib.contextmanager
def _reading(path: Path, *, mode: str = "rw") -> Iterator[sqlite3.Connection]:
    """Open a cache file for reading. Raises StoreError for whatever is wrong with it.

    `mode` is SQLite's: rw for a file that may be in use, since a reader may have to make the write-ahead log's index.
    """
    try:
        if (reason := versions.reason_against(path)) is not None:
            raise StoreError(f"{path} cannot be read: {reason}")
        uri = f"{path.absolute().as_uri()}?mode={mode}"
        with contextlib.closing(sqlite3.connect(uri, uri=True, isolation_level=None, timeout=_WAIT_S)) as connection:
            for pragma in ("trusted_schema = OFF", "cell_size_check = ON", "temp_store = MEMORY"):
                connection.execute(f"PRAGMA {pragma}")
            yield connection
    except FileNotFoundError:
        raise StoreError(f"there is no cache file at {path}") from None
    except OSError as exc:
        raise StoreError(f"{path} cannot be read: {exc.strerror}") from None
    except sqlite3.Error as exc:
        raise StoreError(f"{path}: {exc}") from None


@contextlib.contextmanager
def _new(part: Path) -> Iterator[None]:
    """Make an empty file with mode 0600 that is removed if what follows fails. Raises StoreError."""
    try:
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        raise StoreError(f"{part} lies there: another copy is being written, or one was cut short; remove it then") from None
    except OSError as exc:
        raise StoreError(f"{part} cannot be written: {exc.strerror}") from None
    try:
        yield
    except BaseException:
        for suffix in ("", *files.COMPANIONS):
            Path(f"{part}{suffix}").unlink(missing_ok=True)
        raise


def _part_of(target: Path) -> Path:
    return target.with_name(f"{target.name}.part")


def _move(part: Path, target: Path) -> None:
    """Give a finished file its name, once it is on the disk. Raises StoreError."""
    try:
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.rename(target)
    except OSError as exc:
        raise StoreError(f"{target} cannot be written: {exc.strerror}") from None
