"""The proxy under a supervisor such as systemd: it takes over sockets, and tells when it is ready, alive and ending."""

import asyncio
import contextlib
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from proxy.standin import Row, Standin
from tests.support.processes import PATIENCE_S, ROOT, environment
from tests.support.world import KEY, QUESTION

# systemd sets the pid of the process that it has made; this one makes itself it.
_START = 'export LISTEN_PID=$$; exec "$0" -m proxy serve'


@asynccontextmanager
async def supervised(
    folder: Path, sockets: Sequence[socket.socket], *, arguments: str = "", **variables: str
) -> AsyncIterator[tuple[asyncio.subprocess.Process, socket.socket]]:
    """Run the proxy with sockets handed over; yield it, and the socket that it tells its state to."""
    telling = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    telling.bind(str(folder / "notify"))
    telling.setblocking(False)
    # What is handed over is numbered from 3 on.
    copies = "".join(f" {3 + place}<&{opened.fileno()}" for place, opened in enumerate(sockets))
    process = await asyncio.create_subprocess_exec(
        "/bin/bash",
        "-c",
        f"exec{copies}; {_START} {arguments}" if copies else f"{_START} {arguments}",
        sys.executable,
        env=environment(
            PLUTO_API_KEY=KEY,
            PLUTO_PROXY_CACHE=str(folder / "c.sqlite"),
            NOTIFY_SOCKET=str(folder / "notify"),
            LISTEN_FDS=str(len(sockets)),
            **variables,
        ),
        cwd=ROOT,
        pass_fds=[opened.fileno() for opened in sockets],
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process, telling
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()
        telling.close()


async def told(telling: socket.socket) -> str:
    """Return what the proxy tells next."""
    async with asyncio.timeout(PATIENCE_S):
        return (await asyncio.get_running_loop().sock_recv(telling, 1000)).decode()


def opened(address: str | Path) -> socket.socket:
    """Return a listening socket on a host or path."""
    if isinstance(address, Path):
        unix = socket.socket(socket.AF_UNIX)
        unix.bind(str(address))
        unix.listen()
        return unix
    return socket.create_server((address, 0))


async def test_sockets_are_taken_over(tmp_path: Path) -> None:
    """Requests that came before the process was there are answered by it, over IPv4 and a Unix socket."""
    standin = Standin()
    standin.rows.insert(Row(run_id=1, log_name="loss", step=step, value=step / 7) for step in range(10))
    with opened("127.0.0.1") as inet, opened(tmp_path / "s") as unix:
        async with (
            standin.serve() as upstream,
            supervised(tmp_path, [inet, unix], PLUTO_PROXY_UPSTREAM=upstream) as (process, telling),
        ):
            url = f"http://127.0.0.1:{inet.getsockname()[1]}{QUESTION}"
            async with (
                aiohttp.ClientSession() as session,
                aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(tmp_path / "s"))) as local,
                session.get(url) as one,
                local.get(f"http://localhost{QUESTION}") as other,
            ):
                assert (one.status, other.status) == (200, 200)
                assert await one.read() == await other.read()
            assert await told(telling) == "READY=1"
            process.send_signal(signal.SIGTERM)
            assert await told(telling) == "STOPPING=1"
            assert await process.wait() == 0


async def test_it_tells_that_it_lives(tmp_path: Path) -> None:
    """Twice in the time after which the supervisor would take it for stuck, as long as the event loop runs."""
    with opened("127.0.0.1") as inet:
        async with supervised(tmp_path, [inet], WATCHDOG_USEC="100000") as (process, telling):
            assert [await told(telling) for _ in range(4)] == ["READY=1", *["WATCHDOG=1"] * 3]
            process.send_signal(signal.SIGTERM)
            while (state := await told(telling)) != "STOPPING=1":
                assert state == "WATCHDOG=1"


async def test_it_tells_that_it_reloads(tmp_path: Path) -> None:
    """It says so with the time, which is later than the signal's, and when it is done, whatever became of it."""
    with opened("127.0.0.1") as inet:
        async with supervised(tmp_path, [inet]) as (process, telling):
            assert await told(telling) == "READY=1"
            for _ in range(3):
                sent_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
                process.send_signal(signal.SIGHUP)
                state, _, at_us = (await told(telling)).partition("\nMONOTONIC_USEC=")
                assert state == "RELOADING=1"
                assert sent_us <= int(at_us) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
                assert await told(telling) == "READY=1"
            process.send_signal(signal.SIGTERM)
            assert await told(telling) == "STOPPING=1"


async def test_a_reload_exposes_nobody(tmp_path: Path) -> None:
    """What others can reach goes on being said who may ask for: a file that no longer says so changes nothing."""
    path = tmp_path / "proxy.toml"
    path.write_text('[access]\nnetworks = ["127.0.0.0/8"]\n[freshness]\nrunning_s = 7\n')
    with opened("0.0.0.0") as inet:  # noqa: S104 -- that is what is reached
        async with supervised(tmp_path, [inet], arguments=f"--config '{path}'") as (process, telling):
            assert await told(telling) == "READY=1"
            path.write_text("[freshness]\nrunning_s = 8\n")
            process.send_signal(signal.SIGHUP)
            assert (await told(telling)).startswith("RELOADING=1")
            assert await told(telling) == "READY=1"
            process.send_signal(signal.SIGTERM)
            assert process.stderr is not None
            log = (await process.stderr.read()).decode()
    assert "config.kept" in log
    assert "listens on 0.0.0.0, which others can reach" in log
    assert "config.reloaded" not in log


async def test_nobody_is_exposed_by_a_socket(tmp_path: Path) -> None:
    """A socket that others can reach is refused as such an address is, unless it was said who may ask."""
    with opened("0.0.0.0") as inet:  # noqa: S104 -- that is what is refused
        async with supervised(tmp_path, [inet]) as (process, _):
            assert await process.wait() == 2
            assert process.stderr is not None
            assert b"listens on 0.0.0.0, which others can reach" in await process.stderr.read()
        (tmp_path / "notify").unlink()
        async with supervised(tmp_path, [inet], PLUTO_PROXY_ACCESS__OPEN="true") as (process, telling):
            assert await told(telling) == "READY=1"


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
async def test_what_is_no_listening_socket(tmp_path: Path, kind: socket.SocketKind) -> None:
    """One line says which descriptor it is, and what to set."""
    with socket.socket(socket.AF_INET, kind) as other:
        async with supervised(tmp_path, [other]) as (process, _):
            assert await process.wait() == 2
            assert process.stderr is not None
            errors = (await process.stderr.read()).decode()
    assert "descriptor 3" in errors
    assert "ListenStream=" in errors


async def test_a_supervisor_that_has_gone(tmp_path: Path) -> None:
    """Whoever cannot be told is no reason not to serve; sockets that are meant for another process are left alone."""
    with opened("127.0.0.1") as inet:
        async with supervised(tmp_path, [inet], PLUTO_PROXY_LISTEN="127.0.0.1:0") as (process, telling):
            assert await told(telling) == "READY=1"
            (tmp_path / "notify").unlink()
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
            assert process.stderr is not None
            assert b"supervisor.not_told" in await process.stderr.read()
