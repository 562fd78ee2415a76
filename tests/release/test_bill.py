"""The wheel's bill of materials."""

import base64
import json
import sys
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path
from zipfile import ZipFile

from packaging.requirements import Requirement

from proxy import __version__
from tests.install.wheels import pins, spelled
from tests.release.building import ROOT, TOOLS, Built, bare, run

JUDGE = """
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
judge = JsonStrictValidator(SchemaVersion.V1_6)
print(*(judge.validate_str(open(path).read()) is None for path in sys.argv[1:]))
"""


def text_of(built: Built) -> str:
    with ZipFile(built.wheel) as wheel:
        return wheel.read(f"pluto_proxy-{__version__}.dist-info/sboms/pluto-proxy.cdx.json").decode()


def asked_for(name: str) -> Iterator[str]:
    """Yield what an installed package asks for, and what that asks for."""
    for text in distribution(name).requires or ():
        asked = Requirement(text)
        if asked.marker is None or asked.marker.evaluate({"extra": ""}):
            yield spelled(asked.name)
            yield from asked_for(asked.name)


async def test_it_is_one(built: Built, tmp_path: Path) -> None:
    """It keeps to CycloneDX's schema, by the standard's own library, which does find faults."""
    text = text_of(built)
    paths = [tmp_path / "good.json", tmp_path / "bad.json"]
    for path, content in zip(paths, (text, text.replace('"CycloneDX"', '"Whirlwind"')), strict=True):
        path.write_text(content)
    environ = bare(tmp_path, PYTHONPATH=str(TOOLS))
    assert await run(sys.executable, "-c", JUDGE, *paths, cwd=tmp_path, environ=environ) == (0, "True False\n")


def test_it_names_what_serving_takes(built: Built) -> None:
    """Every package that what is installed here asks for, in the locked release, and none that only builds or tests."""
    bill = json.loads(text_of(built))
    named = {one["name"]: one["version"] for one in bill["components"] if one["purl"].startswith("pkg:pypi/")}
    locked = dict(pins((ROOT / "requirements.lock").read_text()))
    assert set(asked_for("pluto-proxy")) <= set(named)
    assert named.items() <= locked.items()
    assert {"hatchling", "pathspec", "trove-classifiers", "pytest"}.isdisjoint(named)
    optional = {one["name"] for one in bill["components"] if one["scope"] == "optional"}
    assert set(named) - set(asked_for("pluto-proxy")) <= optional


def test_who_asks_for_what(built: Built) -> None:
    """Every component hangs on the wheel itself, and what each asks for here is told."""
    bill = json.loads(text_of(built))
    tree = {one["ref"]: set(one.get("dependsOn", ())) for one in bill["dependencies"]}
    own = bill["metadata"]["component"]["bom-ref"]
    reached, more = set[str](), {own}
    while more:
        reached |= more
        more = {ref for one in more for ref in tree[one]} - reached
    assert reached == {own, *(one["bom-ref"] for one in bill["components"])} == set(tree)
    called = {ref: ref.rpartition("/")[2].partition("@")[0] for ref in tree}
    for name in ("pluto-proxy", "aiohttp", "pydantic", "rich"):
        [ref] = [ref for ref, other in called.items() if other == name]
        direct = {spelled(Requirement(text).name) for text in distribution(name).requires or () if "extra" not in text}
        assert {called[other] for other in tree[ref]} - {"uplot"} >= direct & set(asked_for(name))


def test_what_is_brought_along(built: Built) -> None:
    """uPlot, with its license and the hash by which it was fetched; nothing that changes from build to build."""
    bill = json.loads(text_of(built))
    [uplot] = [one for one in bill["components"] if one["name"] == "uplot"]
    page = json.loads((ROOT / "package-lock.json").read_text())["packages"]["node_modules/uplot"]
    digest = base64.b64decode(page["integrity"].removeprefix("sha512-")).hex()
    assert uplot["hashes"] == [{"alg": "SHA-512", "content": digest}]
    assert (uplot["version"], uplot["licenses"]) == (page["version"], [{"license": {"id": "MIT"}}])
    assert bill["metadata"]["component"]["version"] == __version__
    assert not {"serialNumber", "timestamp"} & {*bill, *bill["metadata"]}
