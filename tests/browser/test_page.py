"""The page as a whole: links, names of all kinds, the keyboard, narrow screens, what is saved and copied, purging."""

import csv
from collections.abc import Awaitable, Callable
from pathlib import Path

from proxy.standin import Standin, StandinConfig
from tests.browser.conftest import Serve
from tests.browser.oracle import rows_of
from tests.browser.visitor import Visitor, address

Visit = Callable[..., Awaitable[Visitor]]
HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "\"'`${1}\\",
    "\u202egnp.exe",
    "a/../b&run=9#x?y=%00",
    "x" * 300,
    "größe/🎉",
]


def standin_with(*names: str, project: str = "demo") -> Standin:
    standin = Standin(StandinConfig())
    for number, name in enumerate(names):
        standin.rows.insert(rows_of(7, name, [number + step / 100 for step in range(100)], project=project))
    return standin


async def test_a_link_restores_the_view(serve: Serve, visit: Visit) -> None:
    """Everything that is chosen stands in the address; who opens it sees the same."""
    running = await serve(standin_with("train/loss", "acc"))
    visitor = await visit(running.url, address(project="demo", runs=7, metric="train/loss"))
    await visitor.settled()
    page = visitor.page
    await page.get_by_role("checkbox", name="acc").check()
    await page.get_by_label("Log").check()
    await page.get_by_role("button", name="last").click()
    await page.get_by_label("Smoothing").fill("4")
    await page.get_by_label("Min–max").uncheck()  # noqa: RUF001 -- as it is written there
    await visitor.settled()
    await visitor.chart().drag(0.2, 0.5)
    await visitor.until("() => location.hash.includes('from=')")
    await visitor.settled()
    drawn = await visitor.chart().drawn()
    other = await visit(page.url.replace("/#", "#").split("#")[0], "#" + page.url.split("#")[1])
    await other.settled()
    await other.until(
        "(x) => JSON.stringify(document.querySelector('.plot').drawn.chart.scales.x.min) === String(x)", drawn["x"][0]
    )
    again = await other.chart().drawn()
    assert (again["x"], again["y"], again["data"]) == (drawn["x"], drawn["y"], drawn["data"])
    assert await other.page.get_by_label("Log").is_checked()
    assert await other.page.locator(".card:has(.plot)").count() == 2
    assert await other.page.locator(".smoothing output").inner_text() == "10 steps"


async def test_hostile_names_are_text(serve: Serve, visit: Visit) -> None:
    """Whatever the names of projects, runs and metrics hold, it is shown as text, and leads to the right series."""
    project = HOSTILE[0]
    standin = standin_with(*HOSTILE, project=project)
    standin.catalogue.change(7, name=HOSTILE[0], tags=HOSTILE[:3])
    running = await serve(standin)
    visitor = await visit(running.url)
    await visitor.until("(name) => document.querySelector('#project').value === name", project)
    for name in HOSTILE:
        await visitor.go(address(project=project, runs=7, metric=name))
        await visitor.page.reload()
        await visitor.settled()
        assert (await visitor.chart().points())[0] == (0, HOSTILE.index(name))
    assert await visitor.page.locator("img, main script").count() == 0
    assert "<img src=x" in await visitor.page.locator(".runs .name").first.inner_text()
    width = await visitor.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert width[0] <= width[1]


async def test_by_keyboard_alone(serve: Serve, visit: Visit) -> None:
    """Runs and metrics are chosen, values read, a part zoomed into, and an export begun without a pointer."""
    running = await serve(standin_with("loss", "acc"))
    visitor = await visit(running.url, address(project="demo", runs=7, metric="loss"))
    await visitor.settled()
    page = visitor.page
    await page.keyboard.press("Tab")

    async def tab_to(selector: str) -> None:
        for _ in range(60):
            if await page.evaluate("(selector) => document.activeElement.matches(selector)", selector):
                return
            await page.keyboard.press("Tab")
        raise AssertionError(selector)

    await tab_to(".runs input")
    await page.keyboard.press("Space")
    await visitor.until("() => !location.hash.includes('runs=')")
    assert await page.evaluate("document.activeElement.matches('.runs input')")
    await page.keyboard.press("Space")
    await visitor.settled()
    await tab_to(".tree input")
    await page.keyboard.press("Space")
    await visitor.until("() => document.querySelectorAll('.plot').length === 2")
    await visitor.settled()
    await tab_to(".plot")
    await page.keyboard.press("Home")
    await page.keyboard.press("ArrowRight")
    await visitor.until("() => document.querySelector('.legend thead').innerText.includes('Step 1')")
    assert "0.01" in await page.locator(".plot [aria-live]").first.inner_text()
    await page.keyboard.press("+")
    await visitor.until("() => location.hash.includes('from=')")
    await page.keyboard.press("Escape")
    await visitor.until("() => !location.hash.includes('from=')")
    await page.keyboard.press("Shift+Tab")
    await page.keyboard.press("Enter")
    assert await page.get_by_role("button", name="Save as CSV").first.is_visible()
    await page.keyboard.press("Escape")
    assert not await page.get_by_role("button", name="Save as CSV").first.is_visible()


async def test_what_is_shown_is_saved_and_copied(serve: Serve, visit: Visit, tmp_path: Path) -> None:
    """CSV has a line for each bucket; PNG is a picture; the lines to copy name the question."""
    running = await serve(standin_with("loss"))
    visitor = await visit(
        running.url, address(project="demo", runs=7, metric="loss"), permissions=["clipboard-read", "clipboard-write"]
    )
    await visitor.settled()
    page = visitor.page

    async def choose(name: str) -> None:
        await page.locator(".card .menu summary").click()
        await page.get_by_role("button", name=name).click()

    async with page.expect_download() as saving:
        await choose("Save as CSV")
    await (await saving.value).save_as(tmp_path / "chart.csv")
    with (tmp_path / "chart.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [(line["run"], line["metric"], float(line["step"]), float(line["mean"])) for line in lines] == [
        ("7", "loss", step, step / 100) for step in range(100)
    ]
    async with page.expect_download() as saving:
        await choose("Save as PNG")
    await (await saving.value).save_as(tmp_path / "chart.png")
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")
    for name, part in (
        ("Copy curl lines", f"curl -s --compressed '{running.url}/view/series?project=demo&run=7&metric=loss"),
        ("Copy pandas lines", "pd.read_csv("),
        ("Copy pluto.query lines", 'get_metrics("demo", run, metric_names=["loss"])'),
    ):
        await choose(name)
        await page.get_by_text("Copied").wait_for()
        assert part in await page.evaluate("navigator.clipboard.readText()")
        await page.evaluate("document.querySelector('.toast').remove()")


async def test_narrow_and_dark(serve: Serve, visit: Visit) -> None:
    """A telephone shows everything without scrolling sideways; the colours follow the system until somebody chooses."""
    running = await serve(standin_with("loss"))
    visitor = await visit(
        running.url, address(project="demo", runs=7, metric="loss"), viewport={"width": 360, "height": 740}, color_scheme="dark"
    )
    await visitor.settled()
    page = visitor.page
    assert await page.evaluate("document.documentElement.dataset.theme") == "dark"
    for tab in ("#/explore?project=demo&runs=7&metric=loss", "#/proxy"):
        await visitor.go(tab)
        await page.reload()
        await page.locator(".card").first.wait_for()
        width = await page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert width[0] <= width[1]
    await page.get_by_role("button", name="Light colours").click()
    await page.reload()
    assert await page.evaluate("document.documentElement.dataset.theme") == "light"


async def test_purging_asks_back(serve: Serve, visit: Visit) -> None:
    """Nothing is purged until the question is answered; then what was named is."""
    running = await serve(standin_with("loss"))
    await running.get("/api/runs/metrics?runId=7&projectName=demo&logName=loss")
    visitor = await visit(running.url, "#/proxy")
    page = visitor.page
    await page.get_by_label("project", exact=True).fill("demo")
    await page.get_by_role("button", name="Purge these…").click()
    assert "demo" in await page.locator("dialog[open] h2").inner_text()
    await page.get_by_role("button", name="Cancel").click()
    assert (await running.get("/admin/state")).json["purges"] == 0
    await page.get_by_role("button", name="Purge these…").click()
    await page.locator("dialog[open]").get_by_role("button", name="Purge", exact=True).click()
    await page.get_by_text("Purged", exact=True).wait_for()
    assert (await running.get("/admin/state")).json["purges"] == 1


async def test_a_warm_page_asks_nothing_upstream(serve: Serve, visit: Visit) -> None:
    """Who opens a link that somebody looked at a moment ago costs no call."""
    running = await serve(standin_with("loss"), freshness__running_s=3600, lifetimes__list_s=3600)
    visitor = await visit(running.url, address(project="demo", runs=7, metric="loss"))
    await visitor.settled()
    await running.settled()
    calls = sum(running.standin.counters.by_path.values())
    other = await visit(running.url, address(project="demo", runs=7, metric="loss"))
    await other.settled()
    await other.until("() => document.querySelectorAll('.tree input').length === 1")
    await running.settled()
    assert sum(running.standin.counters.by_path.values()) == calls
