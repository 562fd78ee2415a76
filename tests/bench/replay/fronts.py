"""Who is put in front of the upstream: nobody, nginx, Varnish, the proxy. Each runs by itself, in a folder of its own."""

import asyncio
import os
import pwd
import re
import shutil
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.processes import Server, end, pinned, serving
from tests.bench.replay.judge import Promise
from tests.support import KEY

PROXY = "pluto-proxy"
# series.rewrite_check_s: how long rows that were written again may be kept as they were.
_REWRITE_CHECK_S = 300.0
_PATIENCE_S = 30.0
_HERE = Path(__file__).parent
# Where packages put what only administrators run.
_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])
# The programs behind the names, and how each is asked for its version.
_PACKAGED = {"nginx": ("nginx", "-v"), "Varnish": ("varnishd", "-V")}
Open = Callable[[Path, Server, int | None], AbstractAsyncContextManager[int]]


class NotInstalledError(Exception):
    """What should be put in front isn't on this machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """Something in front. `open(folder, upstream, cpu)` runs it and yields its port; `headers` are what viewers send to it."""

    open: Open
    promise: Promise = field(default_factory=Promise)
    headers: Mapping[str, str] = field(default_factory=dict)


@asynccontextmanager
async def _nobody(_folder: Path, origin: Server, _cpu: int | None) -> AsyncIterator[int]:
    yield origin.port


@asynccontextmanager
async def _nginx(folder: Path, origin: Server, cpu: int | None) -> AsyncIterator[int]:
    program, port = _program(_PACKAGED["nginx"][0]), _free_port()
    config = _written(folder / "nginx.conf", origin, port)
    # The workers of a master that runs as root would otherwise be somebody who must not enter the folder.
    user = f"user {pwd.getpwuid(os.getuid()).pw_name};" if os.getuid() == 0 else ""
    arguments = ["-p", str(folder), "-e", str(folder / "error.log"), "-c", str(config), *(["-g", user] if user else [])]
    async with _running([program, *arguments], folder, port, cpu):
        yield port


@asynccontextmanager
async def _varnish(folder: Path, origin: Server, cpu: int | None) -> AsyncIterator[int]:
    program, port = _program(_PACKAGED["Varnish"][0]), _free_port()
    script = _written(folder / "varnish.vcl", origin, port)
    # backend_idle_timeout: as nginx's keepalive_timeout; http_gzip_support: it would ask for gzip, whatever viewers take.
    settings = {"backend_idle_timeout": "4", "http_gzip_support": "off"}
    given = [part for name, value in settings.items() for part in ("-p", f"{name}={value}")]
    arguments = ["-F", "-j", "none", "-n", str(folder), "-a", f"127.0.0.1:{port}", "-f", str(script), "-s", "malloc,1g", *given]
    async with _running([program, *arguments], folder, port, cpu):
        yield port


@asynccontextmanager
async def _proxy(folder: Path, origin: Server, cpu: int | None) -> AsyncIterator[int]:
    """Run it as it is by default, its budget and its checks included."""
    settings = {
        "PLUTO_API_KEY": KEY,
        "PLUTO_PROXY_LISTEN": "127.0.0.1:0",
        "PLUTO_PROXY_UPSTREAM": f"http://127.0.0.1:{origin.port}",
        "PLUTO_PROXY_CACHE": str(folder / "cache.sqlite"),
        "PLUTO_PROXY_LOG__FORMAT": "json",
    }
    async with serving(folder, "proxy", "serve", cpu=cpu, **settings) as server:
        yield server.port


FRONTS: Mapping[str, Front] = {
    "nothing": Front(open=_nobody, headers={"Authorization": f"Bearer {KEY}"}),
    "nginx": Front(open=_nginx),
    "Varnish": Front(open=_varnish),
    PROXY: Front(open=_proxy, promise=Promise(rewrite_s=_REWRITE_CHECK_S)),
}


async def version_of(name: str) -> str:
    """Return the name and version of what a package manager installed, empty where it is something else or not there."""
    program, option = _PACKAGED.get(name, ("", ""))
    try:
        command = _program(program)
    except NotInstalledError:
        return ""
    told = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(command, option, stdout=told, stderr=asyncio.subprocess.STDOUT)
    output, _ = await process.communicate()
    found = re.search(r"(nginx|varnish)[/-][0-9.]+", output.decode(errors="replace"))
    return found[0] if found else ""


def _program(name: str) -> str:
    if (found := shutil.which(name, path=_PATH)) is None:
        raise NotInstalledError(name)
    return found


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
    return port


def _written(path: Path, origin: Server, port: int) -> Path:
    """Write a configuration with what only this run knows, and return where it is."""
    text = (_HERE / path.name).read_text()
    for name, value in {"folder": str(path.parent), "upstream": str(origin.port), "port": str(port), "key": KEY}.items():
        text = text.replace(f"@{name}@", value)
    path.write_text(text)
    return path


@asynccontextmanager
async def _running(command: Sequence[str], folder: Path, port: int, cpu: int | None) -> AsyncIterator[None]:
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
        yield
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
