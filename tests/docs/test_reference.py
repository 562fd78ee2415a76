"""The reference is what the code says, and says all that there is."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from proxy.cli.arguments import make_parser
from proxy.config import Config
from proxy.core.question.routes import ROUTES
from proxy.web.pages.openapi import document
from tests.support.world import world
from tools.reference.answers import all_errors
from tools.reference.commands import commands
from tools.reference.docstrings import of_attributes, of_words
from tools.reference.metrics import OWN, families_of_a_proxy
from tools.reference.pages import ROOT, pages


@pytest.fixture(scope="module")
def written() -> dict[str, str]:
    """What would be written now."""
    return dict(pages())


def reference(name: str) -> str:
    return (ROOT / "docs" / "reference" / f"{name}.md").read_text(encoding="utf-8")


def test_nothing_has_drifted(written: dict[str, str]) -> None:
    """`make reference` would change nothing, and there is no page that it doesn't write."""
    for name, text in written.items():
        assert (ROOT / name).read_text(encoding="utf-8") == text, f"{name} isn't what the code says: make reference"
    there = {path.relative_to(ROOT).as_posix() for path in (ROOT / "docs" / "reference").glob("*.md")}
    assert {name for name in there if "Written by `make reference`" in (ROOT / name).read_text()} == {
        name for name in written if name.endswith(".md")
    }


def test_every_setting() -> None:
    """Each has a heading, a default, a meaning and its variable."""
    page = reference("configuration")
    for section, model in Config():
        for name in type(model).model_fields:
            told = page.partition(f"### {section}.{name}\n\n")[2].partition("###")[0]
            assert len(told) > 80, name
            assert f"`PLUTO_PROXY_{section.upper()}__{name.upper()}`" in told
            assert re.search(r"(?m)^- Default: \S", told)


async def test_every_metric(tmp_path: Path) -> None:
    """What a proxy that has answered something shows is listed, with all of its labels."""
    page = reference("metrics")
    async with world(tmp_path) as running:
        for _ in range(2):
            await running.get()
        shown = (await running.get("/metrics")).body.decode()
    samples = re.findall(rf"(?m)^({OWN}\w+)(?:{{(.*)}})? ", shown)
    assert len(samples) > 60
    for name, labels in samples:
        [row] = [
            line
            for line in page.splitlines()
            if line.startswith((f"| `{name}` ", f"| `{re.sub('_(bucket|sum|count)$', '', name)}` "))
        ]
        for label in re.findall(r"(\w+)=\"", labels):
            assert label == "le" or f"`{label}`" in row, row


def test_every_error() -> None:
    """Each code is listed, in the document for programs too."""
    page, told = reference("errors"), json.dumps(msgspec.json.decode(document(ROUTES, tokens=True)))
    for error in all_errors():
        assert re.search(rf"(?m)^\| [\d or]*{error.status}[\d or]* \| `{error.code}` \| {error.title} \| \S", page), error
        assert f"`{error.code}`" in told, error


def test_every_command() -> None:
    """Each has a heading and a usage line."""
    page = reference("commands")
    names = [name for name, _ in commands(make_parser())]
    assert {"serve", "token add", "cache import", "completion"} <= set(names)
    for name in names:
        assert f"## {name}\n" in page
        assert f"\npluto-proxy {name}" in page


def test_every_route() -> None:
    """Each path is listed: those of the table, and whatever the web answers besides."""
    page = reference("routes")
    own = set(paths_named(ROOT / "proxy" / "web"))
    assert {"/livez", "/admin/", "/view/series", "/openapi.json"} <= own
    for path in {route.path for route in ROUTES} | own:
        assert path in page, path


def paths_named(folder: Path) -> Iterator[str]:
    """Yield the paths that the constants of modules name, such as `VIEW_PATH`, and the keys of tables of pages."""
    for file in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                if re.search("PATHS?$|PREFIX$", node.targets[0].id):
                    yield from texts_of(node.value)
            elif isinstance(node, ast.Dict):
                yield from (text for key in node.keys if key is not None for text in texts_of(key))


def texts_of(node: ast.expr) -> Iterator[str]:
    for inner in ast.walk(node):
        if isinstance(inner, ast.Constant) and isinstance(inner.value, str) and inner.value.startswith("/"):
            yield inner.value


def test_what_says_nothing_is_found() -> None:
    """A word or a field without a text below it is a fault, not an empty line of the reference."""
    from tests.docs import said  # noqa: PLC0415 -- it is only looked at here

    assert of_words(said.Told) == {"a": "The first."}
    assert of_attributes(said.Told) == {"A": "The first."}
    with pytest.raises(KeyError):
        of_words(said.Untold)


def test_every_family_has_a_help_text() -> None:
    """A metric without one says nothing to whoever finds it."""
    for family in families_of_a_proxy().values():
        assert len(family.documentation) > 5, family.name
