"""The page itself in Chromium, on a warm cache: one chart of one run, and one chart of very many.

Timed is what somebody waits for: from the moment that the address is opened until every line of the chart is drawn.
"""

import json
import shutil
import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.async_api import Browser, async_playwright

from tests.bench.charted import NAME, body_of, put, settings_of
from tests.bench.exchange import UnexpectedError
from tests.bench.growing.origin import PROJECT
from tests.bench.growing.series import Series
from tests.bench.looking import body_of as told_by
from tests.bench.processes import Server, pinned, serving
from tests.bench.report import Bound, Section
from tests.bench.world import World
from tests.browser.visitor import Visitor, address

CHROMIUM = shutil.which("chromium")
_MOST_MS = {1: 1_000.0, 200: 3_000.0}
_MEMORY_MIB, _ROUNDS = 256, 5
_COLUMNS = (
    "runs in the chart",
    "rows a run",
    "first visit, ms",
    "drawn, ms: median",
    "longest, ms",
    "calls for metrics meanwhile",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Visits:
    first_ms: float
    again_ms: list[float]
    calls: int


async def measure(world: World) -> Section:
    """Visit, and visit again; the later visits are on a warm cache and in a browser that keeps nothing.

    Browser and proxy have all CPUs, as on anybody's machine: a browser is several processes.
    """
    with pinned(world.placement.server, world.placement.load):
        return await _measure(world)


async def _measure(world: World) -> Section:
    title = "The page in Chromium"
    if CHROMIUM is None:
        return Section(title=title, columns=_COLUMNS, rows=[], bounds=[], notes=["there is no chromium: nothing was measured"])
    runs, rows = world.plan.charted, world.plan.charted_rows
    series = Series(start_s=float(int(time.time())), rows=rows, rows_per_s=1.0)
    cells: list[list[str]] = []
    bounds: list[Bound] = []
    with TemporaryDirectory(dir=world.folder) as folder:
        arguments = ("tests.bench.same_rows", str(runs), json.dumps(asdict(series)))
        async with serving(world.folder, *arguments, cpu=None) as origin:
            settings = settings_of(origin, Path(folder), _MEMORY_MIB)
            await put(settings, body_of(series), runs)
            async with (
                serving(world.folder, "proxy", "serve", cpu=None, **settings, PLUTO_PROXY_LISTEN="127.0.0.1:0") as proxy,
                async_playwright() as playwright,
            ):
                browser = await playwright.chromium.launch(
                    executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
                )
                for count in sorted({1, runs}):
                    visits = await _visits(browser, origin, proxy, count, series)
                    median = statistics.median(visits.again_ms)
                    cells.append(
                        [
                            str(count),
                            f"{rows:,}",
                            f"{visits.first_ms:,.0f}",
                            f"{median:,.0f}",
                            f"{max(visits.again_ms):,.0f}",
                            str(visits.calls),
                        ]
                    )
                    most_ms = _MOST_MS[1 if count == 1 else 200]
                    bounds += [
                        Bound(
                            promise=f"a chart of {count} runs is drawn within {most_ms / 1000:g} s",
                            measured=f"{median / 1000:.2f} s",
                            held=median <= most_ms,
                        ),
                        Bound(
                            promise=f"a visit of {count} runs on a warm cache asks upstream for no metrics",
                            measured=f"{visits.calls} calls",
                            held=visits.calls == 0,
                        ),
                    ]
                await browser.close()
    return Section(title=title, columns=_COLUMNS, rows=cells, bounds=bounds)


async def _visits(browser: Browser, origin: Server, proxy: Server, count: int, series: Series) -> _Visits:
    first_ms = await _visit(browser, proxy, count, series)
    before = await _calls(origin)
    again_ms = [await _visit(browser, proxy, count, series) for _ in range(_ROUNDS)]
    return _Visits(first_ms=first_ms, again_ms=again_ms, calls=await _calls(origin) - before)


async def _visit(browser: Browser, proxy: Server, count: int, series: Series) -> float:
    """Open the address in a browser that has nothing stored. Return the milliseconds until all is drawn."""
    context = await browser.new_context(viewport={"width": 1280, "height": 900})
    visitor = await Visitor.of(context, f"http://127.0.0.1:{proxy.port}")
    runs = ",".join(str(run) for run in range(1, count + 1))
    began_s = time.monotonic()
    await visitor.go(address(project=PROJECT, runs=runs, metric=NAME))
    await visitor.settled()
    elapsed_ms = 1000 * (time.monotonic() - began_s)
    drawn = await visitor.page.evaluate(
        "() => document.querySelector('.plot').drawn.slots().map(({ series }) => [series.state, series.rows])"
    )
    others = [one for one in drawn if one != ["complete", series.rows]]
    if len(drawn) != count or others:
        raise UnexpectedError(f"the chart of {count} runs draws {len(drawn)}, of them {len(others)} not complete: {others[:3]}")
    if faults := await visitor.faults():
        raise UnexpectedError(f"the page says {faults[:3]}")
    await context.close()
    return elapsed_ms


async def _calls(origin: Server) -> int:
    by_path: dict[str, int] = json.loads(await told_by(origin, "/_standin/counters"))["by_path"]
    return by_path.get("/api/runs/metrics", 0)
