"""Servers of files, with the answers as files: what can be had where nothing is decided."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.bodies import LARGE, SMALL, answer_to
from tests.bench.contestants import Case, Ready
from tests.bench.cpu.floor import ready_path
from tests.bench.exchange import UnexpectedError, ask, get
from tests.bench.load import Expected
from tests.bench.packaged import NotInstalledError, nginx, program_path, running
from tests.bench.processes import Server
from tests.support.ports import held_port

NGINX_FILES, CADDY, FLOOR = "nginx, files", "Caddy, files", "floor"
_CONFIG = Path(__file__).parent / "nginx.conf"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A server whose answers were ready before it began; see Contestant. It has none that are compressed."""

    server: Server
    name: str

    async def prepare(self, case: Case) -> Ready:
        """See Contestant."""
        path = ready_path(case.points, not_modified=case.not_modified) if self.name == FLOOR else f"/{case.points}.json"
        request = get(path, Accept="application/json", Accept_Encoding=case.coding)
        reply = await ask(self.server.port, request)
        expected = b"" if case.not_modified else answer_to(case.points, 0)
        if reply.status != case.status or reply.body != expected:
            raise UnexpectedError(f"{case}: {self.name} did not give the answer: {reply.head!r}")
        return Ready(request=request, expected=Expected(status=reply.status, body_bytes=len(reply.body)))


@asynccontextmanager
async def files(folder: Path, cpu: int | None, fronts: Iterable[str]) -> AsyncIterator[list[Prepared]]:
    """Run those of them that are installed, where the plan has others than the proxy at all."""
    async with AsyncExitStack() as stack:
        found: list[Prepared] = []
        if "nginx" in fronts:
            for name, opened in ((NGINX_FILES, _nginx), (CADDY, _caddy)):
                own = Path(stack.enter_context(TemporaryDirectory(dir=folder)))
                with suppress(NotInstalledError):
                    found.append(Prepared(server=await stack.enter_async_context(opened(own, cpu)), name=name))
        yield found


async def caddy_version() -> str:
    """Return Caddy's name and version, or that it isn't there."""
    try:
        program = program_path("caddy")
    except NotInstalledError:
        return "Caddy is left out: it isn't installed"
    process = await asyncio.create_subprocess_exec(program, "version", stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    found = re.search(r"[0-9][0-9.]+", output.decode())
    return f"caddy {found[0] if found else ''}".strip()


def _written(folder: Path) -> Path:
    answers = folder / "answers"
    answers.mkdir()
    for points in (SMALL, LARGE):
        (answers / f"{points}.json").write_bytes(answer_to(points, 0))
    return answers


@asynccontextmanager
async def _nginx(folder: Path, cpu: int | None) -> AsyncIterator[Server]:
    _written(folder)
    with held_port() as port:
        text = _CONFIG.read_text()
        for name, value in {"folder": folder, "port": port}.items():
            text = text.replace(f"@{name}@", str(value))
        config = folder / "nginx.conf"
        config.write_text(text)
        async with nginx(config, port, cpu) as server:
            yield server


@asynccontextmanager
async def _caddy(folder: Path, cpu: int | None) -> AsyncIterator[Server]:
    answers = _written(folder)
    with held_port() as port:
        command = [program_path("caddy"), "file-server", "--root", str(answers), "--listen", f"127.0.0.1:{port}"]
        async with running(command, folder, port, cpu) as server:
            yield server
