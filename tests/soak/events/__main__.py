"""`python -m tests.soak.events`: many clients on live charts by event streams; exit with 1 where a promise is missed."""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

from proxy.standin import GrowthConfig
from proxy.standin.growth import usual_series
from tests.bench.looking import body_of, metrics_of
from tests.bench.processes import Server, serving
from tests.bench.report import Section
from tests.soak.events.judging import BEHIND_S, Memory, Run, judge
from tests.soak.events.listeners import Chart, Client, Listeners
from tests.soak.events.pages import CHROMIUM, looking
from tests.support.world import KEY

_SAMPLE_S = 0.5
_HISTORY_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much is watched. Each client watches charts of `runs_each` runs, `metrics` of each; `pages` of them are pages."""

    seconds: float = 600.0
    clients: int = 50
    pages: int = 2
    runs: int = 10
    metrics: int = 10
    runs_each: int = 3
    alone_s: float = 60.0
    warm_s: float = 20.0
    break_s: float = 20.0
    settling_s: float = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pair:
    """The stand-in and the proxy before it, and what grows there."""

    origin: Server
    proxy: Server
    growth: GrowthConfig

    async def calls(self) -> int:
        """How many calls the upstream was sent."""
        return sum(json.loads(await body_of(self.origin, "/_standin/counters"))["by_path"].values())

    async def memory(self) -> Memory:
        """What the proxy holds."""
        told, memory = await metrics_of(self.proxy), self.proxy.memory_bytes()
        kept = told.get('store_bytes{store="memory"}', 0.0) + told.get("series_bytes", 0.0)
        return Memory(rss_bytes=None if memory is None else memory[0], kept_bytes=kept)

    @property
    def runs(self) -> list[str]:
        """The runs that grow."""
        return [str(self.growth.first_live_id + number) for number in range(self.growth.live_runs)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.events", description="Watch live charts by event streams.")
    parser.add_argument("--minutes", type=float, default=Plan().seconds / 60, metavar="N", help="default %(default)g")
    parser.add_argument("--clients", type=int, default=Plan().clients, metavar="N", help="default %(default)s")
    parser.add_argument("--pages", type=int, default=Plan().pages, metavar="N", help="default %(default)s, in Chromium")
    options = parser.parse_args(arguments)
    if options.pages and CHROMIUM is None:
        parser.error("there is no chromium for the pages (on Debian: apt-get install chromium); --pages 0 goes without")
    plan = replace(Plan(), seconds=options.minutes * 60, clients=options.clients, pages=options.pages)
    sys.stderr.write(f"{plan.clients} clients listen for {plan.seconds:g} s, after {plan.alone_s:g} s of one alone ...\n")
    section = asyncio.run(soak(plan))
    missed = [bound for bound in section.bounds if not bound.held]
    sys.stdout.write(f"{section}\n{f'bounds missed: {len(missed)}' if missed else 'all bounds held'}\n")
    return 1 if missed else 0


async def soak(plan: Plan) -> Section:
    """Listen, and judge what was seen."""
    async with _servers(plan) as pair:
        every = list(product(pair.runs, _names(pair.growth)))
        alone = Listeners(pair.proxy.port, [Client(number=0, charts=every)], project=pair.growth.project, break_s=1e9)
        alone_per_s, _ = await _measured(pair, alone, plan.alone_s, warm_s=plan.warm_s, settling_s=0)
    async with _servers(plan) as pair:
        clients = [Client(number=number, charts=_charts(plan, pair, number)) for number in range(plan.clients)]
        pages, others = clients[: plan.pages], clients[plan.pages :]
        listeners = Listeners(pair.proxy.port, others, project=pair.growth.project, break_s=plan.break_s)
        behind: list[float] = []
        sampling = asyncio.create_task(_sample(clients, pair.growth, behind))
        cpu_s, began_s = pair.proxy.cpu_s(), time.monotonic()
        async with looking(f"http://127.0.0.1:{pair.proxy.port}", pages, project=pair.growth.project):
            calls_per_s, before = await _measured(pair, listeners, plan.seconds, warm_s=plan.warm_s, settling_s=plan.settling_s)
        lost = _lost(clients, pair.growth)
        used_s, after = pair.proxy.cpu_s(), await pair.memory()
        sampling.cancel()
        charts = plan.runs_each * plan.metrics
        return judge(
            Run(
                title=f"{plan.clients} clients, {plan.pages} of them pages, on {charts} live charts each, of {plan.runs} runs",
                alone_per_s=alone_per_s,
                calls_per_s=calls_per_s,
                clients=clients,
                behind_s=behind,
                lost=lost,
                before=before,
                after=after,
                cpu=None if cpu_s is None or used_s is None else (used_s - cpu_s) / (time.monotonic() - began_s),
            )
        )


async def _measured(
    pair: _Pair, listeners: Listeners, seconds: float, *, warm_s: float, settling_s: float
) -> tuple[float, Memory]:
    """Listen. Return the calls a second after the warm-up, and what the proxy held then."""
    listening = asyncio.create_task(listeners.listen(warm_s + seconds, settling_s=settling_s))
    await asyncio.sleep(warm_s)
    first, memory, began_s = await pair.calls(), await pair.memory(), time.monotonic()
    await listening
    return (await pair.calls() - first) / (time.monotonic() - began_s), memory


def _lost(clients: Sequence[Client], growth: GrowthConfig) -> list[str]:
    """Return the charts whose last step a client should have been told of by now, and wasn't."""
    now_step = time.time() - (growth.start_s or 0.0)
    return [
        f"client {client.number}: {chart} through {client.shown.get(chart)}"
        for client in clients
        for chart in client.charts
        if client.shown.get(chart, 0) < now_step - BEHIND_S
    ]


async def _sample(clients: Sequence[Client], growth: GrowthConfig, behind: list[float]) -> None:
    """Note again and again how far the charts of streams that are open for a while are behind."""
    assert growth.start_s is not None
    while True:
        await asyncio.sleep(_SAMPLE_S)
        now_step = time.time() - growth.start_s
        for client in clients:
            if client.connected_s is not None and time.monotonic() - client.connected_s > 2 * _SAMPLE_S:
                behind.extend(now_step - through for through in client.shown.values())


def _names(growth: GrowthConfig) -> list[str]:
    return [series.name for series in usual_series(growth)]


def _charts(plan: Plan, pair: _Pair, number: int) -> list[Chart]:
    runs = [pair.runs[(number + place) % plan.runs] for place in range(plan.runs_each)]
    return list(product(runs, _names(pair.growth)))


@asynccontextmanager
async def _servers(plan: Plan) -> AsyncIterator[_Pair]:
    growth = GrowthConfig(
        live_runs=plan.runs,
        finished_runs=0,
        metrics=plan.metrics,
        start_s=float(int(time.time())) - _HISTORY_S,
        history_s=_HISTORY_S,
        long_series_rows=0,
        uncommon=False,
    )
    with TemporaryDirectory(prefix="pluto-proxy-events-") as name:
        folder = Path(name)
        settings = {
            "PLUTO_API_KEY": KEY,
            "PLUTO_PROXY_LISTEN": "127.0.0.1:0",
            "PLUTO_PROXY_CACHE": str(folder / "cache.sqlite"),
            "PLUTO_PROXY_LOG__FORMAT": "json",
        }
        async with (
            serving(folder, "tests.bench.replay.origin", json.dumps(asdict(growth)), cpu=None) as origin,
            serving(
                folder, "proxy", "serve", cpu=None, **settings, PLUTO_PROXY_UPSTREAM=f"http://127.0.0.1:{origin.port}"
            ) as proxy,
        ):
            yield _Pair(origin=origin, proxy=proxy, growth=growth)


if __name__ == "__main__":
    sys.exit(main())
