"""Tests that are left out for want of a program."""

import re
import sys
from pathlib import Path

import pytest

from tests.support.programs import need

ROOT = Path(__file__).parents[2]
NEEDING = re.compile(r"^ +need\(((?:\"[\w.-]+\"(?:, )?)+)\)$", re.MULTILINE)


def test_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left out for that."""
    monkeypatch.setenv("PROGRAMS", "must")
    need("sh", sys.executable)


@pytest.mark.parametrize(
    ("said", "outcome"), [("", pytest.skip.Exception), ("must", pytest.fail.Exception)], ids=["anywhere", "must"]
)
def test_what_is_not(monkeypatch: pytest.MonkeyPatch, said: str, outcome: type[Exception]) -> None:
    """The test is skipped, or fails where none may be."""
    monkeypatch.setenv("PROGRAMS", said)
    with pytest.raises(outcome, match="there is no nowhere; on Debian: apt-get install nowhere"):
        need("sh", "nowhere")


def test_ci_has_each() -> None:
    """It looks for each program that a test asks for, and installs it where it isn't there."""
    asking = [path for path in (ROOT / "tests").rglob("*.py") if path != Path(__file__)]
    asked = {name for path in asking for found in NEEDING.findall(path.read_text()) for name in re.findall(r"[\w.-]+", found)}
    assert {"chromium", "git", "openssl"} <= asked
    text = (ROOT / ".ci" / "run").read_text()
    looked_for = set(re.findall(r"command -v (\S+)", text))
    installed = {name for line in re.findall(r"apt-get install (.+)|need=\"(.+)\"", text) for name in " ".join(line).split()}
    # The script's own.
    assert asked - {"bash"} <= looked_for & installed
