"""What charts cost: `/view/series` of one run and of very many, beside `/api/runs/metrics`, and beside numpy on the same rows.

The series are put into the cache file beforehand: to load them from the upstream would take longer than all the rest. Nothing
is asked upstream meanwhile.
"""

import asyncio
import json
import os
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import repeat
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.charted import NAME, body_of, put, settings_of
from tests.bench.exchange import Asking, UnexpectedError, connected, get
from tests.bench.growing.origin import PROJECT
from tests.bench.growing.series import Series
from tests.bench.looking import metrics_of
from tests.bench.processes import Server, serving
from tests.bench.report import Bound, Section
from tests.bench.world import World

_MOST_MS = 3_000.0
_POINTS, _SMOOTH, _SMOOTHED_RUNS, _LIMIT = 1_000, 50, 10, 2_000
_TOGETHER = 8
_DEFAULT_MIB, _LARGE_MIB = 256, 2_048
_COLUMNS = ("asked of", "series", "series.memory_bytes, MiB", "first, ms", "again, ms: median", "body, MB", "bytes a row held")
_METRICS = f"/api/runs/metrics?runId=1&projectName={PROJECT}&logName={NAME}&limit={_LIMIT}"
# Reads an answer as a client does, and reduces its rows to as many buckets as the view has.
_NUMPY = """
import json, sys, time
import numpy
text = open(sys.argv[1], "rb").read()
begun = time.perf_counter()
rows = json.loads(text)["metrics"]
steps, values = numpy.array([row["step"] for row in rows]), numpy.array([row["value"] for row in rows])
read = time.perf_counter()
width = int(sys.argv[2])
_, starts, counts = numpy.unique(steps // width, return_index=True, return_counts=True)
least, greatest = numpy.minimum.reduceat(values, starts), numpy.maximum.reduceat(values, starts)
means = numpy.add.reduceat(values, starts) / counts
print(1000 * (read - begun), 1000 * (time.perf_counter() - read), len(starts), least.min(), greatest.max())
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Timed:
    """The first answer and those after it: milliseconds, and the bytes of a body."""

    first_ms: float
    again_ms: float
    body: bytes


async def measure(world: World) -> Section:
    """Measure with much memory for series, and with little, so that most rows are on disk alone."""
    runs, series = world.plan.charted, Series(start_s=float(int(time.time())), rows=world.plan.charted_rows, rows_per_s=1.0)
    rows: list[list[str]] = []
    bounds: list[Bound] = []
    with TemporaryDirectory(dir=world.folder) as folder:
        body = body_of(series)
        (Path(folder) / "rows.json").write_bytes(body)
        arguments = ("tests.bench.same_rows", str(runs), json.dumps(asdict(series)))
        async with serving(world.folder, *arguments, cpu=world.placement.load) as origin:
            for mib in (_LARGE_MIB, _DEFAULT_MIB):
                settings = settings_of(origin, Path(folder) / str(mib), mib)
                await put(settings, body, runs)
                async with world.another_proxy(origin, **settings) as proxy:
                    cells, held = await _measure(world, proxy, mib, series)
                rows += cells
                bounds += held
        notes = await _beside_numpy(Path(folder) / "rows.json", series)
    title = f"Views: series of {series.rows:,} rows in {_POINTS:,} buckets at most"
    return Section(title=title, columns=_COLUMNS, rows=rows, bounds=bounds, notes=notes)


async def _measure(world: World, proxy: Server, mib: int, series: Series) -> tuple[list[list[str]], list[Bound]]:
    runs, rounds = world.plan.charted, world.plan.rounds
    some = min(_SMOOTHED_RUNS, runs)
    asked = {
        ("/view/series", 1): _view(1),
        (f"/api/runs/metrics, limit={_LIMIT}", 1): _METRICS,
        ("/view/series", runs): _view(*range(1, runs + 1)),
        ("/view/series, zstd", runs): _view(*range(1, runs + 1)),
        (f"/view/series, smooth={_SMOOTH}", some): _view(*range(1, some + 1), smooth=_SMOOTH),
        (f"/view/series, smooth={_SMOOTH}, points=20000", 1): _view(1, smooth=_SMOOTH, points=20_000),
    }
    cells: list[list[str]] = []
    bounds: list[Bound] = []
    for (what, count), target in asked.items():
        # Very many series are first looked at as a page does it.
        first = [_view(*range(run, min(run + _TOGETHER, runs + 1))) for run in range(1, runs + 1, _TOGETHER)]
        begin = first if what == "/view/series" and count == runs else [target]
        timed = await _ask(proxy, begin, target, rounds, coding="zstd" if "zstd" in what else "identity")
        if "zstd" not in what and what.startswith("/view"):
            _check(timed.body, count, series)
        held = (await metrics_of(proxy)).get("view_bytes", 0.0)
        cells.append(
            [
                what,
                str(count),
                str(mib),
                f"{timed.first_ms:,.1f}",
                f"{timed.again_ms:,.1f}",
                f"{len(timed.body) / 1e6:.2f}",
                f"{held / (runs * series.rows):.2f}",
            ]
        )
        if count > 1 and "zstd" not in what:
            ms = timed.first_ms if "smooth" in what else timed.again_ms
            promise = f"{what} of {count} series, {mib} MiB: at most {_MOST_MS / 1000:g} s"
            bounds.append(Bound(promise=promise, measured=f"{ms / 1000:.2f} s", held=ms <= _MOST_MS))
    return cells, bounds


def _view(*runs: int, smooth: int = 0, points: int = _POINTS) -> str:
    named = "&".join(f"run={run}" for run in runs)
    return f"/view/series?project={PROJECT}&metric={NAME}&points={points}&smooth={smooth}&{named}"


async def _ask(proxy: Server, begin: Sequence[str], target: str, rounds: int, *, coding: str) -> _Timed:
    """Ask what is to be asked at the beginning, and then for a target again and again."""
    times_ms: list[float] = []
    async with connected(proxy.port, Asking()) as (asking,):
        for one in [*begin, *repeat(target, rounds)]:
            reply = await asking.ask(get(one, Accept_Encoding=coding))
            if reply.status != 200:
                raise UnexpectedError(f"{one[:200]}: {reply.status} {reply.body[:500]!r}")
            times_ms.append(1000 * reply.elapsed_s)
    return _Timed(first_ms=sum(times_ms[:-rounds]), again_ms=statistics.median(times_ms[-rounds:]), body=reply.body)


def _check(body: bytes, count: int, series: Series) -> None:
    """Raise UnexpectedError unless a view is of all rows of so many series."""
    told = json.loads(body)["series"]
    others = [{**one, "columns": None} for one in told if one["state"] != "complete" or one["rows"] != series.rows]
    if len(told) != count or others:
        raise UnexpectedError(f"{len(others)} of {len(told)} series are not complete: {others[:3]}")
    if any(sum(one["columns"]["count"]) != series.rows for one in told):
        raise UnexpectedError("the buckets don't have all rows")


async def _beside_numpy(path: Path, series: Series) -> list[str]:
    width = 1 << max(0, (series.rows - 1) // _POINTS).bit_length()
    process = await asyncio.create_subprocess_exec(
        os.environ.get("BENCH_NUMPY", sys.executable),
        "-c",
        _NUMPY,
        str(path),
        str(width),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    told = (await process.communicate())[0].split()
    if process.returncode:
        return ["numpy isn't there (the variable BENCH_NUMPY may name a Python that has it): nothing is compared with it"]
    return [
        f"numpy on the same rows of one series: {float(told[0]):.1f} ms to read them, {float(told[1]):.1f} ms to reduce them"
    ]
