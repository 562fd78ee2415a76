"""`python -m tests.soak.leases`: the shortcut at full speed while leases end; exit with 1 where a promise is missed."""

import argparse
import asyncio
import re
import sys
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

from proxy.core.access.grants import BEARER_PREFIX
from proxy.standin import GrowthConfig
from proxy.standin.growth import usual_series
from tests.bench.bodies import METRICS_PATH
from tests.bench.exchange import ask, get
from tests.bench.processes import Server, serving
from tests.bench.replay.history import History
from tests.bench.replay.script import Question
from tests.bench.report import Section
from tests.soak.leases.judging import FAILED, OUTCOMES, REFUSED, Judge, Stretch
from tests.soak.leases.load import Client, Target, ways
from tests.soak.leases.past import Past
from tests.soak.leases.reporting import Run, Sample, judge
from tests.soak.leases.truth import Truth
from tests.soak.leases.unrest import ADMIN, READERS, REVOKED, Often, Unrest
from tests.support.ports import held_port

_LINES = 10
_PATIENCE_S = 30.0
_FEWER = 50
_COUNTER = re.compile(
    r"^pluto_proxy_(requests_received|requests|not_modified|token_requests)_total(\{[^}]*\})? (\S+)$", re.MULTILINE
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much is asked. The defaults are what `make soak` does."""

    seconds: float = 600.0
    runs: int = 4
    metrics: int = 3
    ended: int = 2
    history_s: float = 60.0
    often: Often = field(default_factory=Often)
    settled_s: float = 120.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.leases", description="Hold the shortcut to its promises.")
    parser.add_argument("--minutes", type=float, default=Plan().seconds / 60, metavar="N", help="default %(default)g")
    parser.add_argument("--log", type=Path, metavar="FILE", help="where to leave the proxy's log")
    options = parser.parse_args(arguments)
    plan = shortened(Plan(), options.minutes * 60)
    sys.stderr.write(f"asking at full speed for {plan.seconds:g} s ...\n")
    section = asyncio.run(soak(plan, log=options.log))
    missed = [bound for bound in section.bounds if not bound.held]
    sys.stdout.write(f"{section}\n{f'bounds missed: {len(missed)}' if missed else 'all bounds held'}\n")
    return 1 if missed else 0


def shortened(plan: Plan, seconds: float) -> Plan:
    """Return a plan of another length: what is too short for its warm-up is half warm-up."""
    return replace(plan, seconds=seconds, settled_s=min(plan.settled_s, seconds / 2))


async def soak(plan: Plan, *, log: Path | None = None) -> Section:
    """Ask, and judge what was answered. `log`: where the proxy's own log is left."""
    since_s = time.time()
    growth = GrowthConfig(
        live_runs=plan.runs,
        finished_runs=plan.ended,
        metrics=plan.metrics,
        start_s=float(int(since_s)) - plan.history_s,
        history_s=plan.history_s,
        finished_duration_s=700,
        long_series_rows=0,
        uncommon=False,
    )
    history = History(growth, since_s=since_s, until_s=since_s + plan.seconds + 2 * _PATIENCE_S)
    questions = list(_questions(growth))
    truths = [Truth(history, question) for question in questions]
    ended = frozenset(range(growth.first_finished_id, growth.first_finished_id + plan.ended))
    past = Past()
    judging = Judge(past, questions, truths, ended=ended, revoked=REVOKED)
    with TemporaryDirectory(prefix="pluto-proxy-leases-") as name, held_port() as port:
        folder = Path(name)
        unrest = Unrest(folder, past, growth, sorted({question.run for question in questions}), port, plan.often)
        async with _proxy(folder, unrest, port) as proxy:
            targets = [_target(growth, place, question) for place, question in enumerate(questions)]
            clients = await _connected(proxy, targets, past, judging)
            watching = _Watching(proxy, judging)
            noting = asyncio.create_task(watching.run(plan.seconds))
            await unrest.run(proxy, plan.seconds)
            await noting
            await _stop(clients)
            watching.note()
            told = await _told(proxy, unrest)
        if log is not None:
            log.write_text("".join(path.read_text() for path in folder.glob("proxy-*.log")))
    return judge(
        Run(
            title=f"{len(clients)} connections ask {len(questions)} questions; {plan.runs} runs grow, {plan.ended} have ended",
            settled_s=plan.settled_s,
            stretches=watching.stretches,
            samples=watching.samples,
            asked=sum(client.asked for client in clients),
            broken=sum(client.broken for client in clients),
            missed=judging.missed,
            faults=judging.told,
            slowest_refusal_s=judging.slowest_refusal_s,
            outcomes=judging.outcomes,
            judged=sum(truth.judged for truth in truths),
            unjudged=sum(truth.unjudged for truth in truths),
            counted=_counted(judging, watching.stretches, pages=unrest.pages),
            told=told,
            happened={
                "revocations": len(past.revocations),
                "purges": past.purges,
                "rotations of the key": past.rotations,
                "restarts of the upstream": len(past.outages),
            },
        )
    )


def _questions(growth: GrowthConfig) -> "list[Question]":
    live = range(growth.first_live_id, growth.first_live_id + growth.live_runs)
    ended = range(growth.first_finished_id, growth.first_finished_id + growth.finished_runs)
    names = [series.name for series in usual_series(growth)]
    asked = [Question(run=run, name=name, limit=limit) for run in live for name in names for limit in (None, _FEWER)]
    return asked + [Question(run=run, name=name) for run in ended for name in names]


def _target(growth: GrowthConfig, place: int, question: Question) -> Target:
    limit = "" if question.limit is None else f"&limit={question.limit}"
    name = quote(question.name or "", safe="")
    path = f"{METRICS_PATH}?runId={question.run}&projectName={growth.project}&logName={name}{limit}"
    return Target(place=place, run=question.run, path=path)


@asynccontextmanager
async def _proxy(folder: Path, unrest: Unrest, upstream_port: int) -> AsyncIterator[Server]:
    """Run the upstream, and the proxy with more of a budget than it needs: it is another soak that is about that."""
    settings = {
        "PLUTO_API_KEY_FILE": str(unrest.key),
        "PLUTO_PROXY_LISTEN": "127.0.0.1:0",
        "PLUTO_PROXY_CACHE": str(folder / "cache.sqlite"),
        "PLUTO_PROXY_ACCESS__TOKENS_FILE": str(unrest.tokens),
        "PLUTO_PROXY_UPSTREAM": f"http://127.0.0.1:{upstream_port}",
        "PLUTO_PROXY_UPSTREAM__RATE_PER_S": "500",
        "PLUTO_PROXY_UPSTREAM__BURST": "500",
        "PLUTO_PROXY_LOG__FORMAT": "json",
    }
    await unrest.begin()
    try:
        async with serving(folder, "proxy", "serve", cpu=None, **settings) as proxy:
            yield proxy
    finally:
        await unrest.aclose()


async def _connected(proxy: Server, targets: Sequence[Target], past: Past, judging: Judge) -> list[Client]:
    loop, clients = asyncio.get_running_loop(), list[Client]()
    for number, way in enumerate(ways(READERS, REVOKED)):
        made = partial(Client, number, way, f"{BEARER_PREFIX}{way.token}", targets, past, judging)
        _, client = await loop.create_connection(made, "127.0.0.1", proxy.port)
        clients.append(client)
    return clients


async def _stop(clients: Sequence[Client]) -> None:
    for client in clients:
        client.stop()
    async with asyncio.timeout(_PATIENCE_S):
        await asyncio.wait([client.done for client in clients])


class _Watching:
    """Notes what came in each stretch of time, and what the proxy held at the beginning and after each."""

    def __init__(self, proxy: Server, judging: Judge) -> None:
        self._proxy = proxy
        self._judging = judging
        self._began_s = time.monotonic()
        self.stretches: list[Stretch] = []
        self.samples = [_sample(proxy, 0.0)]

    async def run(self, seconds: float) -> None:
        """Note all stretches but the last one, which ends when all is answered."""
        for number in range(1, _LINES):
            await asyncio.sleep(self._began_s + seconds * number / _LINES - time.monotonic())
            self.note()

    def note(self) -> None:
        """Note that a stretch has ended."""
        self.stretches.append(self._judging.stretch)
        self._judging.stretch = Stretch()
        self.samples.append(_sample(self._proxy, time.monotonic() - self._began_s))


def _sample(proxy: Server, at_s: float) -> Sample:
    memory, open_files = proxy.memory_bytes(), Path(f"/proc/{proxy.pid}/fd")
    return Sample(
        at_s=at_s,
        rss_bytes=None if memory is None else memory[0],
        descriptors=None if memory is None else len(list(open_files.iterdir())),
        cpu_s=proxy.cpu_s(),
    )


async def _told(proxy: Server, unrest: Unrest) -> dict[str, float]:
    """Return what the proxy's metrics say of the clients' requests, by the names of `_counted`."""
    unrest.pages += 1
    reply = await ask(proxy.port, get("/metrics", Authorization=f"Bearer {BEARER_PREFIX}{ADMIN}"))
    told: defaultdict[str, float] = defaultdict(float)
    for name, labels, value in _COUNTER.findall(reply.body.decode()):
        of = dict(re.findall(r'(\w+)="([^"]*)"', labels))
        if name == "requests_received":
            told["received"] += float(value)
        elif name == "not_modified":
            told["304"] += float(value)
        elif name == "token_requests" and of["token"] not in {ADMIN, ""} and of["outcome"] != REFUSED:
            # Of those that are refused some had a name when they came.
            told[f"token {of['token']}"] += float(value)
        elif name == "requests":
            told[of["outcome"] if of["outcome"] in OUTCOMES else FAILED] += float(value)
    return dict(told)


def _counted(judging: Judge, stretches: Sequence[Stretch], *, pages: int) -> dict[str, int]:
    statuses = sum((stretch.statuses for stretch in stretches), Counter[int]())
    by_token = {f"token {name}": count for name, count in judging.by_token.items()}
    return {"received": statuses.total() + pages, "304": statuses[304], **judging.outcomes, **by_token}


if __name__ == "__main__":
    sys.exit(main())
