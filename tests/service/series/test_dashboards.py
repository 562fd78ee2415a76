"""A wall of dashboards: many viewers, each with panels of their own taste of the same runs, for a few calls a run."""

import asyncio
import math
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qsl

import aiohttp
from yarl import URL

from proxy.standin import Row, RunStatus, Standin, StandinConfig
from tests.support.world import KEY, METRICS, World, world

RUNS = range(101, 111)
NAMES = ("loss", "lr", "train/acc", "train/loss", "train/grad", "val/acc", "val/loss", "sys/gpu.0")
# Below the 1,000 rows from which on the proxy asks for checks of its own.
ROWS = 640
VIEWERS = 20
PANELS = 12
LIMITS = ("", "500", "1000", "2000")
MOST_CALLS = 3


def finished() -> Standin:
    """Return a stand-in with the runs, ended; their series begin elsewhere and have cadences of their own."""
    standin = Standin(StandinConfig())
    for run in RUNS:
        standin.rows.insert(
            Row(run_id=run, log_name=name, step=run + number + step * (number + 1), value=math.sin(step / 7) * number)
            for number, name in enumerate(NAMES)
            for step in range(ROWS // (1 + number % 3))
        )
        standin.catalogue.change(run, status=RunStatus.COMPLETED)
    return standin


def panel(dice: random.Random, run: int) -> str:
    """Return the raw query of one panel: a metric most of the time, a group or all of the run now and then."""
    asked = {"runId": str(run), "projectName": "demo"}
    what = dice.random()
    if what < 0.8:
        asked["logName"] = dice.choice(NAMES)
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
    for run in dice.sample(RUNS, len(RUNS)):
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
        assert len(seen) == VIEWERS * PANELS * len(RUNS)
        assert set(calls) == set(map(str, RUNS))
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
