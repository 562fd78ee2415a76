"""Charts that grow by themselves, and what is said when Pluto fails."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from proxy.standin import Fault, FaultKind, Standin, StandinConfig
from proxy.standin.faults import ANY_PATH
from tests.browser.conftest import Serve
from tests.browser.oracle import agrees, buckets, rows_of
from tests.browser.visitor import Visitor, address

Visit = Callable[..., Awaitable[Visitor]]
LIVE = "() => document.querySelector('.live').dataset.state === 'on'"
# Has a tab seen, or not, as when somebody goes to another one.
SEEN = """
(seen) => {
  Object.defineProperty(document, "hidden", { configurable: true, get: () => !seen });
  document.dispatchEvent(new Event("visibilitychange"));
}
"""
LAST = "(step) => document.querySelector('.plot').drawn.slots()[0].series.through >= step"


def line(count: int) -> list[float]:
    return [step / 8 for step in range(count)]


async def test_a_live_run_grows_without_a_jump(serve: Serve, visit: Visit) -> None:
    """New rows come by themselves; what was drawn stays as it was, bucket by bucket; only the changed series is asked for."""
    standin = Standin(StandinConfig())
    standin.rows.insert(rows_of(7, "loss", line(1500)))
    standin.rows.insert(rows_of(8, "loss", line(10)))
    running = await serve(standin)
    visitor = await visit(running.url, address(project="demo", runs="7,8", metric="loss"))
    await visitor.settled()
    await visitor.until("() => document.querySelector('.live').dataset.state === 'on'")
    chart = visitor.chart()
    before = await chart.columns()
    assert agrees(before, buckets(line(1500), 2))
    asked = len(visitor.asked("/view/series"))
    standin.rows.insert(rows_of(7, "loss", line(1600))[1500:])
    await visitor.until(LAST, 1599)
    after = await chart.columns()
    assert agrees(after, buckets(line(1600), 2))
    assert after["step"][:750] == before["step"][:750]
    assert after["mean"][:750] == before["mean"][:750]
    assert (await chart.drawn())["x"] == [0, 1599]
    later = visitor.asked("/view/series")[asked:]
    assert later
    assert all("run=7&" in url and "run=8" not in url for url in later)


async def test_a_zoom_stays_while_the_run_grows(serve: Serve, visit: Visit) -> None:
    """Rows that come after the window change nothing in it; the whole chart has them when the zoom ends."""
    standin = Standin(StandinConfig())
    standin.rows.insert(rows_of(7, "loss", line(500)))
    running = await serve(standin)
    visitor = await visit(running.url, address(project="demo", runs=7, metric="loss", **{"from": 100, "to": 200}))
    await visitor.settled()
    await visitor.until("() => document.querySelector('.live').dataset.state === 'on'")
    standin.rows.insert(rows_of(7, "loss", line(600))[500:])
    await visitor.until(LAST, 599)
    assert (await visitor.chart().drawn())["x"] == [100, 200]
    await visitor.page.get_by_role("button", name="Show all").click()
    await visitor.until("() => document.querySelector('.plot').drawn.slots()[0].series.columns.step.length === 600")
    assert (await visitor.chart().drawn())["x"] == [0, 599]


async def test_an_outage_is_told_and_its_end(serve: Serve, visit: Visit) -> None:
    """A banner says that Pluto doesn't answer, and what to do; charts stay; once it answers again the banner goes."""
    standin = Standin(StandinConfig())
    standin.rows.insert(rows_of(7, "loss", line(100)))
    running = await serve(standin, upstream__cooldown_max_s=1)
    visitor = await visit(running.url, address(project="demo", runs=7, metric="loss"))
    visitor.expected += ["Failed to load resource"]
    await visitor.settled()
    await visitor.until("() => document.querySelector('.live').dataset.state === 'on'")
    standin.faults.add(Fault(kind=FaultKind.STATUS, status=502, times=None, path=ANY_PATH))
    banner = visitor.page.locator("#banners .banner").first
    await banner.wait_for()
    words = await banner.inner_text()
    assert "Pluto" in words
    assert "what is stored is still shown" in words
    assert len(await visitor.chart().points()) == 100
    standin.faults.clear()
    standin.rows.insert(rows_of(7, "loss", line(120))[100:])
    await visitor.until(LAST, 119)
    await visitor.until("() => !document.querySelector('#banners .banner')")


async def test_a_proxy_that_is_gone_is_told(serve: Serve, visit: Visit) -> None:
    """What can't be reached is said in words, and the page goes on as soon as it can."""
    standin = Standin(StandinConfig())
    standin.rows.insert(rows_of(7, "loss", line(100)))
    running = await serve(standin)
    visitor = await visit(running.url, address(project="demo", runs=7, metric="loss"))
    visitor.expected += ["Failed to load resource", "net::ERR"]
    await visitor.settled()
    await visitor.context.set_offline(True)
    await visitor.page.get_by_role("button", name="Reload").click()
    banner = visitor.page.locator("#banners .banner")
    await banner.wait_for()
    assert "can't be reached" in await banner.inner_text()
    await visitor.context.set_offline(False)
    await visitor.page.get_by_role("button", name="Reload").click()
    await visitor.until("() => !document.querySelector('#banners .banner')")


async def test_a_tab_that_nobody_sees_listens_to_nothing(serve: Serve, visit: Visit) -> None:
    """Browsers have six connections to a server for all tabs; once it is seen again it shows what came meanwhile."""
    standin = Standin(StandinConfig())
    standin.rows.insert(rows_of(7, "loss", line(100)))
    running = await serve(standin)
    visitor = await visit(running.url, address(project="demo", runs=7, metric="loss"))
    await visitor.settled()
    await visitor.until(LIVE)
    await visitor.page.evaluate(SEEN, False)
    await visitor.until("() => document.querySelector('.live').dataset.state === 'waiting'")
    async with asyncio.timeout(30):
        while running.parts.web.streams.open:
            await running.get("/livez")
    standin.rows.insert(rows_of(7, "loss", line(120))[100:])
    await visitor.page.evaluate(SEEN, True)
    await visitor.until(LIVE)
    await visitor.until(LAST, 119)


async def test_a_page_too_many_says_so(serve: Serve, visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the proxy has no stream left for it, a page says that, and becomes live once there is one."""
    standin = Standin(StandinConfig())
    standin.rows.insert(rows_of(7, "loss", line(100)))
    running = await serve(standin)
    monkeypatch.setattr("proxy.web.pages.view.streams.MOST_OF_ONE", 1)
    first = await visit(running.url, address(project="demo", runs=7, metric="loss"))
    await first.until(LIVE)
    second = await visit(running.url, address(project="demo", runs=7, metric="loss"))
    second.expected += ["Failed to load resource"]
    banner = second.page.locator("#banners .banner[data-code=client-limited]")
    await banner.wait_for()
    words = await banner.inner_text()
    assert "don't grow by themselves" in words
    assert "event streams open" in words
    assert len(await second.chart().points()) == 100
    await first.page.evaluate(SEEN, False)
    await second.until(LIVE)
    await banner.wait_for(state="detached")
