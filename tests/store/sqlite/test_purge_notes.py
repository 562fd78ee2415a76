"""Purges that are noted take all that the purges took."""

import sqlite3
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.freshness.purge import Purge
from proxy.store.sqlite import purge_notes
from proxy.store.sqlite.schema import CREATE_PURGES, SCHEMA_VERSION

KEYS = [
    f"/api/runs/metrics?runId={run}&projectName={project}&logName={metric}"
    for run in ("1", "2")
    for project in ("a", "b")
    for metric in ("x", "y")
]
name = st.sampled_from([None, None, "a", "b"])
purges = st.builds(
    Purge,
    at_s=st.integers(0, 9).map(float),
    soft=st.booleans(),
    project=st.sampled_from([None, "a", "b"]),
    run=st.sampled_from([None, "1", "2"]),
    metric=st.sampled_from([None, "x", "y"]),
)


def noted(made: Sequence[Purge]) -> tuple[Purge, ...]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute(CREATE_PURGES)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    for purge in made:
        for statement, parameters in purge_notes.noting(purge):
            connection.execute(statement, parameters)
    found = purge_notes.noted_in(connection)
    connection.close()
    return found


def strength(among: Sequence[Purge], key: str, asked_s: float) -> int:
    """Return 2 if a purge takes what was asked for at a time, 1 if it is marked, 0 if it stays."""
    return max((2 - purge.soft for purge in among if asked_s <= purge.at_s and purge.takes(key)), default=0)


@given(st.lists(purges, max_size=12))
def test_the_same_is_taken(made: list[Purge]) -> None:
    """In whatever order they came: what is forgotten is covered by what is kept."""
    kept = noted(made)
    assert list(kept) == sorted(kept, key=lambda purge: purge.at_s)
    assert set(kept) <= set(made)
    for key in KEYS:
        for asked_s in range(11):
            assert strength(kept, key, asked_s) == strength(made, key, asked_s)


def test_a_purge_made_again_is_noted_once() -> None:
    """A job that purges the same again and again leaves one note; a softer one doesn't undo a harder one."""
    made = [Purge(at_s=float(at_s), run="1", soft=at_s % 2 == 1) for at_s in range(20)]
    assert noted(made) == (made[-2], made[-1])


def test_too_many() -> None:
    """The oldest become one of everything: more is taken than was purged, never less."""
    made = [Purge(at_s=float(at_s), run=str(at_s)) for at_s in range(purge_notes.MOST_NOTED + 50)]
    kept = noted(made)
    assert len(kept) == purge_notes.MOST_NOTED
    assert kept[0] == Purge(at_s=50.0)
    assert list(kept[1:]) == made[51:]


def test_a_file_of_before() -> None:
    """A file of the first version has no notes."""
    connection = sqlite3.connect(":memory:")
    connection.execute("PRAGMA user_version = 1")
    assert purge_notes.noted_in(connection) == ()
    connection.close()
