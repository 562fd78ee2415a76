"""Where the rule is looked at of series that grow, or are too long for one answer."""

from dataclasses import replace

import pytest

from proxy.core.proof.stretch import part_in_full, stretch
from proxy.core.series.answers import split
from proxy.core.series.extents import Extents
from proxy.core.series.metrics_query import MetricsQuery
from tests.support.oracle import Asked, permitted
from tests.support.oracle_upstream import row

ALL = MetricsQuery(run="1", project="p", name=None, group=None, limit=10_000, first=0, last=None)
ONE = replace(ALL, name="n0", limit=1_000)


def came(question: MetricsQuery, *lengths: int) -> Extents:
    rows = [row(f"n{number}", 2 * step) for number, length in enumerate(lengths) for step in range(length)]
    body = next(permitted(rows, Asked(name=question.name, limit=question.limit)))
    return split(body, question, sent_at_s=0)


def test_what_grows_is_asked_for_up_to_what_is_known() -> None:
    """The last step that all names have ends the stretch; the other question stays."""
    full = came(ALL, 10, 20)
    for asked, last in ((replace(ALL, limit=5), 18), (replace(ALL, name="n1"), 38), (replace(ALL, last=30), 18)):
        assert stretch(full, asked) == (replace(asked, last=last), ALL)


@pytest.mark.parametrize("asked", [replace(ALL, last=18), replace(ALL, first=19), replace(ALL, name="n7")])
def test_what_does_not_grow_has_no_stretch(asked: MetricsQuery) -> None:
    """A window that was over before, one behind all that is known, and a name that isn't there."""
    assert stretch(came(ALL, 10, 20), asked) is None


@pytest.mark.parametrize("window", [(0, None), (0, 10**6), (4_000, 4_600), (9_000, None)])
def test_a_part_of_what_is_too_long(window: tuple[int, int | None]) -> None:
    """It lies within the window, is sampled, has rows before and behind it, and few enough to be proven complete."""
    full, asked = came(ONE, 5_000), replace(ONE, first=window[0], last=window[1])
    found = stretch(full, asked)
    assert found is not None
    narrower, source = found
    assert asked.holds(narrower)
    assert source.first < narrower.first
    assert source.last is not None
    assert narrower.last is not None
    assert narrower.last < source.last
    rows = (narrower.last - narrower.first) // 2 + 1
    assert 2 * narrower.limit < rows <= ONE.limit // 2
    assert (source.name, source.limit) == ("n0", ONE.limit)


@pytest.mark.parametrize("asked", [replace(ONE, first=9_990), replace(ONE, last=40), replace(ONE, name=None)])
def test_no_part_of_what_is_too_long(asked: MetricsQuery) -> None:
    """Too few rows of the window are known, or it isn't one name."""
    assert stretch(came(ONE, 5_000), asked) is None


@pytest.mark.parametrize(("lengths", "rows"), [((5_000,), 400), ((900,), 400), ((13,), 400)])
def test_a_part_in_full(lengths: tuple[int, ...], rows: int) -> None:
    """It is from the middle of a long series, and has no more rows than wanted, whether all of them are known or a sample."""
    for full in (came(ONE, *lengths), came(replace(ONE, limit=10_000), *lengths)):
        part = part_in_full(full, rows)
        assert part is not None
        assert part.last is not None
        assert 0 < (part.last - part.first) // 2 + 1 <= max(rows, 12)
        assert (part.name, part.limit) == ("n0", 10_000)


def test_no_part_in_full() -> None:
    """Of all names, of a name that isn't there, and of a few rows."""
    for question, length in ((ALL, 5_000), (replace(ONE, name="n7"), 5_000), (ONE, 12)):
        assert part_in_full(came(question, length), 400) is None
