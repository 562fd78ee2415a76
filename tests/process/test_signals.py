"""What signals do: SIGTERM and SIGINT end the proxy in order; what supervisors and scripts send otherwise ends nothing."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import aiohttp
import pytest

from proxy.standin import Fault, FaultKind, Standin
from tests.support.processes import PATIENCE_S, ROOT, Running, environment, proxy_process
from tests.support.world import DATA, KEY, METRICS, QUESTION

IGNORED = [signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2]
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads what a process does with signals from /proc")


def mask(pid: int, name: str) -> set[int]:
    """Return the signals that a process ignores (SigIgn), handles (SigCgt) or holds back (SigBlk)."""
    status = Path(f"/proc/{pid}/status").read_text()
    bits = int(status.partition(f"{name}:")[2].split()[0], 16)
    return {number for number in range(1, 65) if bits >> (number - 1) & 1}


@asynccontextmanager
async def serving(tmp_path: Path, command: str = "serve", **variables: str) -> AsyncIterator[Running]:
    settings = {
        "PLUTO_API_KEY": KEY,
        "PLUTO_PROXY_UPSTREAM": "http://127.0.0.1:9",
        "PLUTO_PROXY_CACHE": str(tmp_path / "cache" / "cache.sqlite"),
        "TMPDIR": str(tmp_path),
    }
    arguments = ("demo", "--listen", "127.0.0.1:0") if command == "demo" else ()
    async with proxy_process(*arguments, **settings | variables) as running:
        yield running


def logged(running: Running, event: str, count: int) -> bool:
    return running.log.count(event) == count


async def livez(running: Running) -> int:
    async with aiohttp.ClientSession() as session, session.get(f"{running.url}/livez") as reply:
        return reply.status


@pytest.mark.parametrize(("command", "event"), [("serve", "config.reloaded"), ("demo", "signal.ignored")])
async def test_signals_that_end_nothing(tmp_path: Path, command: str, event: str) -> None:
    """SIGHUP reloads, or is logged where there is nothing to reload; nothing is done about SIGUSR1 (and SIGUSR2 in a demo).

    Requests go on, and SIGTERM still ends it in order.
    """
    async with serving(tmp_path, command) as running:
        for number in (signal.SIGUSR1, *([signal.SIGUSR2] if command == "demo" else [])):
            running.process.send_signal(number)
        for count in (1, 2):
            running.process.send_signal(signal.SIGHUP)
            async with asyncio.timeout(PATIENCE_S), running.news:
                await running.news.wait_for(partial(logged, running, event, count))
        assert await livez(running) == 200
        assert await running.terminate() == 0
    told = [json.loads(line) for line in running.lines if "signal.ignored" in line]
    assert [line["signal"] for line in told] == (["SIGHUP", "SIGHUP"] if command == "demo" else [])
    assert "server.stopped" in running.log


async def test_while_it_ends(tmp_path: Path) -> None:
    """A request under way is answered, whatever comes in between, and the exit status is 0."""
    standin = Standin()
    standin.rows.load_csv(DATA / "rows.csv.gz")
    gate = asyncio.Event()
    async with standin.serve() as upstream, serving(tmp_path, PLUTO_PROXY_UPSTREAM=upstream) as running:
        standin.faults.add(Fault(kind=FaultKind.HOLD, gate=gate))
        async with aiohttp.ClientSession() as session:
            asking = asyncio.create_task(session.get(running.url + QUESTION))
            await standin.counters.reached(lambda seen: seen.by_path[METRICS] == 1)
            ending = asyncio.create_task(running.terminate())
            await running.logged("server.draining")
            for number in IGNORED:
                running.process.send_signal(number)
            await running.logged("signal.ignored")
            gate.set()
            async with await asking as response:
                assert response.status == 200
        assert await ending == 0


@pytest.mark.parametrize("command", ["serve", "demo"])
async def test_a_process_that_begins_or_ends(tmp_path: Path, command: str) -> None:
    """From its first lines of Python to its end these are held back, handled or ignored: sent all the time, none ends it.

    SIGUSR2 would have `serve` replaced (see test_restart).
    """
    sent = IGNORED if command == "demo" else [number for number in IGNORED if number != signal.SIGUSR2]
    settings = environment(
        PLUTO_API_KEY=KEY,
        PLUTO_PROXY_LISTEN="127.0.0.1:0",
        PLUTO_PROXY_UPSTREAM="http://127.0.0.1:9",
        PLUTO_PROXY_CACHE=str(tmp_path / "cache" / "cache.sqlite"),
        TMPDIR=str(tmp_path),
    )
    arguments = ["demo", "--listen", "127.0.0.1:0"] if command == "demo" else ["serve"]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "proxy", *arguments),
        env=settings,
        cwd=ROOT,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    lines: list[bytes] = []
    told = False
    reading = asyncio.create_task(read(process, lines))
    try:
        async with asyncio.timeout(PATIENCE_S):
            # The interpreter itself takes some 10 ms to begin, in which they have their usual effect.
            while not set(IGNORED) <= mask(process.pid, "SigBlk"):  # noqa: ASYNC110 -- no event tells it
                await asyncio.sleep(0)
            while process.returncode is None:
                for number in sent:
                    # Not by `process`, which would look whether it has ended, and take its exit status from who waits for it.
                    with suppress(ProcessLookupError):
                        os.kill(process.pid, number)
                if not told and any(b"server.started" in line for line in lines):
                    told = True
                    process.send_signal(signal.SIGTERM)
                await asyncio.sleep(0.001)
            assert process.returncode == 0
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
    await reading
    assert b"signal.ignored" in b"".join(lines)
    assert b"server.stopped" in b"".join(lines)


async def read(process: asyncio.subprocess.Process, lines: list[bytes]) -> None:
    """Read what a process writes to standard error, but what tells of signals only once."""
    assert process.stderr is not None
    async for line in process.stderr:
        if b"signal.ignored" not in line or not any(b"signal.ignored" in before for before in lines):
            lines.append(line)


async def test_under_nohup(tmp_path: Path) -> None:
    """SIGHUP that was ignored from the beginning stays ignored, and nothing is logged about it."""
    process = await asyncio.create_subprocess_shell(
        f"trap '' HUP; exec '{sys.executable}' -m proxy serve",
        env=environment(
            PLUTO_API_KEY=KEY,
            PLUTO_PROXY_LISTEN="127.0.0.1:0",
            PLUTO_PROXY_UPSTREAM="http://127.0.0.1:9",
            PLUTO_PROXY_CACHE=str(tmp_path / "cache" / "cache.sqlite"),
        ),
        cwd=ROOT,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(PATIENCE_S):
            while b"server.started" not in await process.stderr.readline():
                pass
            assert mask(process.pid, "SigIgn") >= set(IGNORED) - {signal.SIGUSR2}
            process.send_signal(signal.SIGHUP)
            process.terminate()
            assert b"signal.ignored" not in await process.stderr.read()
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_other_commands_end_as_usual(tmp_path: Path) -> None:
    """What is held back while it isn't known yet which command is run has its usual effect once it isn't one that serves."""
    fifo = tmp_path / "config.toml"
    await asyncio.create_subprocess_exec("mkfifo", str(fifo))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "proxy", "check", "--config", str(fifo)), env=environment(PLUTO_API_KEY=KEY), cwd=ROOT
    )
    try:
        async with asyncio.timeout(PATIENCE_S):
            while signal.SIGHUP not in mask(process.pid, "SigBlk"):  # noqa: ASYNC110 -- no event tells it
                await asyncio.sleep(0)
            process.send_signal(signal.SIGHUP)
            assert await process.wait() == -signal.SIGHUP
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
