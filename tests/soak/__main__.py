"""`python -m tests.soak`: many dashboards against an upstream that takes little; exit with 1 where a promise is missed."""

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import aiohttp

from tests.bench.report import Section
from tests.soak.clients import NAMES, Crowd, questions
from tests.soak.judging import Run, Sample, judge
from tests.soak.servers import Servers, servers
from tests.support.world import METRICS


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much is asked. The defaults are what `make soak` does."""

    seconds: float = 120.0
    clients: int = 50
    questions: int = 200
    period_s: float = 5.0
    """How often each client asks each of its questions."""
    limit_per_s: float = 5.0
    latency_ms: float = 50.0
    settling_s: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """What the proxy is told: its rate as a multiple of the stand-in's limit, and further settings."""

    title: str
    rate: float
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def even(self) -> bool:
        """Whether no bursts are sent."""
        return self.settings.get("UPSTREAM__BURST") == "1"


VARIANTS = {
    "told": Variant(title="The proxy is told the limit", rate=1),
    "even": Variant(title="The proxy is told the limit, and to send no bursts", rate=1, settings={"UPSTREAM__BURST": "1"}),
    "untold": Variant(title="The proxy is told ten times the limit", rate=10),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit status."""
    options = _parser().parse_args(arguments)
    given = {name: value for name in ("seconds", "latency_ms") if (value := getattr(options, name)) is not None}
    plan = replace(Plan(), **given)
    names = options.only or list(VARIANTS)
    sys.stderr.write(f"soaking for {plan.seconds:g} s: {', '.join(names)}, side by side ...\n")
    sections = asyncio.run(run(plan, names))
    sys.stdout.write("\n".join(map(str, sections)))
    missed = [bound for section in sections for bound in section.bounds if not bound.held]
    sys.stdout.write(f"\n{f'bounds missed: {len(missed)}' if missed else 'all bounds held'}\n")
    return 1 if missed else 0


async def run(plan: Plan, names: Sequence[str]) -> list[Section]:
    """Run variants by name side by side, each with a stand-in, a proxy and clients of its own."""
    return list(await asyncio.gather(*(soak(plan, VARIANTS[name]) for name in names)))


async def soak(plan: Plan, variant: Variant) -> Section:
    """Run one variant and judge it."""
    # Questions are asked as they are: with what the series engine needs of these the limit would not be reached.
    settings = {
        "UPSTREAM__RATE_PER_S": f"{plan.limit_per_s * variant.rate:g}",
        "SERIES__ENABLED": "false",
        **variant.settings,
    }
    runs = -(-plan.questions // len(NAMES))
    async with servers(runs=runs, limit_per_s=plan.limit_per_s, latency_ms=plan.latency_ms, **settings) as running:
        crowd = Crowd(running.proxy, questions(plan.questions), clients=plan.clients, period_s=plan.period_s)
        samples: list[Sample] = []
        async with aiohttp.ClientSession() as session:
            began_s = time.monotonic()
            watching = asyncio.create_task(_watch(session, running, samples))
            await crowd.poll(plan.seconds)
            watching.cancel()
            await asyncio.wait([watching])
            samples.append(await _sample(session, running))
            counters = await _json(session, f"{running.standin}/_standin/counters")
    return judge(
        Run(
            title=variant.title,
            limit_per_s=plan.limit_per_s,
            told=variant.rate <= 1,
            even=variant.even,
            began_s=began_s,
            seconds=plan.seconds,
            settling_s=plan.settling_s,
            seen=crowd.seen,
            arrived_s=counters["started_s"],
            samples=samples,
        )
    )


async def _watch(session: aiohttp.ClientSession, running: Servers, samples: list[Sample]) -> None:
    while True:
        samples.append(await _sample(session, running))
        await asyncio.sleep(1)


async def _sample(session: aiohttp.ClientSession, running: Servers) -> Sample:
    counters = await _json(session, f"{running.standin}/_standin/counters")
    upstream = (await _json(session, f"{running.proxy}/readyz?verbose"))["upstream"]
    return Sample(
        at_s=time.monotonic(),
        calls=counters["by_path"].get(METRICS, 0),
        refused=counters["rate_limited"],
        pace_per_s=upstream["rate_per_s"],
        waiting=sum(upstream["waiting"].values()),
    )


async def _json(session: aiohttp.ClientSession, url: str) -> dict[str, Any]:
    async with session.get(url) as response:
        document: dict[str, Any] = await response.json()
        return document


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description="Hold the upstream budget to its promises.")
    default = Plan()
    parser.add_argument("--seconds", type=float, metavar="N", help=f"default {default.seconds:g}; the second half is judged")
    parser.add_argument("--latency-ms", type=float, metavar="X", help=f"of the stand-in, default {default.latency_ms:g}")
    parser.add_argument("--only", action="append", choices=VARIANTS, help="one variant; may be given again")
    return parser


if __name__ == "__main__":
    sys.exit(main())
