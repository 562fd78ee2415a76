"""The runner of mutants: it catches one, tells where one survives, and wants its text to occur once."""

from pathlib import Path

import pytest

from tests.mutants.runner import ROOT, Mutant, results
from tests.mutants.shortcut import MUTANTS

WATCHING = ("tests/mutants/test_watched.py",)
OLD, NEW = "self.number += 1", "self.number += 0"


def test_what_is_caught_and_what_survives() -> None:
    """A fault is caught by the test that is about it; a change of words isn't."""
    caught = Mutant("generation.py", OLD, NEW, WATCHING)
    survives = Mutant("generation.py", "Begin another generation", "Begin one more generation", WATCHING)
    assert [by for _, by in results([caught, survives])] == [f"{WATCHING[0]}::test_a_generation_ends", None]


def test_every_mutant_has_its_place(tmp_path: Path) -> None:
    """The text that each takes away is there, once."""
    for mutant in MUTANTS:
        assert (ROOT / "proxy" / mutant.file).read_text().count(mutant.old) == 1, mutant.name
        assert mutant.old != mutant.new
    path = tmp_path / "proxy" / "generation.py"
    path.parent.mkdir()
    for text in ("", OLD * 2):
        path.write_text(text)
        with pytest.raises(ValueError, match="times"):
            Mutant("generation.py", OLD, NEW, WATCHING).write(tmp_path)
