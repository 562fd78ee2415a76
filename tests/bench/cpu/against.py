"""CPU a request, against nginx's: no rate shows it where the load is slower than the server, and a busy machine blurs rates.

It is a server's CPU time for a window of load, divided by the answers of it; server after server, round after round. The proxy
runs as a team has it, with a token, its defaults for freshness, and runs that grow beside the load.
"""

import statistics
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from tests.bench.bodies import SMALL
from tests.bench.contestants import NGINX, PROXY, Case, Contestant, Packaged, Proxy
from tests.bench.cpu.cases import CASES, Entrant, Promised, entrants
from tests.bench.cpu.files import FLOOR, Prepared, caddy_version, files
from tests.bench.cpu.live import FRESH_S, PER_S, Live, live
from tests.bench.cpu.load import Reader, leanest
from tests.bench.cpu.ours import ours
from tests.bench.cpu.rounds import Window, middle_us, poll_us, window
from tests.bench.exchange import UnexpectedError
from tests.bench.packaged import Lifetimes, opened, versions
from tests.bench.processes import serving
from tests.bench.report import Bound, Section, spread
from tests.bench.world import World, hits

_LONG = Lifetimes(fresh_s=3600, stale_s=60)
# Of a run that is running some polls meet an answer that is just being refreshed.
_FROM_CACHE = ("hit", "stale", "collapsed")
_BUSY = 0.9
_LEAST_REPLACED = 45
_COLUMNS = (
    "answer",
    "server",
    "server CPU, µs a request: median (min..max)",
    "without the runs that grow",
    "nginx's over this: of the medians (min..max of the rounds)",
    "requests/s",
    "ms: p50, p99",
    "server's CPU, load's CPU",
)
Windows = Mapping[str, Sequence[Window]]


@dataclass(slots=True, kw_only=True)
class _Growing:
    """What goes on beside the load of one proxy. `poll_us` is what one poll takes by itself, in CPU microseconds."""

    live: Live
    poll_us: float
    calls_per_s: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Servers:
    """Who is measured; `growing` by the names of the proxies."""

    contestants: list[Contestant]
    growing: Mapping[str, _Growing]


async def measure(world: World) -> Section:
    """Measure every case with every server."""
    rows: list[list[str]] = []
    bounds: list[Bound] = []
    found: list[Window] = []
    reader = leanest(world.plan.cpu_s)
    async with _servers(world) as servers:
        for promised in [each for each in CASES if world.plan.cases in str(each.case)]:
            windows = await _measure_case(world, promised.case, entrants(promised, servers.contestants, reader), servers)
            rows += [_row(promised.case, name, windows, servers) for name in windows]
            bounds += _bounds(promised, windows, servers.growing[PROXY])
            found += [each for some in windows.values() for each in some]
        bounds += [_replaced(name, growing) for name, growing in servers.growing.items() if growing.calls_per_s]
        notes = [*await _setting(world, reader), _busy(found), _growing(servers)]
    return Section(title="CPU a request", columns=_COLUMNS, rows=rows, bounds=bounds, notes=notes)


@asynccontextmanager
async def _servers(world: World) -> AsyncIterator[_Servers]:
    plan, cpu = world.plan, world.placement.server
    async with AsyncExitStack() as stack:
        proxies = await stack.enter_async_context(ours(world, fresh_s=FRESH_S))
        packages = opened(plan.fronts, world.folder, world.origin, cpu, _LONG)
        contestants: list[Contestant] = [*proxies]
        contestants += [Packaged(server, name) for name, server in (await stack.enter_async_context(packages)).items()]
        contestants += await stack.enter_async_context(files(world.folder, cpu, plan.fronts))
        floor = serving(world.folder, "tests.bench.cpu.floor", world.proxy.event_loop(), cpu=cpu)
        contestants.append(Prepared(server=await stack.enter_async_context(floor), name=FLOOR))
        growing = {}
        for proxy in proxies:
            polling = await stack.enter_async_context(live(proxy.server, proxy.token))
            alone_us = await poll_us(proxy.server, polling, rounds=plan.cpu_rounds, seconds=plan.cpu_s)
            growing[proxy.name] = _Growing(live=polling, poll_us=alone_us)
        yield _Servers(contestants=contestants, growing=growing)


async def _measure_case(world: World, case: Case, measured: Sequence[Entrant], servers: _Servers) -> dict[str, list[Window]]:
    windows: dict[str, list[Window]] = {each.name: [] for each in measured}
    # The first round is to warm up.
    for number in range(world.plan.cpu_rounds + 1):
        for each in measured:
            found = await _window(world, case, each, servers.growing.get(each.contestant.name))
            if number:
                windows[each.name].append(found)
    return windows


async def _window(world: World, case: Case, entrant: Entrant, growing: _Growing | None) -> Window:
    """Measure once. Of the proxy hold what the load counted against what it says itself, and count what was replaced."""
    contestant, seconds = entrant.contestant, world.plan.cpu_s
    # Each time, since a refresh makes the compressed forms anew, and they are to be there.
    ready = await contestant.prepare(case)
    calls, before = await world.upstream_calls(), await _counted(contestant)
    found = await window(
        contestant.server,
        ready,
        entrant.reader,
        connections=case.connections,
        seconds=seconds,
        live=None if growing is None else growing.live,
    )
    counted = await _counted(contestant) - before
    if growing is not None:
        growing.calls_per_s.append((await world.upstream_calls() - calls) / found.elapsed_s)
        if counted < found.loaded.answers:
            raise UnexpectedError(f"{case}: {contestant.name} counted {counted} hits, the load {found.loaded.answers} answers")
    return found


async def _counted(contestant: Contestant) -> int:
    if not isinstance(contestant, Proxy):
        return 0
    return await hits(contestant.server, contestant.token, outcomes=_FROM_CACHE)


async def _setting(world: World, reader: Reader) -> list[str]:
    asks = "wrk" if reader is Reader.WRK else "the bench's own in Python (wrk costs less: apt-get install wrk)"
    rounds = f"{world.plan.cpu_rounds} rounds of {world.plan.cpu_s:g} s for each server, in turns, after one to warm up"
    told = await versions(world.plan.fronts)
    return [*told, *([await caddy_version()] if told else []), f"{rounds}; the load: {asks}"]


def _busy(windows: Sequence[Window]) -> str:
    busy = sum(each.share >= _BUSY for each in windows)
    slow = sum(each.loaded.load_share >= _BUSY for each in windows)
    return (
        f"the server had {_BUSY:.0%} of its CPU in {busy} of {len(windows)} windows, and the load of its own in {slow}: "
        "what else runs changes rates and p99 more than CPU a request"
    )


def _growing(servers: _Servers) -> str:
    told = ", ".join(f"{each.poll_us:,.0f} µs ({name})" for name, each in servers.growing.items())
    return f"beside the proxy's load {PER_S} questions a second are asked about runs that grow; by itself one takes {told}"


def _replaced(name: str, growing: _Growing) -> Bound:
    """Return whether the load was what it should be: not a promise of the proxy's, but of the bench's."""
    middle = statistics.median(growing.calls_per_s)
    return Bound(
        promise=f"beside the load of {name} at least {_LEAST_REPLACED} entries a second are replaced",
        measured=spread(growing.calls_per_s),
        held=middle >= _LEAST_REPLACED,
    )


def _row(case: Case, name: str, windows: Windows, servers: _Servers) -> list[str]:
    mine = windows[name]
    growing = servers.growing.get(name.partition(", ")[0])
    share, load_share = (
        statistics.median(each.share for each in mine),
        statistics.median(each.loaded.load_share for each in mine),
    )
    return [
        str(case),
        name if not _is_200(case, name) else f"{name}: 200",
        spread([each.cpu_us for each in mine], 1),
        "" if growing is None else spread([each.net_us(growing.poll_us) for each in mine], 1),
        _ratios(windows[NGINX], mine) if NGINX in windows and name != NGINX else "",
        f"{statistics.median(each.loaded.per_s for each in mine):,.0f}",
        f"{_p_ms(mine, 'p50_ms')}, {_p_ms(mine, 'p99_ms')}",
        f"{share:.0%}, {load_share:.0%}",
    ]


def _is_200(case: Case, name: str) -> bool:
    return case.not_modified and name == NGINX


def _ratios(theirs: Sequence[Window], mine: Sequence[Window]) -> str:
    each = [their.cpu_us / my.cpu_us for their, my in zip(theirs, mine, strict=True)]
    return f"{middle_us(theirs) / middle_us(mine):.2f} ({min(each):.2f}..{max(each):.2f})"


def _p_ms(windows: Sequence[Window], which: str) -> str:
    return f"{statistics.median(getattr(each.loaded, which) for each in windows):.2f}"


def _bounds(promised: Promised, windows: Windows, growing: _Growing) -> list[Bound]:
    """Return what is promised against whoever was there. The runs that grow are part of what is promised."""
    bounds = []
    mine = windows[PROXY]
    for other, least in promised.least.items():
        if other in windows:
            theirs = windows[other]
            of = f"{other}'s 200 of {SMALL} points" if _is_200(promised.case, other) else other
            ratio = middle_us(theirs) / middle_us(mine)
            net = middle_us(theirs) / statistics.median(each.net_us(growing.poll_us) for each in mine)
            p99_ms, their_p99_ms = (statistics.median(each.loaded.p99_ms for each in some) for some in (mine, theirs))
            bounds += [
                Bound(
                    promise=f"{promised.case}: {of} takes at least {least:.1f} times the CPU a request",
                    measured=f"{ratio:.2f} ({net:.2f} without the runs that grow)",
                    held=ratio >= least,
                ),
                Bound(
                    promise=f"{promised.case}: p99 not above that of {of}",
                    measured=f"{p99_ms:.2f} ms, {their_p99_ms:.2f} ms",
                    held=p99_ms <= their_p99_ms,
                ),
            ]
    return bounds
