"""What the image is built from, and which release it is."""

import asyncio
import json
import re
import shutil
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from proxy import __version__
from tests.deployment import DEPLOY, ROOT
from tests.support.certificates import Authority
from tests.support.processes import environment, proxy_process
from tests.support.programs import need_drawing
from tests.support.world import KEY


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
    need_drawing()
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


@pytest.mark.parametrize("encrypted", [False, True], ids=["HTTP", "HTTPS"])
async def test_how_it_is_asked_for_its_health(tmp_path: Path, encrypted: bool) -> None:
    """By what the proxy speaks, whatever name its certificate is for; where nobody answers it isn't well."""
    text = (DEPLOY / "container" / "Containerfile").read_text()
    [command] = re.findall(r"(?ms)^HEALTHCHECK .*?CMD (\[.*?\])$", text)
    _, *arguments = json.loads(command)
    variables = {
        "PLUTO_API_KEY": KEY,
        "PLUTO_PROXY_UPSTREAM": "http://127.0.0.1:9",
        "PLUTO_PROXY_CACHE": str(tmp_path / "c.sqlite"),
    }
    if encrypted:
        certificate, key = Authority(tmp_path / "authority").issue(names="DNS:pluto-proxy.example.com")
        variables |= {"PLUTO_PROXY_SERVER__TLS_CERT": str(certificate), "PLUTO_PROXY_SERVER__TLS_KEY": str(key)}
    async with proxy_process(**variables) as running:
        port = running.url.rpartition(":")[2]
        arguments = [argument.replace("8787", port) for argument in arguments]
        for well in (True, False):
            process = await asyncio.create_subprocess_exec(
                sys.executable, *arguments, env=environment(**variables), stderr=asyncio.subprocess.DEVNULL
            )
            assert (await process.wait() == 0) is well
            if well:
                await running.terminate()
