"""The version of a series changes with its rows, and with nothing else."""

import pytest

from proxy.core.series.compacting import ChunkSizes
from proxy.core.series.extents import no_rows
from proxy.core.view.version import version_of
from tests.core.view.extents import SIZES, evicted, extent_of, extents_of
from tests.support.oracle_upstream import row

ROWS = [row("a", 2 * number, value=number / 7) for number in range(40)]


@pytest.mark.parametrize("sizes", [None, SIZES])
def test_a_version_changes_with_any_row(sizes: ChunkSizes | None) -> None:
    """A row that comes, goes or is written again, in a chunk or behind the chunks."""
    others = [ROWS[:-1], ROWS[1:], [*ROWS, row("a", 100)]]
    others += [[*ROWS[:place], row("a", 2 * place, value=9), *ROWS[place + 1 :]] for place in range(40)]
    versions = [version_of(extent_of(rows, sizes)) for rows in [ROWS, *others]]
    assert len(set(versions)) == len(versions)
    assert version_of(extent_of(list(ROWS), sizes)) == versions[0]


def test_a_version_needs_no_chunk() -> None:
    """It is the same while the rows are on disk alone."""
    known = extents_of(ROWS)
    assert version_of(evicted(known).by_name["a"]) == version_of(known.by_name["a"])


def test_a_series_without_rows_has_a_version() -> None:
    """It doesn't depend on when it was asked for."""
    assert version_of(no_rows(1.0)) == version_of(no_rows(2.0)) != version_of(extent_of(ROWS))
