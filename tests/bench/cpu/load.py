"""The load, a process of its own on another CPU than the server.

wrk costs less than any server that it asks (`apt-get install wrk` on Debian); where it isn't there, `cpu.lean` does.
"""

import asyncio
import re
import resource
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tests.bench.contestants import Ready
from tests.bench.exchange import PATIENCE_S, UnexpectedError
from tests.bench.load import Polled
from tests.support.processes import ROOT, environment

_LUA = Path(__file__).parent / "finished.lua"
_FINISHED = re.compile(r"^finished (\d+) (\d+) (\d+) (\d+) (\d+) (\d+)$", re.MULTILINE)


class Reader(StrEnum):
    """Who asks, and what it reads the answers into."""

    WRK = "wrk"
    KEPT = "kept"
    """The load of our own, into the same memory again and again."""
    NEW = "new"
    """The load of our own, into new memory for each answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded(Polled):
    """The same, and how many bytes came in all, and how long an answer took."""

    received_bytes: int
    p50_ms: float
    p99_ms: float


def leanest(seconds: float) -> Reader:
    """Return who asks best for so long. wrk counts in whole seconds."""
    return Reader.WRK if float(seconds).is_integer() and shutil.which("wrk") else Reader.KEPT


async def load(port: int, ready: Ready, reader: Reader, *, connections: int, seconds: float) -> Loaded:
    """Ask the same on so many connections for some seconds. Raises UnexpectedError where anything went wrong."""
    command = (
        _wrk(port, ready.request, connections, seconds)
        if reader is Reader.WRK
        else _lean(port, ready, reader, connections, seconds)
    )
    before_s = _children_cpu_s()
    process = await asyncio.create_subprocess_exec(
        *command,
        env=environment(),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(seconds + PATIENCE_S):
        output, _ = await process.communicate(ready.request)
    told = _FINISHED.search(output.decode())
    if told is None:
        raise UnexpectedError(f"the load did not finish: {output.decode()}")
    answers, elapsed_us, received_bytes, wrong, p50_us, p99_us = map(int, told.groups())
    if wrong or not answers:
        raise UnexpectedError(f"{wrong} wrong answers beside {answers}: {output.decode()}")
    return Loaded(
        answers=answers,
        elapsed_s=elapsed_us / 1e6,
        received_bytes=received_bytes,
        p50_ms=p50_us / 1000,
        p99_ms=p99_us / 1000,
        load_cpu_s=_children_cpu_s() - before_s,
    )


def _wrk(port: int, request: bytes, connections: int, seconds: float) -> Sequence[str]:
    first, *headers = request.decode().removesuffix("\r\n\r\n").split("\r\n")
    url = f"http://127.0.0.1:{port}{first.split(' ')[1]}"
    given = [part for header in headers for part in ("-H", header)]
    return ["wrk", "-t1", f"-c{connections}", f"-d{seconds:.0f}s", f"-s{_LUA}", *given, url]


def _lean(port: int, ready: Ready, reader: Reader, connections: int, seconds: float) -> Sequence[str]:
    told = (port, connections, seconds, ready.expected.status, ready.expected.body_bytes, reader)
    return [sys.executable, "-m", "tests.bench.cpu.lean", *map(str, told)]


def _children_cpu_s() -> float:
    """Return the CPU seconds of all processes that were started here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
