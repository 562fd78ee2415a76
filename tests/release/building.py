"""Building a release from a copy of the checkout, and running what it is tried with."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tools import release

ROOT = Path(__file__).parents[2]
# Where `make` puts what releases are tried with.
TOOLS = Path(sys.prefix) / "release"
PATIENCE_S = 120
# What is no part of a checkout. (The page's files are not either, but they are what the build fetches.)
_MADE = shutil.ignore_patterns(
    ".git", ".venv", "node_modules", "__pycache__", ".hypothesis", ".coverage*", ".*_cache", "*.egg-info", "dist"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A release: its two files, and a folder with the source distribution unpacked."""

    sdist: Path
    wheel: Path
    unpacked: Path


async def run(*command: str | Path, cwd: Path, environ: Mapping[str, str]) -> tuple[int, str]:
    """Run a program to its end. Return its exit status and what it says."""
    process = await asyncio.create_subprocess_exec(
        *map(str, command),
        cwd=cwd,
        env=dict(environ),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(PATIENCE_S):
        said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


def build(target: str, source: Path, into: Path, **variables: str) -> Path:
    """Build `sdist` or `wheel` of a folder, with no program on the PATH, so that nothing can be fetched. Return the file."""
    into.mkdir(parents=True, exist_ok=True)
    empty = into / "no programs"
    empty.mkdir(exist_ok=True)
    environ = {"PATH": str(empty), "HOME": str(into), "PYTHONDONTWRITEBYTECODE": "1", **variables}
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(into)]
    done = subprocess.run(  # noqa: S603 -- it is what is tested
        command, cwd=source, env=environ, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == 0, done.stderr
    [found] = into.glob("*.tar.gz" if target == "sdist" else "*.whl")
    return found


def copy(into: Path) -> Path:
    """Copy the checkout, without what was made in it. Return the copy."""
    shutil.copytree(ROOT, into, ignore=_MADE, symlinks=True)
    return into


def unpack(sdist: Path, into: Path) -> Path:
    """Unpack a source distribution. Return the one folder in it."""
    release.unpack(sdist, into)
    [folder] = into.iterdir()
    return folder


def bare(home: Path, **variables: str) -> dict[str, str]:
    """Return the environment of somebody who has nothing of ours, and no network."""
    home.mkdir(parents=True, exist_ok=True)
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_INDEX": "1",
        "PIP_NO_COMPILE": "1",
        "UV_NO_CONFIG": "1",
        "UV_OFFLINE": "1",
        "UV_NO_INDEX": "1",
        # A program that asked the network after all would ask here, where nobody listens.
        **dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), "http://127.0.0.1:9"),
        "NO_COLOR": "1",
        **variables,
    }
