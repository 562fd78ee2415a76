"""Fetching what the page draws with, by an npm and a Node that are made up."""

import asyncio
import json
import os
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
VENDOR = Path("proxy", "page", "vendor")
# It does what `npm ci` does, without a registry: it installs what is said to be there.
NPM = """#!/bin/sh
echo "$@" >>"$CALLS"
test -f package-lock.json && test -f .npmrc || exit 3
mkdir -p node_modules/uplot/dist
for name in dist/uPlot.iife.min.js dist/uPlot.min.css LICENSE; do echo "of uPlot" >"node_modules/uplot/$name"; done
"""
REFUSING = "#!/bin/sh\necho 'npm error code EINTEGRITY' >&2\necho 'npm error another hash' >&2\nexit 1\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Clone:
    """A clone with programs of its own; `calls` is what npm was called with."""

    root: Path
    calls: Path
    programs: dict[str, str] = field(default_factory=lambda: {"node": "#!/bin/sh\necho v24.1.0\n", "npm": NPM})

    async def page(self, *arguments: str) -> tuple[int, str]:
        """Run the tool; return its exit status and what it says."""
        folder = self.root / "bin"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for name, text in self.programs.items():
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)
        # What the programs themselves are made of.
        for name in ("sh", "mkdir"):
            (folder / name).symlink_to(shutil.which(name) or name)
        environ = {**os.environ, "PATH": str(folder), "CALLS": str(self.calls)}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(self.root / "tools" / "page.py"),
            *arguments,
            env=environ,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, said.decode()


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    """A clone in which nothing was fetched."""
    root = tmp_path / "clone"
    (root / "tools").mkdir(parents=True)
    (root / "proxy" / "page").mkdir(parents=True)
    for name in ("package.json", "package-lock.json", ".npmrc", "tools/page.py"):
        shutil.copy(ROOT / name, root / name)
    return Clone(root=root, calls=tmp_path / "calls")


async def test_it_is_fetched_once(clone: Clone) -> None:
    """npm installs by the lock file, without running what packages bring; what is there is not fetched again."""
    for _ in range(2):
        assert await clone.page("fetch", "--must") == (0, "")
    assert clone.calls.read_text() == "ci --omit=dev --ignore-scripts --loglevel=error\n"
    assert (clone.root / VENDOR / "uPlot.iife.min.js").read_text() == "of uPlot\n"
    assert (clone.root / VENDOR / "uPlot.LICENSE").is_file()


async def test_another_release_is_fetched(clone: Clone) -> None:
    """What lies there counts only if it is what the lock file names."""
    await clone.page("fetch")
    lock = json.loads((clone.root / "package-lock.json").read_text())
    lock["packages"]["node_modules/uplot"]["integrity"] = "sha512-other"
    (clone.root / "package-lock.json").write_text(json.dumps(lock))
    await clone.page("fetch")
    assert len(clone.calls.read_text().splitlines()) == 2


async def test_what_cannot_be_fetched_is_told(clone: Clone) -> None:
    """A line says why, that all else is served, and how to try again; only for those who must have it that is a failure."""
    clone.programs["npm"] = REFUSING
    for options, status in (((), 0), (("--must",), 1)):
        found, said = await clone.page("fetch", *options)
        assert found == status
        [line] = said.splitlines()
        assert all(part in line for part in ("EINTEGRITY; another hash", "everything but the page", "make page"))
    assert not (clone.root / VENDOR).exists()


@pytest.mark.parametrize(
    ("version", "status"),
    [
        *(("v20.18.9", 1), ("v20.19.0", 0), ("v21.7.3", 1), ("v22.12.0", 1), ("v22.13.0", 0), ("v23.11.0", 1)),
        *(("v24.0.0", 0), ("v25.1.0", 0), ("v100.0.0", 0), ("no version", 1)),
    ],
)
async def test_which_node_will_do(clone: Clone, version: str, status: int) -> None:
    """Those that eslint runs on."""
    clone.programs["node"] = f"#!/bin/sh\necho {version}\n"
    assert (await clone.page("have"))[0] == status


def test_which_node_eslint_takes() -> None:
    """What is said of it here is what its package says."""
    lock = json.loads((ROOT / "package-lock.json").read_text())
    assert lock["packages"]["node_modules/eslint"]["engines"]["node"] == "^20.19.0 || ^22.13.0 || >=24"


async def test_it_is_told_whether_it_is_there(clone: Clone) -> None:
    """All of it, as the lock file names it; a folder that was left half-way, or is of another day, has not."""
    assert (await clone.page("fetched"))[0] == 1
    (clone.root / VENDOR).mkdir()
    assert (await clone.page("fetched"))[0] == 1
    await clone.page("fetch")
    assert (await clone.page("fetched"))[0] == 0
    lock = json.loads((clone.root / "package-lock.json").read_text())
    lock["packages"]["node_modules/uplot"]["integrity"] = "sha512-other"
    (clone.root / "package-lock.json").write_text(json.dumps(lock))
    assert (await clone.page("fetched"))[0] == 1
    (clone.root / "package-lock.json").write_text("{}")
    assert (await clone.page("fetched"))[0] == 1


@pytest.mark.parametrize("programs", [{}, {"node": "#!/bin/sh\necho v18.19.0\n", "npm": NPM}, {"npm": NPM}])
async def test_without_a_node_that_is_new_enough(clone: Clone, programs: dict[str, str]) -> None:
    """It says which Node it takes, and doesn't call the npm of another one."""
    clone.programs.clear()
    clone.programs.update(programs)
    assert (await clone.page("have"))[0] == 1
    status, said = await clone.page("fetch", "--must")
    assert status == 1
    assert "no Node of at least 20.19" in said
    assert not clone.calls.exists()
    assert (await clone.page("npm", "ci"))[0] == 1
