"""Dashboards: many viewers with many panels each of the same runs cost few calls a run, and get right answers."""

import asyncio
import math
import random
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qsl

import aiohttp
import pytest
from yarl import URL

from proxy.clock import SystemClock
from proxy.standin import Fault, Row, RunStatus, Standin, StandinConfig
from tests.support.oracle import OracleRow
from tests.support.oracle_upstream import right, row, series_world, target
from tests.support.world import KEY, METRICS, World, world

WALL_RUNS = range(101, 111)
WALL_NAMES = ("loss", "lr", "train/acc", "train/loss", "train/grad", "val/acc", "val/loss", "sys/gpu.0")
# Below the 1,000 rows from which on the proxy asks for checks of its own.
WALL_ROWS = 640
VIEWERS = 20
PANELS = 12
LIMITS = ("", "500", "1000", "2000")
MOST_CALLS = 3

RUNS = range(101, 109)
NAMES = [f"m{number}" for number in range(8)]


def finished() -> Standin:
    """Return a stand-in with the runs, ended; their series begin elsewhere and have cadences of their own."""
    standin = Standin(StandinConfig())
    for run in WALL_RUNS:
        standin.rows.insert(
            Row(run_id=run, log_name=name, step=run + number + step * (number + 1), value=math.sin(step / 7) * number)
            for number, name in enumerate(WALL_NAMES)
            for step in range(WALL_ROWS // (1 + number % 3))
        )
        standin.catalogue.change(run, status=RunStatus.COMPLETED)
    return standin


def panel(dice: random.Random, run: int) -> str:
    """Return the raw query of one panel: a metric most of the time, a group or all of the run now and then."""
    asked = {"runId": str(run), "projectName": "demo"}
    what = dice.random()
    if what < 0.8:
        asked["logName"] = dice.choice(WALL_NAMES)
    elif what < 0.9:
        asked["logGroup"] = dice.choice(("train", "val", "sys", "none"))
    if limit := dice.choice(LIMITS):
        asked["limit"] = limit
    if dice.random() < 0.4:
        first = dice.randrange(4000)
        asked["stepMin"] = str(first)
        if dice.random() < 0.5:
            asked["stepMax"] = str(first + dice.randrange(3000))
    pairs = list(asked.items())
    dice.shuffle(pairs)
    return "&".join(f"{name}={value}" for name, value in pairs)


async def look(running: World, dice: random.Random) -> list[tuple[str, bytes]]:
    """Be a viewer: open one run after the other, in an order of one's own, all panels of each at once."""
    seen: list[tuple[str, bytes]] = []
    for run in dice.sample(WALL_RUNS, len(WALL_RUNS)):
        queries = [panel(dice, run) for _ in range(PANELS)]
        for query, reply in zip(
            queries, await asyncio.gather(*(running.get(f"{METRICS}?{query}") for query in queries)), strict=True
        ):
            assert reply.status == 200
            seen.append((query, reply.body))
    return seen


def runs_called(standin: Standin) -> Iterator[str]:
    """Yield the run of every metrics and details call, however it came about."""
    for call in standin.counters.calls:
        if call.path == METRICS:
            yield dict(parse_qsl(call.query or ""))["runId"]
        elif "/details/" in call.path:
            yield call.path.rpartition("/")[2]


async def test_a_wall_of_viewers(tmp_path: Path) -> None:
    """Each of 2,400 answers is the upstream's own, and no run costs more than three calls within one lifetime."""
    standin = finished()
    async with world(tmp_path, standin=standin, series__enabled="true", series__shadow_s=0) as running:
        viewers = [random.Random(number) for number in range(VIEWERS)]  # noqa: S311 -- the same wall every time
        seen = [each for viewer in await asyncio.gather(*(look(running, dice) for dice in viewers)) for each in viewer]
        calls = Counter(runs_called(standin))
        assert len(seen) == VIEWERS * PANELS * len(WALL_RUNS)
        assert set(calls) == set(map(str, WALL_RUNS))
        assert max(calls.values()) <= MOST_CALLS, calls
        said = await told(running, {query for query, _ in seen})
        assert not [query for query, body in seen if body != said[query]]


async def told(running: World, queries: set[str]) -> dict[str, bytes]:
    """Ask the upstream itself."""
    headers = {"Authorization": f"Bearer {KEY}"}
    said: dict[str, bytes] = {}
    async with aiohttp.ClientSession(headers=headers) as session:
        for query in queries:
            async with session.get(URL(f"{running.upstream}{METRICS}?{query}", encoded=True)) as response:
                assert response.status == 200
                said[query] = await response.read()
    return said


async def test_many_runs_at_once_cost_few_calls_each(tmp_path: Path) -> None:
    """Their sizes are waited for as long as the line is, which any other question would have to stand in as well."""
    standin = Standin(StandinConfig())
    standin.rows.insert(
        Row(run_id=run, log_name=name, step=step, value=step) for run in RUNS for name in NAMES for step in range(9)
    )
    async with world(
        tmp_path,
        standin=standin,
        system_clock=SystemClock(),
        series__enabled="true",
        series__shadow_s=0,
        freshness__stale_wait_s=0.4,
        upstream__rate_per_s=16,
        upstream__burst=1,
        upstream__max_concurrency=8,
    ) as running:
        targets = [f"{METRICS}?runId={run}&projectName=demo&logName={name}" for run in RUNS for name in NAMES]
        replies = await asyncio.gather(*map(running.get, targets))
        assert {reply.status for reply in replies} == {200}
        calls = Counter(runs_called(standin))
        assert set(calls) == set(map(str, RUNS))
        assert max(calls.values()) <= 3, calls


async def test_a_size_that_comes_late_is_used_at_once(tmp_path: Path) -> None:
    """Who didn't wait for it any more asks for a single metric, the next one for the whole run."""
    gate = asyncio.Event()
    standin = Standin(StandinConfig())
    standin.rows.insert(Row(run_id=101, log_name=name, step=step, value=step) for name in NAMES for step in range(9))
    standin.faults.add(Fault(path="/api/runs/details/101", gate=gate))
    async with world(
        tmp_path, standin=standin, series__enabled="true", series__shadow_s=0, freshness__stale_wait_s=0.05
    ) as running:
        for name in NAMES[:2]:
            await running.get(f"{METRICS}?runId=101&projectName=demo&logName={name}")
        assert running.metrics_calls == 2
        gate.set()
        await running.settled()
        for name in NAMES[2:]:
            await running.get(f"{METRICS}?runId=101&projectName=demo&logName={name}")
        assert running.metrics_calls == 3
        assert standin.counters.by_path["/api/runs/details/101"] == 1


def logged(steps: Iterable[int]) -> Iterator[OracleRow]:
    """Yield rows of all names, ten seconds from step to step."""
    begun = datetime(2026, 1, 1)  # noqa: DTZ001 -- as the upstream prints it
    return (row(name, step, time=f"{begun + timedelta(seconds=10 * step)}") for name in NAMES for step in steps)


@pytest.mark.parametrize(("max_bytes", "calls"), [(9_000, [2, 1]), (4_500, [9, 8])])
async def test_what_is_new_of_series_kept_one_by_one_comes_at_once(tmp_path: Path, max_bytes: int, calls: list[int]) -> None:
    """Of a run that is too large to be asked for as a whole; where that is too much they are asked for one by one again."""
    async with series_world(tmp_path, series__max_fetch_bytes=max_bytes) as (running, upstream):
        upstream.put(logged(range(40)))
        for name in NAMES:
            await right(running, upstream, f"logName={name}")
        # The second of them found out that the whole is too much, and was asked for as it came: in full only now.
        assert upstream.metrics_calls == len(NAMES) + 1
        for number, most in enumerate(calls):
            upstream.put(logged([40 + number]))
            running.advance(6)
            before = upstream.metrics_calls
            for name in NAMES:
                await running.get(target(f"logName={name}"))
            await running.settled()
            assert upstream.metrics_calls - before == most
            for name in NAMES:
                await right(running, upstream, f"logName={name}")
            assert upstream.metrics_calls - before == most
