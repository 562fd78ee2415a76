"""The proxy and the stand-in as processes of their own."""

import asyncio
import contextlib
import os
import re
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.world import KEY

ROOT = Path(__file__).parents[2]
PATIENCE_S = 30
_URL = re.compile(r'(https?://|unix:)[^"\s]+')


@dataclass(slots=True, kw_only=True)
class Running:
    """A process under test, and what it has written to standard error so far."""

    process: asyncio.subprocess.Process
    url: str = ""
    lines: list[str] = field(default_factory=list)
    reading: asyncio.Task[None] | None = None
    news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def ended(self) -> int:
        """Wait for its end and return the exit status."""
        async with asyncio.timeout(PATIENCE_S):
            status = await self.process.wait()
            if self.reading is not None:
                await self.reading
        assert KEY not in self.log
        return status

    async def logged(self, event: str) -> None:
        """Wait until it has logged an event."""
        async with asyncio.timeout(PATIENCE_S), self.news:
            await self.news.wait_for(lambda: event in self.log)

    async def terminate(self) -> int:
        """Ask it to end, as a supervisor does."""
        self.process.send_signal(signal.SIGTERM)
        return await self.ended()

    async def kill(self) -> None:
        """End it without a chance to do anything."""
        self.process.kill()
        await self.ended()

    @property
    def log(self) -> str:
        return "\n".join(self.lines)


def environment(**variables: str) -> dict[str, str]:
    """This process's environment without the proxy's variables, and these."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PLUTO_")}
    return {**kept, "NO_COLOR": "1", **variables}


async def run(*arguments: str, **variables: str) -> tuple[int, str, str]:
    """Run `python -m proxy` to its end: exit status, standard output, standard error."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "proxy",
        *arguments,
        env=environment(**variables),
        cwd=ROOT,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(PATIENCE_S):
        output, errors = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode(), errors.decode()


@asynccontextmanager
async def proxy_process(*arguments: str, **variables: str) -> AsyncIterator[Running]:
    """Run `python -m proxy serve` (or another command) on a free port; the body begins when it listens."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "proxy",
        *(arguments or ("serve",)),
        env=environment(**{"PLUTO_PROXY_LISTEN": "127.0.0.1:0", "PLUTO_PROXY_LOG__FORMAT": "json"} | variables),
        cwd=ROOT,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    running = Running(process=process)
    listening = asyncio.get_running_loop().create_future()
    running.reading = asyncio.create_task(_read(running, listening))
    try:
        async with asyncio.timeout(PATIENCE_S):
            running.url = await listening
        yield running
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await running.ended()


async def _read(running: Running, listening: "asyncio.Future[str]") -> None:
    assert running.process.stderr is not None
    async for raw in running.process.stderr:
        line = raw.decode().rstrip("\n")
        async with running.news:
            running.lines.append(line)
            running.news.notify_all()
        if (found := _URL.search(line)) and "server.started" in line and not listening.done():
            listening.set_result(found[0])
    if not listening.done():
        listening.set_exception(AssertionError(f"it ended without listening:\n{running.log}"))


def resident_kb(running: Running) -> int:
    status = Path(f"/proc/{running.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


async def on_disk(path: Path, entries: int) -> None:
    """Wait until so many entries are committed: another process can only look."""
    check = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    async with asyncio.timeout(20):
        while check.execute("SELECT count(*) FROM entries").fetchone()[0] < entries:  # noqa: ASYNC110 -- no event tells it
            await asyncio.sleep(0.02)
    check.close()
