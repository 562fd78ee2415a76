"""`python -m tests.soak.live`: live runs watched within the proxy's default budget; exit with 1 where a promise is missed."""

import argparse
import asyncio
import json
import re
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from proxy.standin import GrowthConfig
from tests.bench.looking import body_of, delayed_s, metrics_of
from tests.bench.processes import Server, serving
from tests.bench.replay.contest import judged
from tests.bench.replay.history import History
from tests.bench.replay.judge import Promise
from tests.bench.report import Section
from tests.soak.live.judging import STALL_S, Run, Sample, judge
from tests.soak.live.viewers import Audience, walls
from tests.support.world import KEY

# upstream.rate_per_s and burst, as they are by default.
_RATE_PER_S, _BURST = 10.0, 20
_SAMPLE_S = 2.0
# series.rewrite_check_s: how long rows that were written again may be kept as they were.
_REWRITE_CHECK_S = 300.0
_SECOND_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much is watched. The defaults are what `make soak` does."""

    seconds: float = 600.0
    runs: int = 50
    metrics: int = 40
    viewers: int = 2
    """Of each run."""
    period_s: float = 5.0
    """How often each viewer asks for all that it shows."""
    history_s: float = 60.0
    """How long the runs have been growing when it begins, by a row a second."""
    sampled: int = 500
    """How many answers are judged, roughly."""
    warm_s: float = 60.0
    settled_s: float = 120.0

    @property
    def answers(self) -> float:
        """How many answers there will be."""
        return max(1.0, self.seconds / self.period_s) * self.runs * self.metrics * self.viewers


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit status."""
    options = _parser().parse_args(arguments)
    given = {
        name: value for name in ("runs", "metrics", "viewers", "history_s") if (value := getattr(options, name)) is not None
    }
    plan = shortened(replace(Plan(), **given), options.minutes * 60)
    sys.stderr.write(f"watching {plan.runs} live runs for {plan.seconds:g} s ...\n")
    section = asyncio.run(soak(plan, log=options.log))
    missed = [bound for bound in section.bounds if not bound.held]
    sys.stdout.write(f"{section}\n{f'bounds missed: {len(missed)}' if missed else 'all bounds held'}\n")
    return 1 if missed else 0


def shortened(plan: Plan, seconds: float) -> Plan:
    """Return a plan of another length: what is too short for its warm-up is half warm-up."""
    warm_s = min(plan.warm_s, seconds / 2)
    return replace(plan, seconds=seconds, warm_s=warm_s, settled_s=min(plan.settled_s, seconds / 2))


async def soak(plan: Plan, *, log: Path | None = None) -> Section:
    """Watch, and judge what was seen. `log`: where the proxy's own log is left."""
    since_s = time.time()
    growth = GrowthConfig(
        live_runs=plan.runs,
        finished_runs=0,
        metrics=plan.metrics,
        start_s=float(int(since_s)) - plan.history_s,
        history_s=plan.history_s,
        long_series_rows=0,
        uncommon=False,
    )
    with TemporaryDirectory(prefix="pluto-proxy-live-") as folder:
        async with _servers(Path(folder), growth) as (origin, proxy):
            audience = Audience(
                proxy.port, list(walls(growth, plan.viewers)), period_s=plan.period_s, sampled=plan.sampled / plan.answers
            )
            samples: list[Sample] = []
            began_s = time.time()
            watching = asyncio.create_task(_watch(proxy, samples))
            await audience.watch(plan.seconds)
            ended_s = time.time()
            watching.cancel()
            await asyncio.wait([watching])
            samples.append(await _sample(proxy))
            counters = await _counters(origin)
            file_bytes = sum(path.stat().st_size for path in Path(folder).glob("cache.sqlite*"))
        told = "".join(path.read_text() for path in Path(folder).glob("proxy-*.log"))
    if log is not None:
        log.write_text(told)
    history = History(growth, since_s=since_s, until_s=ended_s)
    # Both clocks tell this machine's time: the stand-in's is the one that never steps.
    offset_s = time.time() - time.monotonic()
    return judge(
        Run(
            title=f"{plan.runs} live runs of {plan.metrics} metrics, {plan.viewers} viewers of each, every {plan.period_s:g} s",
            rate_per_s=_RATE_PER_S,
            burst=_BURST,
            began_s=began_s,
            warm_s=began_s + plan.warm_s,
            settled_s=began_s + plan.settled_s,
            ended_s=ended_s,
            seen=audience.seen,
            judged=judged(history, audience.sample, Promise(rewrite_s=_REWRITE_CHECK_S)),
            arrived_s=sorted(at_s + offset_s for at_s in counters["started_s"]),
            refused=counters["rate_limited"],
            samples=samples,
            notes=[_sent(counters, file_bytes), _logged(told)],
        )
    )


@asynccontextmanager
async def _servers(folder: Path, growth: GrowthConfig) -> AsyncIterator[tuple[Server, Server]]:
    """Run the stand-in, which refuses what is beyond the budget, and the proxy as it is by default."""
    settings = {
        "PLUTO_API_KEY": KEY,
        "PLUTO_PROXY_LISTEN": "127.0.0.1:0",
        "PLUTO_PROXY_CACHE": str(folder / "cache.sqlite"),
        "PLUTO_PROXY_LOG__FORMAT": "json",
    }
    limit = (str(_RATE_PER_S), str(_BURST + _RATE_PER_S * STALL_S))
    async with (
        serving(folder, "tests.bench.replay.origin", json.dumps(asdict(growth)), *limit, cpu=None) as origin,
        serving(
            folder, "proxy", "serve", cpu=None, **settings, PLUTO_PROXY_UPSTREAM=f"http://127.0.0.1:{origin.port}"
        ) as proxy,
    ):
        yield origin, proxy


async def _watch(proxy: Server, samples: list[Sample]) -> None:
    while True:
        samples.append(await _sample(proxy))
        await asyncio.sleep(_SAMPLE_S)


async def _sample(proxy: Server) -> Sample:
    told = await metrics_of(proxy)
    memory = proxy.memory_bytes()
    open_files = Path(f"/proc/{proxy.pid}/fd")
    return Sample(
        at_s=time.time(),
        rss_bytes=None if memory is None else memory[0],
        descriptors=len(list(open_files.iterdir())) if memory is not None else None,
        cpu_s=proxy.cpu_s(),
        delayed_s=delayed_s(proxy.pid),
        entries_bytes=told.get('store_bytes{store="memory"}', 0.0),
        series_bytes=told.get("series_bytes", 0.0),
    )


async def _counters(origin: Server) -> dict[str, Any]:
    counters: dict[str, Any] = json.loads(await body_of(origin, "/_standin/counters"))
    return counters


def _sent(counters: dict[str, Any], file_bytes: int) -> str:
    by_route = Counter[str]()
    for path, count in counters["by_path"].items():
        by_route[re.sub(r"/\d+$", "", path.removeprefix("/api/runs/"))] += count
    calls = ", ".join(f"{count:,} {route}" for route, count in by_route.most_common())
    return (
        f"the upstream sent {counters['rows_sent']:,} rows, {counters['bytes_sent'] / 1e6:,.0f} MB: {calls}; "
        f"the cache file has {file_bytes / 2**20:.0f} MiB at the end"
    )


def _logged(told: str) -> str:
    """Count what the proxy logged, by event, without the requests that it tells one by one."""
    events = Counter(str(json.loads(line).get("event")) for line in told.splitlines() if line.startswith("{"))
    return "logged: " + ", ".join(f"{count:,} {event}" for event, count in events.most_common())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.soak.live", description="Watch live runs within the default budget.")
    default = Plan()
    parser.add_argument("--minutes", type=float, default=default.seconds / _SECOND_S, metavar="N", help="default 10")
    parser.add_argument("--runs", type=int, metavar="N", help=f"default {default.runs}")
    parser.add_argument("--metrics", type=int, metavar="N", help=f"of each run, default {default.metrics}")
    parser.add_argument("--viewers", type=int, metavar="N", help=f"of each run, default {default.viewers}")
    parser.add_argument(
        "--history-s", type=float, metavar="X", help=f"how old runs are at first, default {default.history_s:g}"
    )
    parser.add_argument("--log", type=Path, metavar="FILE", help="where to leave the proxy's log")
    return parser


if __name__ == "__main__":
    sys.exit(main())
