"""A new process takes over from the old one under load: no request fails, and the upstream sees one budget."""

import asyncio
import itertools
import os
import signal
import socket
import ssl
import stat
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest

from proxy.standin import Fault, FaultKind, Row, Standin
from tests.restart.support import eventually
from tests.support.certificates import Authority
from tests.support.processes import PATIENCE_S, Running, proxy_process, run
from tests.support.wire import Raw, Wire, request
from tests.support.world import KEY, METRICS

RATE_PER_S, BURST, CONCURRENCY = 40.0, 10, 2
RESTARTS = int(os.environ.get("RESTARTS", "4"))
# How far the times at which calls arrive may be apart from those at which they were let go.
SLACK_S = 0.1
HEAD = f"{METRICS}?runId=1&projectName=demo&logName=loss&limit=500"


def variables(folder: Path, upstream: str) -> dict[str, str]:
    return {
        "PLUTO_API_KEY": KEY,
        "PLUTO_PROXY_UPSTREAM": upstream,
        "PLUTO_PROXY_CACHE": str(folder / "c.sqlite"),
        "PLUTO_PROXY_UPSTREAM__RATE_PER_S": str(RATE_PER_S),
        "PLUTO_PROXY_UPSTREAM__BURST": str(BURST),
        "PLUTO_PROXY_UPSTREAM__MAX_CONCURRENCY": str(CONCURRENCY),
        "PLUTO_PROXY_FRESHNESS__RUNNING_S": "600",
        # Each question an entry of its own.
        "PLUTO_PROXY_SERIES__ENABLED": "false",
    }


@dataclass(slots=True)
class Load:
    """Clients that go on asking, each the next question when its last one is answered, and judge what they get."""

    url: str
    right: dict[str, bytes]
    trust: ssl.SSLContext | None = None
    answered: int = 0
    failed: list[str] = field(default_factory=list)
    ended: bool = False
    news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def ask(self, questions: Iterator[str], *, stays: bool) -> None:
        """Ask by one connection after the other; by each as often as the proxy lets it, or once."""
        wire: Wire | None = None
        while not self.ended:
            question = next(questions)
            try:
                if wire is None:
                    parts = urlsplit(self.url)
                    reader, writer = await asyncio.open_connection(parts.hostname, parts.port, ssl=self.trust)
                    wire = Wire(reader=reader, writer=writer)
                reply = await wire.ask(request(question))
            except (OSError, EOFError, TimeoutError) as exc:
                self.failed.append(f"{question}: {exc!r}")
                wire = None
                continue
            if reply.status != 200 or reply.body != self.right[question]:
                self.failed.append(f"{question}: {reply.status_line} {reply.body[:200]!r}")
            if not stays or reply.header("Connection") == "close":
                await wire.close()
                wire = None
            self.answered += 1
            async with self.news:
                self.news.notify_all()
        if wire is not None:
            await wire.close()

    async def more(self, count: int) -> None:
        """Wait until so many more requests were answered."""
        enough = self.answered + count
        async with asyncio.timeout(PATIENCE_S), self.news:
            await self.news.wait_for(lambda: self.answered >= enough or bool(self.failed))


def most_over_budget(times_s: list[float], *, slack_s: float = SLACK_S) -> float:
    """Return by how many calls the fullest window holds more than the budget allows; 0 or less where none does."""
    worst, level, before_s = 0.0, 0.0, times_s[0]
    for at_s in times_s:
        level = max(0.0, level - (at_s - before_s) * RATE_PER_S) + 1
        worst, before_s = max(worst, level), at_s
    return worst - BURST - slack_s * RATE_PER_S


@pytest.mark.parametrize("encrypted", [False, True], ids=["HTTP", "HTTPS"])
async def test_no_request_fails_over_many_restarts(tmp_path: Path, encrypted: bool) -> None:
    """Hits and misses, by connections that stay and ones that don't; all answers right; calls within one budget."""
    standin = Standin()
    standin.rows.insert(Row(run_id=1, log_name="loss", step=step, value=step / 7) for step in range(2000))
    few = [f"{HEAD}&stepMin={step}" for step in range(4)]
    many = [f"{HEAD}&stepMin={step}&stepMax={step + 1}" for step in range(1900)]
    async with standin.serve() as upstream, aiohttp.ClientSession() as session, AsyncExitStack() as stack:
        right = {}
        for question in few + many:
            async with session.get(upstream + question, headers={"Authorization": f"Bearer {KEY}"}) as response:
                right[question] = await response.read()
        standin.counters.reset()
        standin.faults.add(Fault(times=None, delay_s=0.02))
        settings, trust = variables(tmp_path, upstream), None
        if encrypted:
            authority = Authority(tmp_path / "authority")
            certificate, key = authority.issue()
            settings |= {"PLUTO_PROXY_SERVER__TLS_CERT": str(certificate), "PLUTO_PROXY_SERVER__TLS_KEY": str(key)}
            trust = authority.trusted
        running = await stack.enter_async_context(proxy_process(**settings))
        load = Load(running.url, right, trust)
        unseen = iter(many)
        clients = [
            *(asyncio.create_task(load.ask(itertools.cycle(few), stays=True)) for _ in range(3)),
            *(asyncio.create_task(load.ask(itertools.cycle(few), stays=False)) for _ in range(3)),
            *(asyncio.create_task(load.ask(unseen, stays=True)) for _ in range(2)),
            *(asyncio.create_task(load.ask(unseen, stays=False)) for _ in range(2)),
        ]
        for _ in range(RESTARTS):
            await load.more(200)
            following = await stack.enter_async_context(proxy_process("serve", "--takeover", **settings))
            assert following.url == running.url
            assert await running.ended() == 0
            check_log(running)
            running = following
        await load.more(200)
        load.ended = True
        await asyncio.gather(*clients)
        assert await running.terminate() == 0
    assert load.failed == []
    times_s = [call.started_s for call in standin.counters.calls if call.path == METRICS]
    assert most_over_budget(times_s) <= 0
    assert standin.counters.max_concurrent <= CONCURRENCY
    assert not list(tmp_path.glob("*.control*"))


def check_log(running: Running) -> None:
    for word in ("crashed", "restart.failed", "store.failed", "Traceback", "never retrieved"):
        assert word not in running.log, running.log[-3000:]


async def ask(path: Path | str, target: str) -> Raw:
    """Ask by a new connection, at a Unix socket or a URL."""
    if isinstance(path, Path):
        reader, writer = await asyncio.open_unix_connection(path)
    else:
        parts = urlsplit(path)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    wire = Wire(reader=reader, writer=writer)
    try:
        return await wire.ask(request(target))
    finally:
        await wire.close()


async def test_every_address_stays(tmp_path: Path) -> None:
    """Of several addresses, Unix sockets among them, none is closed; one that is new is opened, and one that went is gone."""
    kept, left, added = (tmp_path / name for name in ("kept", "left", "added"))
    settings = variables(tmp_path, "http://127.0.0.1:9")
    both = {**settings, "PLUTO_PROXY_LISTEN": f"127.0.0.1:0,unix:{kept},unix:{left}"}
    others = {**both, "PLUTO_PROXY_LISTEN": f"127.0.0.1:0,unix:{kept},unix:{added}", "PLUTO_PROXY_SERVER__SOCKET_MODE": "0600"}
    async with proxy_process(**both) as old:
        was = kept.stat().st_ino
        await ask(left, "/livez")
        async with proxy_process("serve", "--takeover", **others) as new:
            assert await old.ended() == 0
            assert new.url == old.url
            assert kept.stat().st_ino == was
            for place in (kept, added, new.url):
                assert (await ask(place, "/livez")).status == 200
            await eventually(lambda: not left.exists())
            await eventually(lambda: stat.S_IMODE(kept.stat().st_mode) == 0o600)
            assert await new.terminate() == 0
    assert not kept.exists()
    assert not added.exists()


async def test_a_new_process_that_cannot_begin(tmp_path: Path) -> None:
    """It has all of the old one, and fails at the last: an address of its own is taken. The old one goes on as before.

    So does its Unix socket, whose file stays.
    """
    standin = Standin()
    standin.rows.insert(Row(run_id=1, log_name="loss", step=step, value=step / 7) for step in range(50))
    async with standin.serve() as upstream:
        unix = tmp_path / "socket"
        settings = {**variables(tmp_path, upstream), "PLUTO_PROXY_LISTEN": f"127.0.0.1:0,unix:{unix}"}
        async with proxy_process(**settings) as old:
            await ask(old.url, HEAD)
            taken = urlsplit(upstream).netloc
            listen = {"PLUTO_PROXY_LISTEN": f"127.0.0.1:0,unix:{unix},{taken}", "PLUTO_PROXY_LOG__FORMAT": "json"}
            status, _, errors = await run("serve", "--takeover", **{**settings, **listen})
            assert status == 1
            assert "something listens there already" in errors
            await old.logged("restart.failed")
            async with asyncio.timeout(PATIENCE_S), old.news:
                # The other one may hold the lock for a moment longer.
                await old.news.wait_for(lambda: old.log.count("store.opened") + old.log.count("store.recovered") == 2)
            assert (await ask(unix, HEAD)).status == (await ask(old.url, f"{HEAD}&stepMin=3")).status == 200
            async with proxy_process("serve", "--takeover", **settings) as new:
                assert await old.ended() == 0
                calls = standin.counters.by_path[METRICS]
                assert (await ask(new.url, f"{HEAD}&stepMin=3")).is_hit
                assert standin.counters.by_path[METRICS] == calls
                assert await new.terminate() == 0


async def test_the_old_process_is_killed_while_it_ends(tmp_path: Path) -> None:
    """The new one goes on with what it has: the slots of the calls that have gone are free."""
    standin = Standin()
    standin.rows.insert(Row(run_id=1, log_name="loss", step=step, value=step / 7) for step in range(50))
    async with standin.serve() as upstream:
        settings = variables(tmp_path, upstream)
        async with proxy_process(**settings) as old:
            await ask(old.url, HEAD)
            calls = standin.counters.by_path[METRICS]
            standin.faults.add(Fault(kind=FaultKind.HANG, times=CONCURRENCY))
            hanging = [asyncio.create_task(ask(old.url, f"{HEAD}&stepMin={step}")) for step in range(1, CONCURRENCY + 1)]
            await standin.counters.reached(lambda seen: seen.by_path[METRICS] == calls + CONCURRENCY)
            async with proxy_process("serve", "--takeover", **settings) as new:
                await old.logged("restart.taken_over")
                waiting = asyncio.create_task(ask(new.url, f"{HEAD}&stepMin=9"))
                async with asyncio.timeout(PATIENCE_S):
                    while b'"person":1' not in (await ask(new.url, "/readyz?verbose")).body:  # noqa: ASYNC110 -- no event tells
                        await asyncio.sleep(0.02)
                assert standin.counters.by_path[METRICS] == calls + CONCURRENCY
                await old.kill()
                assert (await waiting).status == 200
                await asyncio.wait(hanging)
                assert (await ask(new.url, HEAD)).is_hit
                assert await new.terminate() == 0


async def test_sigterm_and_a_start_beside_it(tmp_path: Path) -> None:
    """Without --takeover nothing is taken over: a second process is refused, and SIGTERM ends the first as ever."""
    settings = variables(tmp_path, "http://127.0.0.1:9")
    async with proxy_process(**settings) as running:
        status, _, errors = await run("serve", **settings, PLUTO_PROXY_LISTEN="127.0.0.1:0")
        assert status == 1
        assert "in use by another pluto-proxy" in errors
        assert await running.terminate() == 0
    assert not list(tmp_path.glob("*.control*"))
    async with proxy_process("serve", "--takeover", **settings) as running:
        assert await running.terminate() == 0


async def test_a_supervisor_goes_on_with_the_new_process(tmp_path: Path) -> None:
    """SIGUSR2: the process starts another one, and tells the supervisor which. That one is watched, too, and replaceable."""
    telling = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    telling.bind(str(tmp_path / "notify"))
    telling.setblocking(False)
    loop = asyncio.get_running_loop()

    async def told(word: str) -> str:
        """Return the next message that begins with a word."""
        async with asyncio.timeout(PATIENCE_S):
            while not (message := (await loop.sock_recv(telling, 1000)).decode()).startswith(word):
                pass
        return message

    settings = variables(tmp_path, "http://127.0.0.1:9")
    supervised = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "600000"}
    with telling:
        async with proxy_process(**settings, **supervised) as running:
            await told("READY=1")
            pid = running.process.pid
            for _ in range(2):
                os.kill(pid, signal.SIGUSR2)
                named, alive = (await told("MAINPID=")).split("\n")
                assert alive == "WATCHDOG=1"
                before, pid = pid, int(named.removeprefix("MAINPID="))
                assert pid != before
                assert (await ask(running.url, "/livez")).status == 200
                # The process that this one started ends; its log goes on, since all share it.
                await told("WATCHDOG=1")
            assert await asyncio.wait_for(running.process.wait(), PATIENCE_S) == 0
            os.kill(pid, signal.SIGTERM)
            await told("STOPPING=1")
            assert running.reading is not None
            await running.reading
        assert running.log.count("restart.taken_over") == 2
