"""From the explorer to charts with the right values."""

import math
from collections.abc import Awaitable, Callable

import pytest

from proxy.standin import Standin, StandinConfig
from tests.browser.conftest import Serve
from tests.browser.oracle import agrees, buckets, rows_of
from tests.browser.visitor import Visitor, address
from tests.support.world import METRICS, World

MINUS, NOTHING = "\u2212", "\u2013"
Visit = Callable[..., Awaitable[Visitor]]


def waves(count: int, *, phase: float = 0.0) -> list[float]:
    return [round(math.sin(step / 50 + phase) + step / count, 6) for step in range(count)]


def standin_with(*series: tuple[int, str, list[float]]) -> Standin:
    standin = Standin(StandinConfig())
    for run, name, values in series:
        standin.rows.insert(rows_of(run, name, values))
    return standin


async def open_chart(visit: Visit, running: World, **view: object) -> Visitor:
    visitor = await visit(running.url, address(**{"project": "demo", **view}))
    await visitor.settled()
    return visitor


async def loaded(running: World, question: str) -> None:
    """Ask for a long series until the proxy has fetched all of it, as it does for those that are asked for again and again."""
    for limit in range(10_000, 9_900, -1):
        reply = await running.get(f"{METRICS}?{question}&limit={limit}")
        if "X-Pluto-Complete-Through" in reply.headers:
            return
        await running.settled()
    pytest.fail("it was not loaded")


async def test_from_the_explorer_to_a_chart(serve: Serve, visit: Visit) -> None:
    """A project is chosen, a run, a metric; the chart has every row of it."""
    values = waves(800)
    standin = standin_with((7, "train/loss", values), (8, "other", [1.0]))
    standin.rows.insert(rows_of(9, "elsewhere", [1.0], project="zoo"))
    running = await serve(standin)
    visitor = await visit(running.url)
    page = visitor.page
    await page.get_by_label("Project").select_option("demo")
    for name in ("Clear runs", "Clear metrics"):
        await page.get_by_role("button", name=name).click()
    assert await page.get_by_role("heading", name="Nothing chosen").is_visible()
    await page.locator(".runs input[value='7']").check()
    await page.get_by_role("searchbox", name="Search metrics").fill("loss")
    await page.get_by_role("checkbox", name="loss").check()
    await visitor.settled()
    chart = visitor.chart()
    assert await chart.points() == list(enumerate(values))
    assert agrees(await chart.columns(), buckets(values, 1))
    await visitor.until("() => document.querySelector('.words').innerText.includes('Complete through step 799')")
    assert "800 rows, each one drawn" in await chart.words()


async def test_buckets_on_the_grid(serve: Serve, visit: Visit) -> None:
    """Of more rows than a chart has room for it draws buckets: the mean as the line, least and greatest behind it."""
    values = waves(5000)
    running = await serve(standin_with((7, "loss", values)))
    visitor = await open_chart(visit, running, runs=7, metric="loss")
    chart = visitor.chart()
    drawn = await chart.drawn()
    assert drawn["slots"][0]["series"]["width"] == 8
    wanted = buckets(values, 8)
    assert agrees(await chart.columns(), wanted)
    assert [y for _, y in await chart.points()] == pytest.approx([bucket.mean for bucket in wanted])
    assert drawn["y"][0] <= min(values)
    assert drawn["y"][1] >= max(values)


async def test_a_zoom_asks_for_finer_data(serve: Serve, visit: Visit) -> None:
    """Dragging shows a window with all its rows; a double click shows everything again; so does the browser's back button."""
    values = waves(5000)
    running = await serve(standin_with((7, "loss", values)))
    visitor = await open_chart(visit, running, runs=7, metric="loss")
    chart = visitor.chart()
    await chart.drag(0.4, 0.5)
    await visitor.until("() => document.querySelector('.plot').drawn.slots()[0].series.width === 1")
    drawn = await chart.drawn()
    low, high = map(int, drawn["x"])
    assert (low, high) == pytest.approx((2000, 2500), abs=10)
    steps = (await chart.columns())["step"]
    assert steps[0] <= low
    assert steps[-1] >= high
    assert agrees(await chart.columns(), buckets(values[steps[0] : steps[-1] + 1], 1, first=steps[0]))
    assert f"from={low}" in visitor.page.url
    await visitor.page.locator(".u-over").dblclick()
    await visitor.until("() => document.querySelector('.plot').drawn.slots()[0].series.width === 8")
    assert (await chart.drawn())["x"] == [0, 4999]
    await visitor.page.go_back()
    await visitor.until("() => document.querySelector('.plot').drawn.slots()[0].series.width === 1")


async def test_a_spike_is_visible_at_every_zoom(serve: Serve, visit: Visit) -> None:
    """One row of 100,000 sticks out: there are pixels of it where it is, in the upper part where nothing else is."""
    values = [0.5 + step % 7 / 100 for step in range(100_000)]
    values[12_345] = 40.0
    running = await serve(standin_with((7, "loss", values)))
    await loaded(running, "runId=7&projectName=demo&logName=loss")
    visitor = await open_chart(visit, running, runs=7, metric="loss")
    chart = visitor.chart()
    assert "Complete through step 99,999" in await chart.words()
    for low, high in ((0, 99_999), (0, 49_999), (10_000, 15_000), (12_000, 12_600), (12_300, 12_400)):
        await visitor.go(address(project="demo", runs=7, metric="loss", **{"from": low, "to": high}))
        await visitor.settled()
        drawn = await chart.drawn()
        assert drawn["y"][1] >= 40
        at = (12_345 - low) / (high - low)
        assert await chart.coloured(at - 0.02, 0.1, at + 0.02, 0.8) > 0
        assert await chart.coloured(0, 0.1, at - 0.05, 0.8) == 0
        assert max(value for value in (await chart.columns())["max"] if value is not None) == 40


async def test_nan_and_infinity_are_marked_and_counted(serve: Serve, visit: Visit) -> None:
    """They are gaps of the line and marks on the chart, and are told in the legend and under the chart."""
    values = [1.0 + step / 100 for step in range(100)]
    values[20], values[50], values[51], values[80] = math.nan, math.inf, math.inf, -math.inf
    running = await serve(standin_with((7, "loss", values)))
    visitor = await open_chart(visit, running, runs=7, metric="loss")
    chart = visitor.chart()
    assert await chart.points() == [(step, value) for step, value in enumerate(values) if math.isfinite(value)]
    assert f"1 NaN, 2 Inf, 1 {MINUS}Inf" in await chart.words()
    nan, inf, negative = 20 / 99, 50.5 / 99, 80 / 99
    assert await chart.coloured(nan - 0.01, 0.93, nan + 0.01, 1) > 5
    assert await chart.coloured(inf - 0.015, 0, inf + 0.015, 0.04) > 5
    assert await chart.coloured(negative - 0.01, 0.95, negative + 0.01, 1) > 5
    await chart.point_at(nan)
    await visitor.until("() => document.querySelector('.legend thead').innerText.includes('Step 20')")
    assert (await chart.legend())[0][1] == "1 NaN"


async def test_two_runs_compared(serve: Serve, visit: Visit) -> None:
    """Both are in one chart with colours of their own; the pointer reads both at its step."""
    one, other = waves(300), waves(200, phase=1)
    running = await serve(standin_with((7, "loss", one), (8, "loss", other)))
    visitor = await open_chart(visit, running, runs="7,8", metric="loss")
    chart = visitor.chart()
    assert await chart.points(1) == list(enumerate(one))
    assert await chart.points(2) == list(enumerate(other))
    await chart.point_at(100 / 299)
    await visitor.until("() => document.querySelector('.legend thead').innerText.includes('Step 100')")
    legend = await chart.legend()
    assert [float(row[1].replace(MINUS, "-")) for row in legend] == pytest.approx([one[100], other[100]], rel=1e-4)
    colours = await chart.card.locator(".legend .swatch").evaluate_all("(all) => all.map((one) => one.style.background)")
    assert len(set(colours)) == 2
    await chart.point_at(250 / 299)
    await visitor.until("() => document.querySelector('.legend thead').innerText.includes('Step 250')")
    assert (await chart.legend())[1][1] == NOTHING


async def test_smoothing_before_reducing(serve: Serve, visit: Visit) -> None:
    """The smoothed line is that of all rows, the raw one stays behind it."""
    values = waves(3000)
    running = await serve(standin_with((7, "loss", values)))
    visitor = await open_chart(visit, running, runs=7, metric="loss", smooth=20)
    chart = visitor.chart()
    smoothed = [y for _, y in await chart.points(2)]
    weight = total = 0.0
    wanted = []
    for step, value in enumerate(values):
        weight, total = weight * math.exp(-1 / 20) + 1, total * math.exp(-1 / 20) + value
        if step % 4 == 3:
            wanted.append(total / weight)
    assert smoothed == pytest.approx(wanted, rel=1e-9)
    assert [y for _, y in await chart.points(1)] == pytest.approx([bucket.mean for bucket in buckets(values, 4)])


async def test_two_hundred_runs(serve: Serve, visit: Visit) -> None:
    """All are in one chart; they are asked for in several requests, so that the first are drawn early."""
    standin = standin_with(*((run, "loss", waves(50, phase=run)) for run in range(1, 201)))
    running = await serve(standin)
    visitor = await open_chart(visit, running, runs=",".join(map(str, range(1, 201))), metric="loss")
    drawn = await visitor.chart().drawn()
    assert len(drawn["data"]) == 201
    assert all(sum(value is not None for value in column) == 50 for column in drawn["data"][1:])
    assert len(visitor.asked("/view/series")) == 25


async def test_over_time_and_on_a_logarithmic_scale(serve: Serve, visit: Visit) -> None:
    """The x axis counts seconds; a zoom over time asks for its steps; what isn't above 0 has no place."""
    values = [float(step - 10) for step in range(4000)]
    running = await serve(standin_with((7, "loss", values)))
    visitor = await open_chart(visit, running, runs=7, metric="loss", x="time", log=1)
    chart = visitor.chart()
    start = 1_767_225_600
    assert (await chart.drawn())["x"] == [start, start + 3999 // 4 * 4]
    assert all(y > 0 for _, y in await chart.points())
    await chart.drag(0.5, 0.6)
    await visitor.until("() => document.querySelector('.plot').drawn.slots()[0].series.width === 1")
    low, high = (await chart.drawn())["x"]
    times = (await chart.columns())["time"]
    assert times[0] <= low
    assert times[-1] >= high
    assert len(times) < 1000


async def test_metrics_overlaid(serve: Serve, visit: Visit) -> None:
    """All metrics of all runs share a chart, each with a colour of its own."""
    names = ["loss", "accuracy"]
    running = await serve(standin_with(*((run, name, waves(50, phase=run)) for run in (7, 8) for name in names)))
    visitor = await open_chart(visit, running, runs="7,8", metric=names, overlay=1)
    assert await visitor.page.locator(".card:has(.plot)").count() == 1
    chart = visitor.chart()
    assert len((await chart.drawn())["data"]) == 5
    colours = await chart.card.locator(".legend .swatch").evaluate_all("(all) => all.map((one) => one.style.background)")
    assert len(set(colours)) == 4
