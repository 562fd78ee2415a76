"""What pages tell somebody to type is something that the proxy takes."""

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.cli.arguments import make_parser
from proxy.config import Config, load
from proxy.config.load import PREFIX, SHORT, TOKEN_VARIABLE, URL_VARIABLE
from tests.docs.test_links import PAGES, ROOT

_BLOCK = re.compile(r"(?ms)^( *)```(\w+)\n(.*?)^ *```$")
_SETTING = re.compile(rf"`({'|'.join(Config.model_fields)})\.([a-z_0-9]+)`")
# What names settings in other words than those in force: rooms of the code have such names, too.
_OF_THE_CODE = {"architecture.md", "benchmarks.md"}


def blocks(page: Path, *kinds: str) -> Iterator[str]:
    """Yield a page's blocks of code of some kinds."""
    for indent, kind, text in _BLOCK.findall(page.read_text(encoding="utf-8")):
        if kind in kinds:
            yield re.sub(rf"(?m)^{indent}", "", text)


def with_blocks(*kinds: str) -> list[Path]:
    return [page for page in PAGES if any(blocks(page, *kinds))]


def commands_of(line: str) -> Iterator[list[str]]:
    """Yield the arguments of each command of the proxy's in a line for a shell."""
    found: list[str] | None = None
    begins = True
    words = shlex.shlex(re.sub(r"\$\([^)]*\)", "said", line), posix=True, punctuation_chars=True)
    words.whitespace_split = True
    for word in words:
        if word in {"|", "&&", ";", "&", ">", ">>", "<"}:
            if found is not None:
                yield found
            found, begins = None, word not in {">", ">>", "<"}
        elif found is not None:
            found.append(word)
        elif begins and re.search(r"(^|/bin/)pluto-proxy$", word):
            found = []
        else:
            begins = begins and re.match(r"[A-Z_]+=", word) is not None
    if found is not None:
        yield found


def commands_in(page: Path) -> Iterator[list[str]]:
    """Yield the arguments of each command of the proxy's on a page."""
    for text in blocks(page, "sh", "console"):
        for line in text.replace("\\\n", " ").splitlines():
            yield from commands_of(line)


def events() -> set[str]:
    """Return what the log calls its lines, which are named as settings are."""
    logged = (
        re.findall(r"(?s)(?:log|warn_once)\w*(?:\.\w+)?\(\s*\"(\w+\.\w+)\"", path.read_text())
        for path in (ROOT / "proxy").rglob("*.py")
    )
    return {event for found in logged for event in found}


def named(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", with_blocks("sh", "console"), ids=named)
def test_commands(page: Path) -> None:
    """Every command line of the proxy's is one."""
    for command in commands_in(page):
        make_parser().parse_args(command)


@pytest.mark.parametrize("page", with_blocks("toml"), ids=named)
def test_settings(page: Path, tmp_path: Path) -> None:
    """Every configuration is one."""
    for text in blocks(page, "toml"):
        (tmp_path / "one.toml").write_text(text)
        load(tmp_path / "one.toml", {"HOME": "/nowhere"})


@pytest.mark.parametrize("page", with_blocks("python"), ids=named)
def test_python(page: Path) -> None:
    """Every piece of Python can be read."""
    for text in blocks(page, "python"):
        ast.parse(text)


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_names(page: Path) -> None:
    """Every variable and every setting that a page names is there."""
    text = page.read_text(encoding="utf-8")
    variables = {f"{PREFIX}{section.upper()}__{key.upper()}" for section, model in Config() for key in type(model).model_fields}
    known, logged = variables | {*SHORT, URL_VARIABLE, TOKEN_VARIABLE}, events()
    for name in re.findall(rf"\b{PREFIX}[A-Z0-9_]*[A-Z0-9]\b", text):
        assert name in known, name
    if page.name not in _OF_THE_CODE:
        for section, key in _SETTING.findall(text):
            assert f"{PREFIX}{section.upper()}__{key.upper()}" in variables or f"{section}.{key}" in logged, f"{section}.{key}"


def test_what_is_found() -> None:
    """Commands are found wherever they stand in a line, and events in the code."""
    line = (
        "KEY=x .venv/bin/pluto-proxy doctor && pluto-proxy query --csv > loss.csv; pluto-proxy token list | wc # pluto-proxy no"
    )
    assert [*commands_of(line)] == [["doctor"], ["query", "--csv"], ["token", "list"]]
    assert not [*commands_of("systemctl status pluto-proxy")]
    assert {"cache.purged", "store.set_aside", "server.few_descriptors"} <= events()
    assert sum(1 for page in PAGES for _ in commands_in(page)) > 30
