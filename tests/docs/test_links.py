"""Every link of every page leads somewhere on a code host, too, where Sphinx resolves nothing."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "deploy").rglob("*.md")])
_BLOCK = re.compile(r"(?ms)^(`{3,})[^`\n]*\n.*?^\1\s*$")
_LINK = re.compile(r"\]\(([^()\s]+)\)")


def text_of(page: Path) -> str:
    """Return what a page says outside of its blocks of code."""
    return _BLOCK.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as code hosts make them."""
    found: set[str] = set()
    for heading in re.findall(r"(?m)^#+ (.+?)\s*$", text_of(page)):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        anchor = re.sub(r"[^\w -]", "", plain.lower()).replace(" ", "-")
        number = 0
        while (numbered := f"{anchor}-{number}" if number else anchor) in found:
            number += 1
        found.add(numbered)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links(page: Path) -> None:
    """The file is there, and so is the heading."""
    for target in _LINK.findall(text_of(page)):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        there = (page.parent / file).resolve() if file else page
        assert there.exists(), target
        assert there.is_relative_to(ROOT), target
        if anchor:
            assert anchor in anchors(there), target


def test_mentions() -> None:
    """A page that code, tests or deployment files name is there."""
    folders = ("proxy", "tests", "tools", "deploy", "config")
    files = [
        path
        for folder in folders
        for path in (ROOT / folder).rglob("*")
        if path.suffix in {".py", ".js", ".yml", ".yaml", ".toml", ".conf"}
    ]
    files += [*PAGES, ROOT / "Makefile", ROOT / "pyproject.toml"]
    looked_at = 0
    for path in files:
        if "vendor" in path.parts:
            continue
        for page in re.findall(r"docs/[\w./-]+\.md", path.read_text(encoding="utf-8")):
            looked_at += 1
            assert (ROOT / page).exists(), f"{path}: {page}"
    assert looked_at > 20


def test_every_page_is_listed() -> None:
    """Nobody has to guess that there is a page: another one links to it."""
    linked = {
        (page.parent / target.partition("#")[0]).resolve()
        for page in PAGES
        for target in _LINK.findall(text_of(page))
        if target[0] != "#"
    }
    root = {ROOT / "README.md", ROOT / "docs" / "index.md"}
    assert {page for page in PAGES if page.parent != ROOT} - linked - root == set()
