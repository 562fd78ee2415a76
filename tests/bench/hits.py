"""Warm hits and 304s: contestant after contestant, round after round, so that a noisy moment meets them alike."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import repeat

from proxy.core.entry import Coding
from tests.bench.bodies import LARGE, SMALL
from tests.bench.contestants import Bare, Case, Contestant, Proxy, Ready
from tests.bench.exchange import UnexpectedError
from tests.bench.load import Polled, poll
from tests.bench.report import Bound, Section, spread
from tests.bench.world import Plan, World, hits

_SATURATED = 0.9
# A server that nobody else takes the CPU from is busy for all of a round.
_UNDISTURBED = 0.9
_ATTEMPTS = 3
_LEAST_RATIO = {SMALL: 0.6, LARGE: 0.8}
CASES = tuple(
    Case(points=points, coding=coding, least_ratio=_LEAST_RATIO[points]) for points in (SMALL, LARGE) for coding in Coding
) + tuple(Case(points=points, coding=Coding.IDENTITY, not_modified=True) for points in (SMALL, LARGE))
_COLUMNS = (
    "answer",
    "server",
    "requests/s: median (min..max)",
    "ratio to bare: median (min..max)",
    "server CPU, µs a request",
    "load's CPU",
)


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
    bare, proxy = Bare(world.bare), Proxy(world.proxy)
    rows: list[list[str]] = []
    bounds: list[Bound] = []
    rounds: list[_Round] = []
    for case in CASES:
        tallies = await _measure_case(world.plan, case, (bare, proxy))
        base = tallies[bare.name]
        rows += [_row(case, name, tally, base) for name, tally in tallies.items()]
        rounds += [each for tally in tallies.values() for each in tally.rounds]
        if case.least_ratio is not None:
            ratio = _ratio(tallies[proxy.name], base)
            bounds.append(_bound(case, case.least_ratio, ratio))
    return Section(
        title=f"Warm hits, {world.plan.connections} connections",
        columns=_COLUMNS,
        rows=rows,
        bounds=bounds,
        notes=[_disturbance(rounds)],
    )


async def _measure_case(plan: Plan, case: Case, contestants: Sequence[Contestant]) -> dict[str, _Tally]:
    ready = {contestant.name: await contestant.prepare(case) for contestant in contestants}
    tallies = {contestant.name: _Tally() for contestant in contestants}
    counted = {contestant.name: await _counted(contestant) for contestant in contestants}
    for contestant in contestants:
        await _round(plan, contestant, ready[contestant.name], tallies[contestant.name], plan.warm_up_s)
    for _ in range(plan.rounds):
        for _ in range(_ATTEMPTS):
            measured = {
                each.name: await _round(plan, each, ready[each.name], tallies[each.name], plan.seconds) for each in contestants
            }
            if not any(part.disturbed for part in measured.values()):
                break
        for name, part in measured.items():
            tallies[name].rounds.append(part)
    for contestant in contestants:
        await _check_count(case, contestant, counted[contestant.name], tallies[contestant.name].answers)
    return tallies


async def _round(plan: Plan, contestant: Contestant, ready: Ready, tally: _Tally, seconds: float) -> _Round:
    server = contestant.server
    before_s = server.cpu_s()
    polled = await poll(server.port, repeat(ready.request), ready.expected, connections=plan.connections, seconds=seconds)
    after_s = server.cpu_s()
    tally.answers += polled.answers
    cpu_s = None if before_s is None or after_s is None else after_s - before_s
    return _Round(polled=polled, server_cpu_s=cpu_s)


async def _counted(contestant: Contestant) -> int | None:
    return await hits(contestant.server) if isinstance(contestant, Proxy) else None


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


def _row(case: Case, name: str, tally: _Tally, base: _Tally) -> list[str]:
    share = statistics.median(each.polled.load_share for each in tally.rounds)
    cpu_us = [each.cpu_us for each in tally.rounds if each.cpu_us is not None]
    return [
        str(case),
        name,
        spread(tally.per_s),
        "" if tally is base else spread(_ratio(tally, base), 2),
        spread(cpu_us) if cpu_us else "not measured",
        f"{share:.0%}{', the load was the limit' if share > _SATURATED else ''}",
    ]


def _bound(case: Case, least: float, ratio: Sequence[float]) -> Bound:
    middle = statistics.median(ratio)
    return Bound(promise=f"{case}: at least {least} of the bare handler", measured=f"{middle:.2f}", held=middle >= least)
