"""nginx and Varnish, as the package manager installs them and an expert would configure them: what others would use instead."""

import asyncio
import os
import pwd
import re
import shutil
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.processes import Server, end, pinned
from tests.support.ports import held_port
from tests.support.world import KEY

_PATIENCE_S = 30.0
_OPEN_FILES_S = 60
_HERE = Path(__file__).parent
# Where packages put what only administrators run.
PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])


class NotInstalledError(Exception):
    """What should be put in front isn't on this machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifetimes:
    """For how many seconds an answer is fresh, and for how many more it may be handed out while one call refreshes it."""

    fresh_s: int
    stale_s: int


Open = Callable[[Path, Server, int | None, Lifetimes], AbstractAsyncContextManager[Server]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A program, how it is asked for its version, and `open(folder, upstream, cpu, lifetimes)` that runs it."""

    program: str
    version_option: str
    open: Open

    async def version(self) -> str:
        """Return its name and version, empty where it isn't there."""
        try:
            command = program_path(self.program)
        except NotInstalledError:
            return ""
        told = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            command, self.version_option, stdout=told, stderr=asyncio.subprocess.STDOUT
        )
        output, _ = await process.communicate()
        found = re.search(r"(nginx|varnish)[/-][0-9.]+", output.decode(errors="replace"))
        return found[0] if found else ""


@asynccontextmanager
async def _nginx(folder: Path, origin: Server, cpu: int | None, lifetimes: Lifetimes) -> AsyncIterator[Server]:
    with held_port() as port:
        config = configuration(folder / "nginx.conf", origin, port, lifetimes)
        async with nginx(config, port, cpu) as server:
            yield server


@asynccontextmanager
async def nginx(config: Path, port: int, cpu: int | None) -> AsyncIterator[Server]:
    """Run nginx as a configuration says, in its folder. Raises NotInstalledError where it isn't there."""
    folder = config.parent
    # The workers of a master that runs as root would otherwise be somebody who must not enter the folder.
    user = f"user {pwd.getpwuid(os.getuid()).pw_name};" if os.getuid() == 0 else ""
    options = ["-p", str(folder), "-e", str(folder / "error.log"), "-c", str(config), *(["-g", user] if user else [])]
    async with running([program_path("nginx"), *options], folder, port, cpu) as server:
        yield server


@asynccontextmanager
async def _varnish(folder: Path, origin: Server, cpu: int | None, lifetimes: Lifetimes) -> AsyncIterator[Server]:
    program = program_path("varnishd")
    with held_port() as port:
        script = configuration(folder / "varnish.vcl", origin, port, lifetimes)
        # backend_idle_timeout: as nginx's keepalive_timeout; http_gzip_support: it would ask for gzip, whatever clients take.
        settings = {"backend_idle_timeout": "4", "http_gzip_support": "off"}
        given = [part for name, value in settings.items() for part in ("-p", f"{name}={value}")]
        where = ["-F", "-j", "none", "-n", str(folder), "-a", f"127.0.0.1:{port}"]
        arguments = [*where, "-f", str(script), "-s", "malloc,1g", *given]
        async with running([program, *arguments], folder, port, cpu) as server:
            yield server


PACKAGES = {
    "nginx": Package(program="nginx", version_option="-v", open=_nginx),
    "Varnish": Package(program="varnishd", version_option="-V", open=_varnish),
}


async def versions(names: Iterable[str]) -> list[str]:
    """Return the names and versions of those of them that are packages and installed."""
    return [told for name in names if name in PACKAGES and (told := await PACKAGES[name].version())]


@asynccontextmanager
async def opened(
    names: Iterable[str], folder: Path, origin: Server, cpu: int | None, lifetimes: Lifetimes
) -> AsyncIterator[Mapping[str, Server]]:
    """Run those of them that are packages and installed, each in a folder of its own."""
    async with AsyncExitStack() as stack:
        servers = {}
        for name in names:
            if (package := PACKAGES.get(name)) is not None:
                own = Path(stack.enter_context(TemporaryDirectory(dir=folder)))
                with suppress(NotInstalledError):
                    servers[name] = await stack.enter_async_context(package.open(own, origin, cpu, lifetimes))
        yield servers


def program_path(name: str) -> str:
    """Return where a program is. Raises NotInstalledError where it is not."""
    if (found := shutil.which(name, path=PATH)) is None:
        raise NotInstalledError(name)
    return found


def configuration(path: Path, origin: Server, port: int, lifetimes: Lifetimes) -> Path:
    """Write a configuration with what only this run knows, and return where it is."""
    text = (_HERE / path.name).read_text()
    known = {
        "folder": path.parent,
        "upstream": origin.port,
        "port": port,
        "key": KEY,
        "fresh_s": lifetimes.fresh_s,
        "stale_s": lifetimes.stale_s,
        "kept_s": lifetimes.fresh_s + lifetimes.stale_s,
        # Faster, but it goes on with files that have been replaced: only where answers live longer.
        "open_files": "open_file_cache max=10000 inactive=60s;" if lifetimes.fresh_s > _OPEN_FILES_S else "",
    }
    for name, value in known.items():
        text = text.replace(f"@{name}@", str(value))
    path.write_text(text)
    return path


@asynccontextmanager
async def running(command: Sequence[str], folder: Path, port: int, cpu: int | None) -> AsyncIterator[Server]:
    """Run a program in the foreground; the body begins when its port can be connected to."""
    told = folder / "told.log"
    with told.open("wb") as output, pinned(cpu):
        process = await asyncio.create_subprocess_exec(
            *command, cwd=folder, stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        async with asyncio.timeout(_PATIENCE_S):
            while not await _accepts(port):
                if process.returncode is not None:
                    raise RuntimeError(f"{command[0]} did not start:\n{told.read_text()}")
                await asyncio.sleep(0.02)
        yield Server(pid=process.pid, port=port)
    finally:
        await end(process)


async def _accepts(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True
