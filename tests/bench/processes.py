"""Servers as processes of their own, each on the CPU it is meant for, and what the kernel says they use."""

import asyncio
import contextlib
import os
import re
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.exchange import UnexpectedError
from tests.support.processes import ROOT, environment

_PATIENCE_S = 30.0
_FIRST = -15
_LISTENING = re.compile(r"http://127\.0\.0\.1:(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Which CPU the measured servers run on, and which the load and the upstream; None where nothing is pinned."""

    server: int | None = None
    load: int | None = None


def placement() -> Placement:
    """Return where to run: apart where there are two CPUs and a way to say so."""
    if sys.platform != "linux":
        return Placement()
    cpus = sorted(os.sched_getaffinity(0))
    return Placement(server=cpus[0], load=cpus[1]) if len(cpus) > 1 else Placement()


@contextmanager
def pinned(*cpus: int | None) -> Iterator[None]:
    """Keep this process, and what it starts meanwhile, on some CPUs; None: nothing is pinned."""
    named = {cpu for cpu in cpus if cpu is not None}
    if not named or sys.platform != "linux":
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, named)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def ahead_of_others() -> Iterator[None]:
    """Have this process, and what it starts meanwhile, run before all else on the machine.

    Raises UnexpectedError where it may not. Linux may share CPUs out among sessions before it looks at the processes of each:
    then the whole session comes first.
    """
    before, session = os.getpriority(os.PRIO_PROCESS, 0), Path("/proc/self/autogroup")
    try:
        os.setpriority(os.PRIO_PROCESS, 0, _FIRST)
    except PermissionError as exc:
        raise UnexpectedError(f"only root comes before others: {exc}") from exc
    told = session.read_text() if session.exists() else ""
    try:
        if told:
            session.write_text(f"{_FIRST}\n")
        yield
    finally:
        os.setpriority(os.PRIO_PROCESS, 0, before)
        if told:
            session.write_text(f"{told.split()[-1]}\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server that listens on a port of loopback."""

    pid: int
    port: int

    def cpu_s(self) -> float | None:
        """Return the CPU seconds used so far by all threads of it and of its workers, in steps of 10 ms; None without /proc."""
        if sys.platform != "linux":
            return None
        workers = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return sum(map(_ticks, [str(self.pid), *workers])) / os.sysconf("SC_CLK_TCK")

    def memory_bytes(self) -> tuple[int, int] | None:
        """Return what it holds in memory now and the most that it ever did; None where there is no /proc."""
        if sys.platform != "linux":
            return None
        status = Path(f"/proc/{self.pid}/status").read_text()
        now, peak = (re.search(rf"^{name}:\s+(\d+) kB", status, re.MULTILINE) for name in ("VmRSS", "VmHWM"))
        assert now is not None
        assert peak is not None
        return int(now[1]) * 1024, int(peak[1]) * 1024

    def event_loop(self) -> str:
        """Return the kind of event loop it runs, seen from the libraries it has loaded."""
        if sys.platform != "linux":
            return "asyncio"
        return "uvloop" if "/uvloop/" in Path(f"/proc/{self.pid}/maps").read_text() else "asyncio"


def _ticks(pid: str) -> int:
    # The second field is the command in parentheses, which may hold anything.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


@asynccontextmanager
async def serving(folder: Path, *arguments: str, cpu: int | None, **variables: str) -> AsyncIterator[Server]:
    """Run a Python module as a server; the body begins when it tells its address on standard error.

    `arguments` are what follows `python -m`; `folder` is where its standard error goes.
    """
    told = folder / f"{arguments[0]}-{os.urandom(4).hex()}.log"
    with told.open("wb") as errors, pinned(cpu):
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            *arguments,
            env=environment(**variables),
            cwd=ROOT,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=errors,
        )
    try:
        yield Server(pid=process.pid, port=await _port(process, told))
    finally:
        await end(process)


async def _port(process: asyncio.subprocess.Process, told: Path) -> int:
    async with asyncio.timeout(_PATIENCE_S):
        while (found := _LISTENING.search(_last_line(told))) is None:
            if process.returncode is not None:
                raise RuntimeError(f"a server did not start:\n{told.read_text()}")
            await asyncio.sleep(0.01)
    return int(found[1])


def _last_line(told: Path) -> str:
    """Return the last complete line that names an address; the proxy may log other things before."""
    lines = told.read_text().rpartition("\n")[0].splitlines()
    return next((line for line in reversed(lines) if "server.started" in line or "listening on" in line), "")


async def end(process: asyncio.subprocess.Process) -> None:
    """Ask a process to end, and see to it that it does."""
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(_PATIENCE_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
