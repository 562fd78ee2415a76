"""Files that change: noticed within a period, whatever was done to them, and looked at no more often."""

from pathlib import Path
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from proxy import file_watch
from proxy.file_watch import FileWatch, stamp_of
from tests.support.world import ManualClock

PERIOD_S = 1.0
CHANGES = st.sampled_from(["write", "replace", "delete", "touch nothing"])


def changed(path: Path, change: str, number: int) -> None:
    if change == "write":
        path.write_text(f"{number:>{number + 1}}")
    elif change == "replace":
        other = path.with_suffix(".new")
        other.write_text(f"{number:>{number + 1}}")
        other.replace(path)
    elif change == "delete":
        path.unlink(missing_ok=True)


@given(steps=st.lists(st.tuples(CHANGES, st.sampled_from([0.0, 0.3, 1.0, 5.0])), max_size=12))
def test_a_change_is_noticed_at_the_next_look(tmp_path_factory: object, steps: list[tuple[str, float]]) -> None:
    """It says so exactly where the stamps differ from those of the look before, and looks once in a period at most."""
    folder = tmp_path_factory.mktemp("watched")  # type: ignore[attr-defined]  # pytest doesn't export its type
    path, clock = folder / "file", ManualClock()
    watch, seen, looked_s = FileWatch([path], clock, period_s=PERIOD_S), stamp_of(path), clock.monotonic_s()
    for number, (change, wait_s) in enumerate(steps):
        changed(path, change, number)
        clock.advance(wait_s)
        due = clock.monotonic_s() - looked_s >= PERIOD_S
        assert watch.says_read(faulty=False) is (due and stamp_of(path) != seen)
        if due:
            looked_s, seen = clock.monotonic_s(), stamp_of(path)


def test_what_could_not_be_used_is_read_again(tmp_path: Path) -> None:
    """Also without a change, once a period: by other rights of a directory it may be good now."""
    clock = ManualClock()
    watch = FileWatch([tmp_path / "file"], clock, period_s=PERIOD_S)
    assert not watch.says_read(faulty=True)
    clock.advance(PERIOD_S)
    assert watch.says_read(faulty=True)
    assert not watch.says_read(faulty=True)


def test_other_files_are_looked_at_at_once(tmp_path: Path) -> None:
    """What changed between reading a file and watching it is noticed."""
    path, clock = tmp_path / "file", ManualClock()
    path.write_text("one")
    watch, stamp = FileWatch((), clock, period_s=PERIOD_S), stamp_of(path)
    path.write_text("another")
    watch.expect([path], [stamp])
    assert watch.says_read(faulty=False)
    with patch.object(file_watch, "stamp_of", side_effect=AssertionError("looked twice in a period")):
        assert not watch.says_read(faulty=False)
