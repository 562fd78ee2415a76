"""CPU a request, against nginx's: no rate shows it where the load is slower than the server, and a busy machine blurs rates.

It is a server's CPU time for a window of load, divided by the answers of it; server after server, round after round. The proxy
runs as a team has it, with a token, its defaults for freshness, and runs that grow beside the load.
"""

import statistics
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from proxy.core.access.grants import digest_of_token
from proxy.core.freshness.entry import Coding
from proxy.store.token_file import Token, edit_tokens, new_secret
from tests.bench.bodies import SMALL
from tests.bench.contestants import NGINX, PROXY, Case, Contestant, Packaged, Proxy
from tests.bench.cpu.live import PER_S, Live, live
from tests.bench.cpu.load import wrk
from tests.bench.cpu.rounds import Window, middle_us, share_of, window
from tests.bench.exchange import UnexpectedError
from tests.bench.packaged import Lifetimes, opened, versions
from tests.bench.report import Bound, Section, spread
from tests.bench.world import World, hits

_SECONDS = 1
_DEFAULT_FRESH_S = "5"
_LONG = Lifetimes(fresh_s=3600, stale_s=60)
_TITLE = "CPU a request"
# Of a run that is running some polls meet an answer that is just being refreshed.
_FROM_CACHE = ("hit", "stale", "collapsed")
_COLUMNS = (
    "answer",
    "server",
    "server CPU, µs a request: median (min..max)",
    "without the runs that grow",
    "nginx's over this",
    "requests/s",
    "ms: p50, p99",
    "server's CPU, load's CPU",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Promised:
    """A case, and how many times the proxy's CPU a request nginx's is at least."""

    case: Case
    least: float


CASES = (_Promised(case=Case(points=SMALL, coding=Coding.IDENTITY, connections=16), least=1.8),)


@dataclass(slots=True, kw_only=True)
class _Servers:
    """Who is measured, and what goes on beside the proxy's load."""

    contestants: Sequence[Contestant]
    live: Live
    beside: float = 0.0
    """Which part of a CPU the proxy takes for the runs that grow, 0..1."""
    replaced_per_s: list[float] = field(default_factory=list)


async def measure(world: World) -> Section:
    """Measure every case with every contestant."""
    rows: list[list[str]] = []
    bounds: list[Bound] = []
    if wrk() is None:
        return Section(title=_TITLE, columns=_COLUMNS, rows=[], notes=["Not measured: wrk isn't here (apt-get install wrk)."])
    async with _servers(world) as servers:
        for promised in CASES:
            windows = await _measure_case(world, promised.case, servers)
            rows += [_row(promised.case, name, windows, servers) for name in windows]
            bounds += _bounds(promised, windows)
    return Section(
        title=_TITLE,
        columns=_COLUMNS,
        rows=rows,
        bounds=bounds,
        notes=[*await versions(world.plan.fronts), _beside(servers)],
    )


def _beside(servers: _Servers) -> str:
    return (
        f"beside the proxy's load {PER_S} questions a second are asked about runs that grow: {spread(servers.replaced_per_s)} "
        f"calls a second went upstream; by themselves they take {servers.beside:.1%} of a CPU"
    )


@asynccontextmanager
async def _servers(world: World) -> AsyncIterator[_Servers]:
    secret = new_secret()
    grant = Token(
        name="bench",
        sha256=digest_of_token(secret),
        projects=None,
        admin=False,
        created_at_s=int(time.time()),
        expires_at_s=None,
    )
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(dir=world.folder)))
        edit_tokens(folder / "tokens", lambda _: [grant], create=True)
        proxy = await stack.enter_async_context(
            world.another_proxy(
                PLUTO_PROXY_ACCESS__TOKENS_FILE=str(folder / "tokens"), PLUTO_PROXY_FRESHNESS__RUNNING_S=_DEFAULT_FRESH_S
            )
        )
        packages = opened(world.plan.fronts, folder, world.origin, world.placement.server, _LONG)
        found: list[Contestant] = [Proxy(proxy, secret)]
        found += [Packaged(server, name) for name, server in (await stack.enter_async_context(packages)).items()]
        polling = await stack.enter_async_context(live(proxy, secret))
        beside = await share_of(proxy, polling.going_on, rounds=world.plan.cpu_rounds, seconds=_SECONDS)
        yield _Servers(contestants=found, live=polling, beside=beside)


async def _measure_case(world: World, case: Case, servers: _Servers) -> dict[str, list[Window]]:
    ready = {each.name: await each.prepare(case) for each in servers.contestants}
    windows: dict[str, list[Window]] = {each.name: [] for each in servers.contestants}
    # The first round is to warm up.
    for number in range(world.plan.cpu_rounds + 1):
        for each in servers.contestants:
            if isinstance(each, Proxy):
                found = await _of_proxy(world, case, each, servers)
            else:
                found = await window(each.server, ready[each.name], connections=case.connections, seconds=_SECONDS)
            if number:
                windows[each.name].append(found)
    return windows


async def _of_proxy(world: World, case: Case, proxy: Proxy, servers: _Servers) -> Window:
    """Hold what the load counted against what the proxy says were hits, and count what was replaced."""
    # A refresh makes the compressed forms anew, and they are waited for.
    ready = await proxy.prepare(case)
    calls, before = await world.upstream_calls(), await hits(proxy.server, proxy.token, outcomes=_FROM_CACHE)
    found = await window(proxy.server, ready, connections=case.connections, seconds=_SECONDS, beside=servers.live.going_on)
    counted = await hits(proxy.server, proxy.token, outcomes=_FROM_CACHE) - before
    if counted < found.loaded.answers:
        raise UnexpectedError(f"{case}: the proxy counted {counted} hits, the load {found.loaded.answers} answers")
    servers.replaced_per_s.append((await world.upstream_calls() - calls) / found.elapsed_s)
    return found


def _row(case: Case, name: str, windows: Mapping[str, Sequence[Window]], servers: _Servers) -> list[str]:
    mine = windows[name]
    net = [each.net_us(servers.beside) for each in mine]
    p50, p99 = (statistics.median(getattr(each.loaded, which) for each in mine) for which in ("p50_ms", "p99_ms"))
    share, load_share = (
        statistics.median(each.share for each in mine),
        statistics.median(each.loaded.load_share for each in mine),
    )
    return [
        str(case),
        name if name == PROXY or not case.not_modified else f"{name}: 200, {SMALL} points",
        spread([each.cpu_us for each in mine], 1),
        spread(net, 1) if name == PROXY else "",
        f"{middle_us(windows[NGINX]) / middle_us(mine):.2f}" if NGINX in windows and name != NGINX else "",
        f"{statistics.median(each.loaded.per_s for each in mine):,.0f}",
        f"{p50:.2f}, {p99:.2f}",
        f"{share:.0%}, {load_share:.0%}",
    ]


def _bounds(promised: _Promised, windows: Mapping[str, Sequence[Window]]) -> list[Bound]:
    if NGINX not in windows:
        return []
    ours, theirs = windows[PROXY], windows[NGINX]
    ratio = middle_us(theirs) / middle_us(ours)
    p99, their_p99 = (statistics.median(each.loaded.p99_ms for each in some) for some in (ours, theirs))
    of = f"nginx's 200 of {SMALL} points" if promised.case.not_modified else NGINX
    return [
        Bound(
            promise=f"{promised.case}: {of} takes at least {promised.least} times the CPU a request",
            measured=f"{ratio:.2f}",
            held=ratio >= promised.least,
        ),
        Bound(
            promise=f"{promised.case}: p99 not above {of}", measured=f"{p99:.2f} ms, {their_p99:.2f} ms", held=p99 <= their_p99
        ),
    ]
