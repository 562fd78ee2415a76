"""The purges that were carried out in a file, noted in it: a copy from before them is held against them when it is taken in.

Beyond MOST_NOTED the oldest ones count as one purge of everything. Nothing is known of purges from before a file was begun, or
was taken over from a version that noted none: a file says since when it has them.
"""

import math
import sqlite3
from collections.abc import Iterator, Sequence

from proxy.core.freshness.purge import Purge

MOST_NOTED = 1000
# Older files have no notes.
FIRST_VERSION = 2
_SELECT = "SELECT at_s, soft, project, run, metric FROM purges ORDER BY at_s"
_INSERT = "INSERT INTO purges (at_s, soft, project, run, metric) VALUES (?, ?, ?, ?, ?)"
# A later purge of the same takes all that an earlier one took, unless it is softer. Parameters: those of _INSERT.
_FORGET_COVERED = """
    DELETE FROM purges WHERE at_s <= ?1 AND soft >= ?2 AND (
        project IS ?3 AND run IS ?4 AND metric IS ?5 OR coalesce(?3, ?4, ?5) IS NULL
    )
"""
# Parameter: how many stay.
_FOLD_OLDEST = """
    UPDATE purges SET soft = 0, project = NULL, run = NULL, metric = NULL
    WHERE at_s = (SELECT at_s FROM purges ORDER BY at_s DESC LIMIT 1 OFFSET ?1 - 1) AND (SELECT count(*) FROM purges) > ?1
"""
_FORGET_FOLDED = """
    DELETE FROM purges WHERE at_s < (
        SELECT max(at_s) FROM purges WHERE NOT soft AND coalesce(project, run, metric) IS NULL
    )
"""


def beginning(now_s: float) -> tuple[str, Sequence[object]]:
    """Return the statement, with its parameters, that notes since when (wall time) purges are noted."""
    return "INSERT INTO purges_noted_since (at_s) VALUES (?)", (now_s,)


def noted_since(connection: sqlite3.Connection) -> float:
    """Return since when (wall time) purges are noted in a file; inf where that isn't known, or none are.

    Blocks. Raises sqlite3.Error; ValueError for a damaged one.
    """
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'purges_noted_since'").fetchall():
        return math.inf
    match connection.execute("SELECT at_s FROM purges_noted_since").fetchall():
        case [(float(at_s),)]:
            return at_s
        case _:
            raise ValueError("since when purges were noted is damaged")


def noting(purge: Purge) -> Iterator[tuple[str, Sequence[object]]]:
    """Yield the statements that note a purge, each with its parameters."""
    row = (purge.at_s, purge.soft, purge.project, purge.run, purge.metric)
    yield _FORGET_COVERED, row
    yield _INSERT, row
    yield _FOLD_OLDEST, (MOST_NOTED,)
    yield _FORGET_FOLDED, ()


def noted_in(connection: sqlite3.Connection) -> tuple[Purge, ...]:
    """Return the purges that are noted in a file, oldest first. Blocks. Raises sqlite3.Error; ValueError for a damaged one."""
    [(version,)] = connection.execute("PRAGMA user_version")
    return tuple(map(_purge_of, connection.execute(_SELECT))) if version >= FIRST_VERSION else ()


def _purge_of(row: Sequence[object]) -> Purge:
    at_s, soft, *names = row
    if not isinstance(at_s, float) or not all(name is None or isinstance(name, str) for name in names):
        raise ValueError("a purge that was noted is damaged")
    project, run, metric = (None if name is None else str(name) for name in names)
    return Purge(at_s=at_s, soft=bool(soft), project=project, run=run, metric=metric)
