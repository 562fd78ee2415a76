"""The load, a process of its own on another CPU than the server: wrk, which costs less than any server that it asks."""

import asyncio
import re
import resource
import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.bench.exchange import PATIENCE_S, UnexpectedError

_LUA = Path(__file__).parent / "finished.lua"
_FINISHED = re.compile(r"^finished (\d+) (\d+) (\d+) (\d+) (\d+) (\d+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """How many answers of how many bytes in all came in how many seconds, and how long one took.

    `load_cpu_s` is what the load itself took of its CPU.
    """

    answers: int
    elapsed_s: float
    received_bytes: int
    p50_ms: float
    p99_ms: float
    load_cpu_s: float

    @property
    def per_s(self) -> float:
        """Answers a second."""
        return self.answers / self.elapsed_s

    @property
    def load_share(self) -> float:
        """Which part of one CPU the load took, 0..1."""
        return self.load_cpu_s / self.elapsed_s


def wrk() -> str | None:
    """Return where wrk is; on Debian `apt-get install wrk` puts it there."""
    return shutil.which("wrk")


async def load(port: int, request: bytes, *, connections: int, seconds: int) -> Loaded:
    """Ask the same on so many connections for some whole seconds. Raises UnexpectedError where wrk tells of anything wrong."""
    target, headers = _parts(request)
    command = [wrk() or "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", f"-s{_LUA}"]
    for header in headers:
        command += ["-H", header]
    before_s = _children_cpu_s()
    process = await asyncio.create_subprocess_exec(
        *command,
        f"http://127.0.0.1:{port}{target}",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(seconds + PATIENCE_S):
        output, _ = await process.communicate()
    told = _FINISHED.search(output.decode())
    if told is None:
        raise UnexpectedError(f"wrk did not finish: {output!r}")
    answers, elapsed_us, received_bytes, wrong, p50_us, p99_us = map(int, told.groups())
    if wrong or not answers:
        raise UnexpectedError(f"wrk found {wrong} wrong answers beside {answers}: {output!r}")
    return Loaded(
        answers=answers,
        elapsed_s=elapsed_us / 1e6,
        received_bytes=received_bytes,
        p50_ms=p50_us / 1000,
        p99_ms=p99_us / 1000,
        load_cpu_s=_children_cpu_s() - before_s,
    )


def _parts(request: bytes) -> tuple[str, list[str]]:
    first, *headers = request.decode().removesuffix("\r\n\r\n").split("\r\n")
    return first.split(" ")[1], headers


def _children_cpu_s() -> float:
    """Return the CPU seconds of all processes that were started here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
