"""Whether further series of a run will be asked for, as the last runs of its project were."""

from proxy.core.series.expecting import Expecting


def test_nothing_is_expected_at_first() -> None:
    """One run of which several series were looked at is enough; until then nothing is known."""
    expecting = Expecting()
    assert not expecting.several
    expecting.begin("1", 0)
    assert not expecting.several
    expecting.note_several("1")
    assert expecting.several
    expecting.note_several("1")
    expecting.note_several("never begun")
    assert expecting.several


def test_one_series_of_each_run() -> None:
    """Who compares one metric of many runs is soon no longer taken for one who looks at all of them."""
    expecting = Expecting()
    for run in range(3):
        expecting.begin(str(run), 0)
        expecting.note_several(str(run))
    for number in range(20):
        expecting.begin(f"more {number}", 1)
    assert expecting.several
    expecting.begin("later", 12)
    assert not expecting.several


def test_a_run_is_decided_within_ten_seconds() -> None:
    """What is asked for later doesn't count, and what nobody decided is not kept without bound."""
    expecting = Expecting()
    expecting.begin("1", 0)
    expecting.begin("2", 11)
    expecting.note_several("1")
    assert not expecting.several
    for number in range(5_000):
        expecting.begin(str(number), 12)
    assert len(expecting._undecided) <= 1_000  # noqa: SLF001 -- how much is kept shows nowhere else
