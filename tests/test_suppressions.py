"""Whoever has a checker look away says why, on the same line."""

import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("proxy", "tests", "tools", "docs")
# What ruff and mypy look for in comments, and the two forms of it that have a reason.
LOOKS_AWAY = re.compile(r"#\s*(noqa|type:\s*ignore|pragma:\s*no)", re.IGNORECASE)
SAYS_WHY = re.compile(r"# (noqa: [A-Z0-9]+(, [A-Z0-9]+)* --? |type: ignore\[[a-z-]+(, ?[a-z-]+)*\]  # )\S.*")


def unreasoned(path: Path) -> list[str]:
    """Return the lines of a file that have a checker look away and don't say why."""
    if LOOKS_AWAY.search(path.read_text(encoding="utf-8")) is None:
        return []
    with path.open("rb") as file:
        comments = [token for token in tokenize.tokenize(file.readline) if token.type == tokenize.COMMENT]
    return [
        f"{path}:{token.start[0]}: {token.string}"
        for token in comments
        if LOOKS_AWAY.search(token.string) and not SAYS_WHY.fullmatch(token.string)
    ]


@pytest.mark.parametrize("room", ROOMS)
def test_every_one_has_a_reason(room: str) -> None:
    """In each Python file of ours."""
    paths = sorted((ROOT / room).rglob("*.py"))
    assert paths
    assert [line for path in paths for line in unreasoned(path)] == []


@pytest.mark.parametrize(
    ("comment", "says_why"),
    [
        ("# noqa", False),
        ("# noqa: S603", False),
        ("# noqa: S603, S607 --", False),
        ("# noqa: S603, S607 -- our own", True),
        ("# type: ignore", False),
        ("# type: ignore[misc]", False),
        ("# type: ignore[misc]  # why", True),
        ("# a comment on noqa", True),
    ],
)
def test_what_a_reason_is(tmp_path: Path, comment: str, says_why: bool) -> None:
    """It comes after the rules, which are named."""
    path = tmp_path / "one.py"
    path.write_text(f"x = 1  {comment}\n")
    assert unreasoned(path) == ([] if says_why else [f"{path}:1: {comment}"])
