"""Somebody follows the tutorial word by word: each command runs, and prints what the page shows."""

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.docs.tutorial import Step, shape, steps
from tests.support.ports import held_port
from tests.support.programs import need, need_drawing

ROOT = Path(__file__).parents[2]
VENDOR = Path("proxy", "page", "vendor")
PAGE = ROOT / "docs" / "tutorial.md"
USUAL = "127.0.0.1:8787"
FIRST_S, EACH_S, WITHIN_S = 60.0, 60.0, 4.0


@pytest.fixture
def address() -> Iterator[str]:
    """A port that is free, as others may be using the usual one."""
    with held_port() as port:
        yield f"127.0.0.1:{port}"


@pytest.fixture
def environ(tmp_path: Path, address: str) -> dict[str, str]:
    """What is in the environment of somebody who has set nothing but the port."""
    (tmp_path / "home").mkdir()
    # The checkout may be somebody else's, as in a container.
    (tmp_path / "home" / ".gitconfig").write_text("[safe]\n\tdirectory = *\n")
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path / "home"),
        "REPOSITORY": str(ROOT),
        "PLUTO_PROXY_URL": f"http://{address}",
        # Nothing is installed once more: tests/install does that.
        "MAKEFLAGS": "-o .venv/run.stamp",
    }


async def run(step: Step, folder: Path, environ: dict[str, str]) -> str:
    """Run a step's commands in a shell; return what they print."""
    process = await asyncio.create_subprocess_exec(
        "bash",
        "-euo",
        "pipefail",
        "-c",
        step.commands,
        cwd=folder,
        env=environ,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(EACH_S):
        said, _ = await process.communicate()
    assert process.returncode == 0, f"{step.commands}{said.decode()}"
    return said.decode()


def check(step: Step, said: str) -> None:
    """Every line that the page shows is printed, but for numbers."""
    printed = {shape(line) for line in said.splitlines()}
    for line in step.shown:
        assert shape(line) in printed, f"{step.commands}{said}"


@asynccontextmanager
async def first_terminal(step: Step, folder: Path, environ: dict[str, str]) -> AsyncIterator[str]:
    """Run a step until the end; what it prints first is yielded. Ctrl-C ends it well."""
    process = await asyncio.create_subprocess_exec(
        *step.commands.split(),
        cwd=folder,
        env=environ,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(FIRST_S):
            said = (await process.stdout.readline()).decode()
            while "Ctrl-C ends it" not in said:
                more = (await process.stdout.readline()).decode()
                assert more, said
                said += more
        yield said
    finally:
        os.killpg(process.pid, signal.SIGINT)
        await process.stdout.read()
        await process.wait()


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="this is no clone")
async def test_word_by_word(tmp_path: Path, address: str, environ: dict[str, str]) -> None:
    """A clone, the demo in one terminal, and all the rest in another."""
    need("bash", "curl", "git", "make")
    need_drawing()
    getting, running, *rest = (Step(commands=step.commands.replace(USUAL, address), shown=step.shown) for step in steps(PAGE))
    assert len(rest) > 6
    check(getting, await run(getting, tmp_path, environ))
    folder = tmp_path / "pluto-proxy"
    # What `make` installs, and what it fetches for the page.
    (folder / ".venv").symlink_to(ROOT / ".venv")
    shutil.copytree(ROOT / VENDOR, folder / VENDOR)
    async with first_terminal(running, folder, environ | {"LISTEN": address}) as said:
        check(running, said)
        # Who reads takes longer to get here.
        waiting = f"curl -s --retry 60 --retry-delay 1 --retry-connrefused http://{address}/livez"
        await run(Step(commands=waiting, shown=()), folder, environ)
        assert "<html" in await run(Step(commands=f"curl -s http://{address}/", shown=()), folder, environ)
        before_s = asyncio.get_running_loop().time()
        for step in rest:
            began_s, printed = asyncio.get_running_loop().time(), await run(step, folder, environ)
            # The page says "within five seconds", which a busy machine may miss.
            in_time = asyncio.get_running_loop().time() - before_s < WITHIN_S
            check(step if in_time else Step(commands=step.commands, shown=()), printed)
            before_s = began_s
    assert (folder / "loss.csv").read_text().count("\n") > 1


def test_the_address_of_the_chart() -> None:
    """The page shows a metric of runs that the demo has."""
    text = PAGE.read_text(encoding="utf-8")
    assert f"<http://{USUAL}/#/explore?project=demo&runs=1001,1002&metric=train/loss>" in text
    assert "runs 1001 and 1002" in text
