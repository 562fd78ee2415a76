"""What the image is built from, and which release it is."""

import asyncio
import re
import shutil
import sys
from pathlib import Path
from zipfile import ZipFile

from proxy import __version__
from tests.deployment import DEPLOY, ROOT


def copied() -> set[str]:
    """Return what the container file copies from the checkout."""
    text = (DEPLOY / "container" / "Containerfile").read_text()
    lines = re.findall(r"(?m)^COPY (?!--from)(.+) \S+$", text)
    return {name for line in lines for name in line.split()}


def test_nothing_else_goes_to_the_builder() -> None:
    """The ignore file lets through what is copied, and that alone."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert {line[1:] for line in rules if line.startswith("!")} == copied()


async def test_the_wheel(tmp_path: Path) -> None:
    """What is copied is enough for the wheel, and the wheel has all that the package has."""
    for name in copied():
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / "src" / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            (tmp_path / "src").mkdir(exist_ok=True)
            shutil.copy(source, tmp_path / "src")
    command = ("pip", "wheel", "--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path), ".")
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", *command, cwd=tmp_path / "src")
    assert await process.wait() == 0
    [wheel] = tmp_path.glob("pluto_proxy-*.whl")
    with ZipFile(wheel) as opened:
        packed = {name for name in opened.namelist() if ".dist-info/" not in name}
    there = {path.relative_to(ROOT).as_posix() for path in (ROOT / "proxy").rglob("*") if path.is_file()}
    assert packed == {name for name in there if "__pycache__" not in name}


def test_the_release() -> None:
    """The chart is of the release that this is, and takes the image of that release."""
    chart = (DEPLOY / "helm" / "pluto-proxy" / "Chart.yaml").read_text()
    assert re.findall(r'(?m)^appVersion: "(.+)"$', chart) == [__version__]
    manifests = (DEPLOY / "kubernetes" / "pluto-proxy.yaml").read_text()
    assert re.findall(r"image: (\S+)", manifests) == [f"pluto-proxy:{__version__}"]
