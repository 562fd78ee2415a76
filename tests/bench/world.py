"""The servers that the scenarios share."""

import re
import tempfile
from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.exchange import ask, get
from tests.bench.origin import CALLS_PATH
from tests.bench.processes import Placement, Server, serving
from tests.support.world import KEY

MIB = 2**20
# Nothing may be refreshed while hits are measured.
_LONG_S = "3600"
_UNBOUNDED = "10000"
_ANSWERED = re.compile(r'^pluto_proxy_requests_total\{[^}]*outcome="(\w+)"[^}]*\} (\S+)$', re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much is measured. The defaults are what `make bench` does."""

    rounds: int = 5
    seconds: float = 1.0
    warm_up_s: float = 0.3
    connections: int = 16
    more_connections: int = 64
    """Hits are measured with so many as well."""
    misses: int = 100
    """Questions for each contestant and round."""
    herd: int = 500
    answers: int = 10_000
    large: int = 8
    """Answers of 20 MB for each kind of work."""
    starts: int = 7
    """Starts for each state of the cache file, of which the large one has `cache_bytes`."""
    cache_bytes: int = 500 * MIB
    metrics: int = 200
    """Series of 5,000 points that are kept at once."""
    panels: int = 20
    """First answers for each kind of panel, each about a run of its own."""
    viewers: int = 20
    """Viewers of the replay, which takes `replay_s` with each of `fronts`, and as often for runs of the other kind."""
    replay_s: float = 60.0
    finished: int = 10
    lengths: tuple[int, ...] = (1_000, 10_000, 100_000, 1_000_000)
    """Rows of the series that grows; each has `load_s` to be loaded, and then `looks` windows of it are asked."""
    load_s: float = 60.0
    looks: int = 50
    charted: int = 200
    """Runs in one chart, each with `charted_rows` rows."""
    charted_rows: int = 100_000
    cpu_rounds: int = 7
    """Rounds of `cpu_s` for each server, in which CPU a request is measured."""
    cpu_s: float = 1.0
    cases: str = ""
    """Of those cases only the ones in whose name this occurs."""
    polled: int = 5_000
    """Questions, each polled every 5 s; CPU a hit is measured for `polled_s`, in rounds as above."""
    polled_s: float = 5.0
    baseline: str = ""
    """A commit whose CPU a request is measured beside ours; empty: none."""
    fronts: tuple[str, ...] = ("nothing", "nginx", "Varnish", "pluto-proxy")


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What runs for the whole bench: the upstream, the proxy in front of it, the bare handler."""

    plan: Plan
    placement: Placement
    folder: Path
    origin: Server
    proxy: Server
    bare: Server

    async def upstream_calls(self) -> int:
        """Return how many metric questions the upstream was asked so far."""
        return int((await ask(self.origin.port, get(CALLS_PATH))).body)

    @asynccontextmanager
    async def another_proxy(
        self, origin: Server | None = None, *, module: str = "proxy", **variables: str
    ) -> AsyncIterator[Server]:
        """Run a proxy with settings and a cache of its own, perhaps another upstream, and a module that runs it otherwise."""
        async with _proxy(self.folder, origin or self.origin, self.placement, module=module, **variables) as server:
            yield server


@asynccontextmanager
async def world(plan: Plan, placement: Placement) -> AsyncIterator[World]:
    """Start the servers, and remove everything that they leave."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pluto-proxy-bench-")))
        origin = await stack.enter_async_context(serving(folder, "tests.bench.origin", cpu=placement.load))
        proxy = await stack.enter_async_context(_proxy(folder, origin, placement))
        bare = await stack.enter_async_context(serving(folder, "tests.bench.bare", proxy.event_loop(), cpu=placement.server))
        yield World(plan=plan, placement=placement, folder=folder, origin=origin, proxy=proxy, bare=bare)


async def hits(proxy: Server, token: str = "", *, outcomes: Collection[str] = ("hit",)) -> int:
    """Return how many hits, or answers of other outcomes, a proxy has counted."""
    text = (await ask(proxy.port, get("/metrics", Authorization=f"Bearer {token}"))).body.decode()
    return sum(int(float(value)) for outcome, value in _ANSWERED.findall(text) if outcome in outcomes)


@asynccontextmanager
async def _proxy(
    folder: Path, origin: Server, placement: Placement, *, module: str = "proxy", **variables: str
) -> AsyncIterator[Server]:
    with tempfile.TemporaryDirectory(dir=folder) as cache:
        settings = {
            "PLUTO_API_KEY": KEY,
            "PLUTO_PROXY_LISTEN": "127.0.0.1:0",
            "PLUTO_PROXY_UPSTREAM": f"http://127.0.0.1:{origin.port}",
            "PLUTO_PROXY_CACHE": f"{cache}/cache.sqlite",
            "PLUTO_PROXY_FRESHNESS__RUNNING_S": _LONG_S,
            # What is measured is the proxy, not how long its budget makes a miss wait.
            "PLUTO_PROXY_UPSTREAM__RATE_PER_S": _UNBOUNDED,
            "PLUTO_PROXY_UPSTREAM__BURST": _UNBOUNDED,
            # Questions are asked and kept as they are: how one answer serves others is a measurement of its own.
            "PLUTO_PROXY_SERIES__ENABLED": "false",
            "PLUTO_PROXY_LOG__FORMAT": "json",
        }
        async with serving(folder, module, "serve", cpu=placement.server, **settings | variables) as server:
            yield server
