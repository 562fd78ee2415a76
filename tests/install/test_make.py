"""`make` in a fresh clone, with the oldest pip there may be, where everything has a newer release than is locked."""

import asyncio
import json
import os
import re
import shutil
import sys
import venv
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from proxy import __version__
from tests.install.wheels import NEWER, folders, pins, release, spelled

ROOT = Path(__file__).parents[2]
LOCKS = (
    "requirements.lock",
    "requirements-dev.lock",
    "requirements-client.lock",
    "requirements-release.lock",
    "requirements-pip.lock",
)
NODE_LOCK = "requirements-node.lock"
TEST = "def test_something() -> None:\n    import proxy, pytest_asyncio\n"
# As a plug-in of pytest's once did. The oldest pip takes the newest release for this, whatever is locked, if it may resolve.
ASKING = {"pytest": "coverage[toml]>=7.10"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Clone:
    """A clone, and a folder of wheels in the place of an index."""

    root: Path
    wheels: Path

    async def make(self, *arguments: str) -> tuple[int, str]:
        """Run make with an empty home; return its exit status and what it and its children say."""
        home = self.root.parent / "home"
        home.mkdir(exist_ok=True)
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "PIP_NO_CACHE_DIR": "1",
            # Bytecode is of no use here, and takes most of the time.
            "PIP_NO_COMPILE": "1",
            "PIP_NO_INDEX": "1",
            "npm_config_offline": "true",
            # The second isn't there: pip warns of that for every package.
            "PIP_FIND_LINKS": f"{self.wheels} {self.root.parent / 'nowhere'}",
        }
        process = await asyncio.create_subprocess_exec(
            "make",
            *arguments,
            cwd=self.root,
            env=environ,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, said.decode()

    def edit(self, name: str, change: Callable[[str], str]) -> None:
        """Change a file, which is then another."""
        path = self.root / name
        before = path.read_text()
        path.write_text(change(before))
        assert path.read_text() != before

    @property
    def packages(self) -> Path:
        """Where packages are installed."""
        [found] = (self.root / ".venv" / "lib").glob("python*/site-packages")
        return found


@pytest.fixture(scope="module")
def pattern(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone in which nothing was made, with one small test; its lock files name the wheels."""
    folder = tmp_path_factory.mktemp("pattern")
    clone = Clone(root=folder / "clone", wheels=folder / "wheels")
    clone.wheels.mkdir()
    (clone.root / "tests").mkdir(parents=True)
    (clone.root / "tests" / "test_something.py").write_text(TEST)
    for name in ("Makefile", "README.md", "pyproject.toml", "package.json", "package-lock.json", ".npmrc", "LICENSE"):
        shutil.copy(ROOT / name, clone.root)
    for name in ("proxy", "tools"):
        shutil.copytree(ROOT / name, clone.root / name, ignore=shutil.ignore_patterns("__pycache__", "vendor"))
    here, client, tools = ({name for name, _ in pins((ROOT / lock).read_text())} for lock in LOCKS[1:4])
    for name in LOCKS:
        lock = (ROOT / name).read_text()
        (clone.root / name).write_text(
            release(lock, clone.wheels, asking=ASKING, unused={"mypy", "playwright", "ruff"} | ((client | tools) - here))
        )
    return clone


@pytest.fixture
def clone(pattern: Clone, tmp_path: Path) -> Clone:
    """Such a clone, in which there is a virtual environment already, with the oldest pip."""
    clone = Clone(root=tmp_path / "a clone", wheels=pattern.wheels)
    shutil.copytree(pattern.root, clone.root)
    venv.create(clone.root / ".venv", symlinks=True)
    oldest_pip = folders()[-1]
    assert oldest_pip.is_dir(), "run the tests by `make test`, which installs what they need"
    shutil.copytree(oldest_pip, clone.packages, dirs_exist_ok=True)
    return clone


def installed(folder: Path) -> dict[str, str]:
    """Return what is installed somewhere: the version by name."""
    return {spelled(found.name): found.version for found in distributions(path=[str(folder)])}


async def test_make_test(clone: Clone) -> None:
    """It installs what the lock files name, in these releases, and runs the tests; pip's warnings don't bury its own lines."""
    status, said = await clone.make("test")
    assert status == 0, said
    assert "1 passed" in said
    assert len(said.splitlines()) < 10
    run, dev, client, tools, pip = (set(pins((ROOT / lock).read_text())) for lock in LOCKS)
    here = set(installed(clone.packages).items())
    beside = set(installed(clone.root / ".venv" / "client").items())
    trying = set(installed(clone.root / ".venv" / "release").items())
    assert len(here) > 40
    assert len(beside) > 30
    assert here - run - dev - pip == {("pluto-proxy", __version__)}
    assert beside <= client
    assert len(trying) > 40
    assert trying <= tools
    assert NEWER not in {version for _, version in here | beside | trying}
    again = await clone.make("test")
    assert "installing" not in again[1]
    assert "1 passed" in again[1]


async def test_make_run(clone: Clone) -> None:
    """It installs what serving takes, no more, and then it is the proxy that speaks."""
    status, said = await clone.make("run")
    assert status == 2
    assert "set PLUTO_API_KEY" in said
    [line] = [line for line in said.splitlines() if "the page" in line]
    assert line.startswith("make: everything but the page at / is served, for ")
    assert "make page" in line
    assert "pytest" not in installed(clone.packages)


async def test_a_lock_file_that_lacks_something(clone: Clone) -> None:
    """What others need and no lock file names is told, and nothing counts as done."""
    clone.edit("requirements.lock", lambda lock: re.sub(r"(?m)^multidict==.*(\n .*)+\n", "", lock))
    for _ in range(2):
        status, said = await clone.make("run")
        assert status == 2
        assert "requires multidict, which is not installed" in said
        assert "make clean" in said
        assert "PLUTO_API_KEY" not in said


async def test_what_pip_refuses(clone: Clone) -> None:
    """A file with another hash than is locked is not installed; what pip says about it is shown."""
    clone.edit("requirements.lock", lambda lock: re.sub(r"(multidict==.*\n.*sha256:)\w{64}", r"\g<1>" + 64 * "0", lock))
    status, said = await clone.make("run")
    assert status == 2
    assert "DO NOT MATCH THE HASHES" in said
    assert "multidict" in said
    assert set(installed(clone.packages)) == {"pip"}


@pytest.mark.parametrize("target", ["audit", "lint", "lock", "release", "types"])
async def test_what_runs_on_node_gets_one(clone: Clone, target: str) -> None:
    """From the lock file where the machine has none, before it is run, and though what the page draws with is there."""
    (clone.root / "proxy" / "page" / "vendor").mkdir()
    status, said = await clone.make("--dry-run", target)
    assert status == 0
    lines = said.splitlines()
    [getting] = [number for number, line in enumerate(lines) if "-r requirements-node.lock >/dev/null" in line]
    assert "vendor" not in "".join(lines[getting - 1 : getting + 1])
    running = [number for number, line in enumerate(lines) if re.search(r"tools/(page\.py n|audit|release)", line)]
    assert running
    assert min(running) > getting


@pytest.mark.parametrize("target", ["bench", "demo", "page", "run", "soak", "test"])
async def test_what_shows_the_page_fetches_it(clone: Clone, target: str) -> None:
    """Before it is run."""
    status, said = await clone.make("--dry-run", target)
    assert status == 0
    fetching, running = said.find("tools/page.py fetch "), re.search(r"bin/(pluto-proxy|python -m tests|pytest)", said)
    assert fetching > said.find("-r requirements-node.lock") > said.find("tools/page.py fetched ") > 0
    assert target == "page" or (running is not None and running.start() > fetching)


async def test_another_python(clone: Clone) -> None:
    """Naming a Python is not ignored where a virtual environment of another one is there already."""
    other = clone.root / "python"
    other.write_text("#!/bin/sh\necho 3.99\n")
    other.chmod(0o755)
    status, said = await clone.make("run", "PYTHON=./python")
    assert status == 2
    assert ".venv is of Python 3." in said
    assert "./python is 3.99" in said
    assert "make clean" in said
    assert "installing" not in said
    assert "installing" in (await clone.make("run", f"PYTHON={sys.executable}"))[1]


def test_lock_files_name_no_index() -> None:
    """Everybody has their own. And no line is one that these tests cannot read."""
    for name in (*LOCKS, NODE_LOCK):
        text = (ROOT / name).read_text()
        told = [line for line in text.splitlines() if not line.startswith((" ", "#"))]
        assert told
        assert len(told) == len(list(pins(text)))
        assert "://" not in text


def test_the_lock_file_of_the_page() -> None:
    """It names no registry either, and of each package the hash of what is fetched."""
    text = (ROOT / "package-lock.json").read_text()
    assert "://" not in text
    packages = {name: of for name, of in json.loads(text)["packages"].items() if name}
    assert "node_modules/uplot" in packages
    assert all(of["integrity"].startswith("sha512-") for of in packages.values())


def test_lock_files_name_extras() -> None:
    """What a package asks for with an extra is locked with it: else who resolves after all gets the newest of it."""
    locked = "".join((ROOT / name).read_text() for name in LOCKS)
    named = set(pins(locked))
    there = [found for found in distributions(path=list(map(str, folders()))) if (spelled(found.name), found.version) in named]
    asked = [Requirement(text) for found in there for text in found.requires or ()]
    extras = {
        (spelled(requirement.name), extra)
        for requirement in asked
        for extra in requirement.extras
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""})
    }
    assert extras
    for name, extra in extras:
        assert re.search(rf"(?m)^{name}\[([\w-]+,)*{extra}(,[\w-]+)*\]==", locked), f"{name}[{extra}] is not locked"
