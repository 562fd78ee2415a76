"""Warm hits and 304s: contestant after contestant, round after round, so that a noisy moment meets them alike."""

import statistics
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import repeat
from pathlib import Path
from tempfile import TemporaryDirectory

from proxy.core.freshness.entry import Coding
from tests.bench.bodies import LARGE, SMALL
from tests.bench.contestants import BARE, NGINX, PROXY, Bare, Case, Contestant, Packaged, Proxy, Ready
from tests.bench.exchange import UnexpectedError
from tests.bench.granted import write_token
from tests.bench.load import Polled, poll
from tests.bench.packaged import Lifetimes, opened, versions
from tests.bench.report import Bound, Section, spread
from tests.bench.world import Plan, World, hits

_SATURATED = 0.9
# A server that nobody else takes the CPU from is busy for all of a round.
_UNDISTURBED = 0.9
_ATTEMPTS = 3
_LONG = Lifetimes(fresh_s=3600, stale_s=60)
_LEAST_OF_BARE = {SMALL: 0.6, LARGE: 0.8}
_NOT_MODIFIED = {NGINX: 0.4}
_COLUMNS = (
    "answer",
    "server",
    "requests/s: median (min..max)",
    "ratio to nginx: median (min..max)",
    "to the bare handler",
    "server CPU, µs a request",
    "load's CPU",
)


def _least_of_nginx(points: int, coding: Coding) -> float:
    if points == SMALL:
        return 0.33
    return 0.8 if coding is Coding.IDENTITY else 0.45


_HITS = tuple(
    Case(points=points, coding=coding, least={BARE: _LEAST_OF_BARE[points], NGINX: _least_of_nginx(points, coding)})
    for points in (SMALL, LARGE)
    for coding in Coding
)
_UNCHANGED = tuple(
    Case(points=points, coding=Coding.IDENTITY, not_modified=True, least=_NOT_MODIFIED) for points in (SMALL, LARGE)
)
_FEW = (*_HITS, *_UNCHANGED)


def cases(plan: Plan) -> tuple[Case, ...]:
    """Return what is measured: all kinds of answers, and those that aren't compressed on more connections."""
    few = tuple(replace(case, connections=plan.connections) for case in _FEW)
    many = (case for case in _FEW if case.coding is Coding.IDENTITY)
    return few + tuple(replace(case, connections=plan.more_connections) for case in many)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Round:
    """One contestant's part of a round. `server_cpu_s` is None where the system doesn't tell."""

    polled: Polled
    server_cpu_s: float | None

    @property
    def disturbed(self) -> bool:
        """Whether something else took the CPU: the server did not have it for itself, and not because the load was slow."""
        if self.server_cpu_s is None or self.polled.load_share > _SATURATED:
            return False
        return self.server_cpu_s / self.polled.elapsed_s < _UNDISTURBED

    @property
    def cpu_us(self) -> float | None:
        """The server's CPU microseconds for each answer."""
        return None if self.server_cpu_s is None else self.server_cpu_s / self.polled.answers * 1e6


@dataclass(slots=True)
class _Tally:
    """What one contestant did in one case. `answers` counts the warm-up and the rounds that did not count, too."""

    answers: int = 0
    rounds: list[_Round] = field(default_factory=list)

    @property
    def per_s(self) -> list[float]:
        """Answers a second, round by round."""
        return [each.polled.per_s for each in self.rounds]


async def measure(world: World) -> Section:
    """Measure every case with every contestant."""
    rows: list[list[str]] = []
    bounds: list[Bound] = []
    rounds: list[_Round] = []
    async with _contestants(world) as contestants:
        for case in cases(world.plan):
            before = await world.upstream_calls()
            tallies = await _measure_case(world.plan, case, contestants)
            if (asked := await world.upstream_calls() - before) > 2 * len(contestants):
                raise UnexpectedError(f"{case}: the upstream was asked {asked} times for what should have been hits")
            rows += [_row(case, name, tallies) for name in tallies]
            rounds += [each for tally in tallies.values() for each in tally.rounds]
            bounds += _bounds(case, tallies)
    return Section(
        title="Warm hits",
        columns=_COLUMNS,
        rows=rows,
        bounds=bounds,
        notes=[*await versions(world.plan.fronts), _disturbance(rounds)],
    )


@asynccontextmanager
async def _contestants(world: World) -> AsyncIterator[Sequence[Contestant]]:
    """Run whatever is there: the proxy asks for a token, as a team's endpoint does."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(dir=world.folder)))
        secret = write_token(folder / "tokens")
        proxy = await stack.enter_async_context(world.another_proxy(PLUTO_PROXY_ACCESS__TOKENS_FILE=str(folder / "tokens")))
        found: list[Contestant] = [Bare(world.bare), Proxy(proxy, secret)]
        packages = opened(world.plan.fronts, folder, world.origin, world.placement.server, _LONG)
        found += [Packaged(server, name) for name, server in (await stack.enter_async_context(packages)).items()]
        yield found


async def _measure_case(plan: Plan, case: Case, contestants: Sequence[Contestant]) -> dict[str, _Tally]:
    ready = {contestant.name: await contestant.prepare(case) for contestant in contestants}
    tallies = {contestant.name: _Tally() for contestant in contestants}
    counted = {contestant.name: await _counted(contestant) for contestant in contestants}
    for contestant in contestants:
        await _round(contestant, ready[contestant.name], tallies[contestant.name], case.connections, plan.warm_up_s)
    for _ in range(plan.rounds):
        for _ in range(_ATTEMPTS):
            measured = {
                each.name: await _round(each, ready[each.name], tallies[each.name], case.connections, plan.seconds)
                for each in contestants
            }
            if not any(part.disturbed for part in measured.values()):
                break
        for name, part in measured.items():
            tallies[name].rounds.append(part)
    for contestant in contestants:
        await _check_count(case, contestant, counted[contestant.name], tallies[contestant.name].answers)
    return tallies


async def _round(contestant: Contestant, ready: Ready, tally: _Tally, connections: int, seconds: float) -> _Round:
    server = contestant.server
    before_s = server.cpu_s()
    polled = await poll(server.port, repeat(ready.request), ready.expected, connections=connections, seconds=seconds)
    after_s = server.cpu_s()
    tally.answers += polled.answers
    cpu_s = None if before_s is None or after_s is None else after_s - before_s
    return _Round(polled=polled, server_cpu_s=cpu_s)


async def _counted(contestant: Contestant) -> int | None:
    return await hits(contestant.server, contestant.token) if isinstance(contestant, Proxy) else None


async def _check_count(case: Case, contestant: Contestant, before: int | None, answers: int) -> None:
    """Hold what the load counted against what the server itself says were hits, where it says anything."""
    after = await _counted(contestant)
    if before is not None and after is not None and after - before != answers:
        raise UnexpectedError(f"{case}: {contestant.name} counted {after - before} hits, the load {answers} answers")


def _ratio(tally: _Tally, base: _Tally) -> list[float]:
    """Return the ratio of each round, whose two halves ran one after the other."""
    return [mine / bare for mine, bare in zip(tally.per_s, base.per_s, strict=True)]


def _disturbance(rounds: Sequence[_Round]) -> str:
    disturbed = sum(each.disturbed for each in rounds)
    again = f"rounds in which a server had less than {_UNDISTURBED:.0%} of its CPU were measured again"
    return f"{again}, up to {_ATTEMPTS - 1} times; {disturbed} of {len(rounds)} stayed disturbed"


def _row(case: Case, name: str, tallies: Mapping[str, _Tally]) -> list[str]:
    tally = tallies[name]
    share = statistics.median(each.polled.load_share for each in tally.rounds)
    cpu_us = [each.cpu_us for each in tally.rounds if each.cpu_us is not None]
    return [
        str(case),
        name if name in {BARE, PROXY} or not case.not_modified else f"{name}: 200, {SMALL} points",
        spread(tally.per_s),
        *(spread(_ratio(tally, tallies[other]), 2) if other in tallies and other != name else "" for other in (NGINX, BARE)),
        spread(cpu_us) if cpu_us else "not measured",
        f"{share:.0%}{', the load was the limit' if share > _SATURATED else ''}",
    ]


def _bounds(case: Case, tallies: Mapping[str, _Tally]) -> list[Bound]:
    """Return what is promised of the proxy against whoever was there."""
    bounds = []
    for other, least in case.least.items():
        if other in tallies:
            middle = statistics.median(_ratio(tallies[PROXY], tallies[other]))
            of = f"{other}'s 200 of {SMALL} points" if case.not_modified else other
            bounds.append(Bound(promise=f"{case}: at least {least} of {of}", measured=f"{middle:.2f}", held=middle >= least))
    return bounds
