"""A new process takes over from the old one under load: no request fails, and the upstream sees one budget."""

import asyncio
import itertools
import os
import ssl
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest

from proxy.standin import Fault, Row, Standin
from tests.support.certificates import Authority
from tests.support.processes import PATIENCE_S, Running, proxy_process
from tests.support.wire import Wire, request
from tests.support.world import KEY, METRICS

RATE_PER_S, BURST, CONCURRENCY = 40.0, 10, 2
RESTARTS = int(os.environ.get("RESTARTS", "8"))
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
