"""The wheel where nothing else of the proxy is: installed into an empty environment, and by what runs it at once."""

import asyncio
import contextlib
import json
import re
import signal
import sys
import venv
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email import message_from_bytes
from pathlib import Path
from zipfile import ZipFile

import aiohttp
import pytest

from proxy import __version__
from tests.release.building import PATIENCE_S, ROOT, TOOLS, Built, bare, run
from tests.support.world import KEY

NOBODY = "http://127.0.0.1:9"
ANYWHERE = {"PLUTO_PROXY_LISTEN": "127.0.0.1:0", "PLUTO_PROXY_LOG__FORMAT": "json"}
STARTED = re.compile(rb"server\.started.*?(http://[^\"\s]+)|(http://[^\"]+)\".*server\.started")
PAGE = ROOT / "proxy" / "page"


@dataclass(frozen=True, slots=True, kw_only=True)
class Elsewhere:
    """An environment in which the wheel was installed, and an empty folder to be in."""

    python: Path
    folder: Path

    @property
    def program(self) -> Path:
        """The command."""
        return self.python.parent / "pluto-proxy"

    async def say(self, *arguments: str) -> tuple[int, str]:
        """Run the command; return its exit status and what it says."""
        return await run(self.program, *arguments, cwd=self.folder, environ=bare(self.folder))

    @asynccontextmanager
    async def serving(self, *arguments: str) -> AsyncIterator[str]:
        """Run a command that serves, on a free port. The body gets its address; a signal ends it, with exit status 0."""
        process = await asyncio.create_subprocess_exec(
            self.program,
            *arguments,
            cwd=self.folder,
            env=bare(self.folder, PLUTO_API_KEY=KEY, PLUTO_PROXY_UPSTREAM=NOBODY, **ANYWHERE),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        assert process.stdout is not None
        said = b""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while (
                    found := re.search(rb"server\.started.*?(http://[^\"\s]+)|(http://[^\"]+)\".*server\.started", said)
                ) is None:
                    line = await process.stdout.readline()
                    assert line, said.decode()
                    said += line
            rest = asyncio.create_task(process.stdout.read())
            yield (found[1] or found[2]).decode().rstrip("/")
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(PATIENCE_S):
                assert await process.wait() == 0, (said + await rest).decode()
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


@pytest.fixture(scope="module")
def elsewhere(built: Built, wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Elsewhere:
    """Return an environment that has the wheel, with what it asks for, and nothing else."""
    folder = tmp_path_factory.mktemp("elsewhere")
    venv.create(folder / "env", symlinks=True)
    python = folder / "env" / "bin" / "python"
    (folder / "empty").mkdir()
    command: list[str | Path] = [TOOLS / "bin" / "uv", "pip", "install", "--python", python, built.wheel]
    status, said = asyncio.run(run(*command, cwd=folder, environ=bare(folder, UV_FIND_LINKS=str(wheels))))
    assert status == 0, said
    return Elsewhere(python=python, folder=folder / "empty")


async def test_it_is_the_wheel(elsewhere: Elsewhere) -> None:
    """It runs what was installed and not the checkout, and says its version."""
    code = "import proxy; print(proxy.__file__)"
    status, said = await run(elsewhere.python, "-c", code, cwd=elsewhere.folder, environ=bare(elsewhere.folder))
    assert status == 0
    assert elsewhere.python.parents[1] in Path(said.strip()).parents
    assert await elsewhere.say("--version") == (0, f"pluto-proxy {__version__}\n")


async def test_commands(elsewhere: Elsewhere) -> None:
    """What needs no proxy: the settings, the completion script, and help."""
    status, said = await elsewhere.say("check", "--json")
    assert status == 0, said
    assert json.loads(said)
    for shell in ("bash", "zsh", "tcsh"):
        status, said = await elsewhere.say("completion", shell)
        assert status == 0
        assert "pluto-proxy" in said
    status, said = await elsewhere.say("--help")
    assert status == 0
    assert "serve" in said


async def files_of_the_page(session: aiohttp.ClientSession, url: str) -> None:
    """Every file of the page is served as it lies in the checkout: those of the proxy's own, and what was fetched."""
    own = [path.relative_to(PAGE) for path in PAGE.rglob("*") if path.suffix in {".js", ".css", ".html", ".svg"}]
    assert Path("vendor", "uPlot.iife.min.js") in own
    async with session.get(f"{url}/") as response:
        assert response.status == 200
        assert await response.read() == (PAGE / "index.html").read_bytes()
        linked = re.findall(r'(?:src|href)="([^"#:]+)"', (PAGE / "index.html").read_text())
    assert any("vendor" in link for link in linked)
    for link in linked:
        async with session.get(f"{url}/{link.lstrip('/')}") as response:
            assert response.status == 200, link
            assert await response.read() == (PAGE / link.lstrip("/").removeprefix("page/")).read_bytes()


async def test_demo(elsewhere: Elsewhere) -> None:
    """The demo answers a metric query, and the page is there."""
    async with elsewhere.serving("demo", "--listen", "127.0.0.1:0") as url, aiohttp.ClientSession() as session:
        await files_of_the_page(session, url)
        async with session.get(f"{url}/api/runs/list?projectName=demo") as response:
            assert response.status == 200
        status, said = await elsewhere.say("status", "--once", "--url", url)
        assert status == 0, said


async def test_serving_without_a_network(elsewhere: Elsewhere) -> None:
    """What reaches nobody serves what it has: the page, and its health."""
    async with elsewhere.serving("serve") as url, aiohttp.ClientSession() as session:
        await files_of_the_page(session, url)
        async with session.get(f"{url}/readyz") as response:
            assert response.status == 200


@pytest.mark.parametrize(
    "command",
    [("bin/uvx", "--offline", "--from"), ("pipx", "run", "--skip-maintenance", "--backend", "pip", "--spec")],
    ids=["uvx", "pipx"],
)
async def test_run_at_once(built: Built, wheels: Path, tmp_path: Path, command: tuple[str, ...]) -> None:
    """`uvx` and `pipx run` take the wheel as it is, without a network, where its dependencies are at hand."""
    (tmp_path / "empty").mkdir()
    first: list[str | Path] = [TOOLS / command[0]] if "/" in command[0] else [sys.executable, "-m", command[0]]
    environ = bare(
        tmp_path / "home",
        PYTHONPATH="" if "/" in command[0] else str(TOOLS),
        PIP_FIND_LINKS=str(wheels),
        UV_FIND_LINKS=str(wheels),
        UV_PYTHON=sys.executable,
        UV_PYTHON_DOWNLOADS="never",
        PIPX_DEFAULT_PYTHON=sys.executable,
    )
    for arguments, expected in ((["--version"], __version__), (["completion", "bash"], "pluto-proxy")):
        words = [*first, *command[1:], built.wheel, "pluto-proxy", *arguments]
        status, said = await run(*words, cwd=tmp_path / "empty", environ=environ)
        assert status == 0, said
        assert expected in said


def test_what_the_wheel_says_of_itself(built: Built) -> None:
    """Its license by its SPDX name and text; nothing in it but the package, and none of the tests."""
    with ZipFile(built.wheel) as wheel:
        names = wheel.namelist()
        metadata = message_from_bytes(wheel.read(f"pluto_proxy-{__version__}.dist-info/METADATA"))
        text = wheel.read(f"pluto_proxy-{__version__}.dist-info/licenses/LICENSE")
    assert (metadata["License-Expression"], metadata["License-File"]) == ("Apache-2.0", "LICENSE")
    assert text == (ROOT / "LICENSE").read_bytes()
    assert {name.split("/")[0] for name in names} == {"proxy", f"pluto_proxy-{__version__}.dist-info"}
    assert "proxy/page/vendor/uPlot.LICENSE" in names
