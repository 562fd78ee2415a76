"""A proxy in front of a stand-in, both real servers on loopback."""

import asyncio
import atexit
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp
import msgspec
from aiohttp import web
from yarl import URL

from proxy.app import open_parts
from proxy.app.parts import Parts
from proxy.cli.listening import listening, url_of
from proxy.cli.serve import running
from proxy.clock import Clock
from proxy.config import KeySource, load
from proxy.config.addresses import UNIX
from proxy.core.proof.limits import Limits
from proxy.core.proof.sizes import Size
from proxy.core.question.route import Route
from proxy.core.question.routes import ROUTES
from proxy.core.series.metrics_query import MetricsQuery
from proxy.restart.restart import Restart
from proxy.service.tenancy import Sleep
from proxy.standin import Row, Standin, StandinConfig
from proxy.standin.auth import DEFAULT_KEYS
from proxy.store import UnreadError
from proxy.store.sqlite.reads import READS_AT_ONCE
from tests.support.certificates import Authority

KEY = DEFAULT_KEYS[0].text
METRICS = "/api/runs/metrics"
QUESTION = f"{METRICS}?runId=1&projectName=demo&logName=loss&limit=2"
DATA = Path(__file__).parents[1] / "data"


class ManualClock:
    """A clock that moves when it is told to."""

    def __init__(self, now_s: float = 1_800_000_000.0) -> None:
        self._now_s = now_s
        self._monotonic_s = 1_000.0

    def now_s(self) -> float:
        return self._now_s

    def machine_s(self) -> float:
        return self._now_s

    def monotonic_s(self) -> float:
        return self._monotonic_s

    def advance(self, seconds: float) -> None:
        self._now_s += seconds
        self._monotonic_s += seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def cache_status(self) -> str:
        return self.headers["Cache-Status"]

    @property
    def is_hit(self) -> bool:
        return self.cache_status.startswith("pluto-proxy; hit")


class Granted(Limits):
    """Limits that are all kept to."""

    def allow(self, question: MetricsQuery, size: Size, *, asked_s: float, now_s: float) -> bool:  # noqa: ARG002 -- as its base
        return True

    def shows(self, question: MetricsQuery, size: Size, *, now_s: float) -> bool:  # noqa: ARG002 -- as its base
        return True


@dataclass(slots=True, kw_only=True)
class World:
    """A running proxy and its stand-in."""

    standin: Standin
    upstream: str
    url: str
    parts: Parts
    session: aiohttp.ClientSession
    clock: ManualClock
    trust: ssl.SSLContext | None = None
    """What a client takes to accept the proxy's certificate, None where it shows none."""
    runner: web.ServerRunner
    ended: asyncio.Event
    """Set once another proxy has taken over from this one."""

    @property
    def metrics_calls(self) -> int:
        """How many metric queries the upstream was asked."""
        return self.standin.counters.by_path[METRICS]

    async def get(self, target: str = QUESTION, *, method: str = "GET", base: str | None = None, **headers: str) -> Reply:
        """Send a request whose target arrives as it is written here."""
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        url = URL((base or self.url) + target, encoded=True)
        async with self.session.request(method, url, headers=names, allow_redirects=False) as response:
            reply = Reply(status=response.status, headers=response.headers, body=await response.read())
        assert KEY not in f"{reply.headers} {reply.body!r}"
        return reply

    def advance(self, seconds: float) -> None:
        """Let time pass, and the budget notice it: its own timer runs by real time."""
        self.clock.advance(seconds)
        self.parts.turnstile.let_through()
        self.parts.proof.witnesses.ask_due()

    @property
    def busy(self) -> int:
        """How many things are under way upstream, or are being made of what came from there."""
        parts = self.parts
        under_way = (
            parts.fetching.fetcher.in_flight,
            parts.series.refresher.refreshing,
            parts.series.deltas.in_flight,
            parts.series.loader.in_flight,
            parts.series.rotation.in_flight,
        )
        return sum(under_way)

    async def settled(self) -> None:
        """Wait until nothing is asked upstream any more."""
        async with asyncio.timeout(10):
            while self.busy or self.standin.counters.in_flight:  # noqa: ASYNC110 -- no event tells it
                await asyncio.sleep(0.001)

    async def arrived(self, requests: int) -> None:
        """Wait until the proxy has begun to answer so many requests, and they wait for something themselves."""
        async with asyncio.timeout(10):
            while self.parts.web.intake.requests < requests:  # noqa: ASYNC110 -- no event tells it
                await asyncio.sleep(0.001)
        for _ in range(2 + requests // READS_AT_ONCE):
            with suppress(UnreadError):
                await self.parts.store.disk.namespaces()  # comes back after the reads that were begun before it
            for _ in range(_TURNS):
                await asyncio.sleep(0)

    async def flushed(self) -> None:
        """Wait until everything stored so far is on disk."""
        await self.parts.fetching.encoder.settled()
        await self.parts.shelves.settled()
        await self.parts.store.disk.flush()


# Of the event loop: from when a request has come until it looks into the cache, and from then until it has joined a flight.
_TURNS = 50


@cache
def _usual_rows() -> Path:
    """Make a database of 1,500 rows of one series, once for all tests of a process."""
    folder = TemporaryDirectory()
    atexit.register(folder.cleanup)
    path = Path(folder.name) / "rows.sqlite"
    standin = Standin(StandinConfig())
    standin.rows.insert(Row(run_id=1, log_name="loss", step=step, value=step / 7) for step in range(1500))
    standin.rows.fetch("VACUUM INTO :path", {"path": str(path)})
    return path


def _insert_usual_rows(standin: Standin) -> None:
    """Copy them: to make them takes five times as long, and most tests begin with it."""
    standin.rows.fetch("ATTACH :path AS usual", {"path": str(_usual_rows())})
    standin.rows.fetch("INSERT INTO main.metrics SELECT * FROM usual.metrics", {})
    standin.rows.fetch("DETACH usual", {})
    standin.rows.runs.add(("org_demo", "demo", 1))


def variables_of(folder: Path, upstream: str, **settings: object) -> dict[str, str]:
    """Return the environment of a proxy."""
    return {
        "PLUTO_PROXY_SERVER__LISTEN": "127.0.0.1:0",
        "PLUTO_PROXY_UPSTREAM": upstream,
        # Tests that aren't about the budget shouldn't meet it: their clocks stand still.
        "PLUTO_PROXY_UPSTREAM__RATE_PER_S": "10000",
        "PLUTO_PROXY_UPSTREAM__BURST": "10000",
        "PLUTO_PROXY_UPSTREAM__MAX_CONCURRENCY": "1000",
        # Tests of how a question is asked and kept as it is; those of the series turn it on.
        "PLUTO_PROXY_SERIES__ENABLED": "false",
        "PLUTO_PROXY_CACHE__PATH": str(folder / "cache" / "cache.sqlite"),
        **{f"PLUTO_PROXY_{name.upper()}": str(value) for name, value in settings.items()},
    }


@asynccontextmanager
async def world(
    folder: Path,
    *,
    standin: Standin | None = None,
    clock: ManualClock | None = None,
    system_clock: Clock | None = None,
    key: KeySource | None = None,
    keyless: bool = False,
    sleep: Sleep = asyncio.sleep,
    upstream: str | None = None,
    routes: Sequence[Route] = ROUTES,
    limits: Limits | None = None,
    authority: Authority | None = None,
    restart: Restart | None = None,
    **settings: object,
) -> AsyncIterator[World]:
    """Run a stand-in and a proxy; `settings` are written like `freshness__running_s=1`.

    With a `restart` it takes over from another one, or lets another one take over; `ended` is set then. With an `authority` the
    proxy is reached by HTTPS. It may listen on a Unix socket.

    Unless `limits` are given the upstream is taken to keep to every limit: not every test should count the calls that prove it.
    """
    standin = standin or Standin(StandinConfig())
    if not len(standin.rows):
        _insert_usual_rows(standin)
    clock = clock or ManualClock()
    async with AsyncExitStack() as stack:
        base = await stack.enter_async_context(standin.serve()) if upstream is None else upstream
        if authority is not None:
            certificate, private = authority.issue()
            settings |= {"server__tls_cert": certificate, "server__tls_key": private}
        config = load(None, variables_of(folder, base, **settings)).config
        if restart is not None:
            await stack.enter_async_context(restart.around())
        parts = await stack.enter_async_context(
            open_parts(
                config,
                None if keyless else key or KeySource(value=KEY),
                routes=routes,
                clock=system_clock or clock,
                sleep=sleep,
                limits=limits or Granted(),
                succeeds=restart is not None and restart.takes_over,
            )
        )
        if restart is not None:
            await stack.enter_async_context(restart.over(parts, within_s=10))
        runner = await stack.enter_async_context(running(parts))
        over = restart or Restart()
        opened = await stack.enter_async_context(
            listening(runner, parts.web.server, config, over.sockets(config), owns=over.owns)
        )
        ended = asyncio.Event()
        if restart is not None:
            restart.serve(parts, opened, ended=ended.set)
        url = url_of(opened[0].socket, config.server.scheme)
        trust = None if authority is None else authority.trusted
        connector: aiohttp.BaseConnector = aiohttp.TCPConnector(ssl=trust or True)
        if url.startswith(UNIX):
            connector, url = aiohttp.UnixConnector(url.removeprefix(UNIX)), "http://localhost"
        session = await stack.enter_async_context(
            aiohttp.ClientSession(connector=connector, auto_decompress=False, skip_auto_headers=["Accept-Encoding"])
        )
        yield World(
            standin=standin,
            upstream=base,
            url=url,
            parts=parts,
            session=session,
            clock=clock,
            trust=trust,
            runner=runner,
            ended=ended,
        )


@asynccontextmanager
async def served(handle: Callable[[web.Request], Awaitable[web.Response]]) -> AsyncIterator[str]:
    """Answer every GET on a port of loopback with one handler; give the base URL."""
    app = web.Application()
    app.router.add_get("/{anything:.*}", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def until(condition: asyncio.Event) -> None:
    """Wait for a gate, at most as long as a test may hang."""
    async with asyncio.timeout(10):
        await condition.wait()
