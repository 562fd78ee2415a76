"""Clients that are the page itself in Chromium: what its charts draw counts as what it was told."""

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from playwright.async_api import async_playwright

from tests.browser.visitor import Visitor, address
from tests.soak.events.listeners import Client

CHROMIUM = shutil.which("chromium")
_LOOK_S = 1.0
# What all charts draw: run, metric and the last step of each series (None: nothing yet), and if the page's stream is open.
_LOOK = """() => ({
  live: document.querySelector(".live").dataset.state,
  shown: [...document.querySelectorAll(".plot")].flatMap(
    (plot) => (plot.drawn?.slots() ?? []).map(({ run, metric, series }) => [String(run), metric, series?.through ?? null]),
  ),
})"""


@asynccontextmanager
async def looking(url: str, clients: Sequence[Client], *, project: str) -> AsyncIterator[None]:
    """Open the page for each client, with its charts, and note again and again what is drawn.

    In the end a page that broke its own policy, asked another host or wrote an error has `status fault` counted.
    """
    if not clients:
        yield
        return
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"])
        visitors: list[Visitor] = []
        for client in clients:
            visitor = await Visitor.of(await browser.new_context(viewport={"width": 1280, "height": 900}), url)
            runs, metrics = (list(dict.fromkeys(names)) for names in zip(*client.charts, strict=True))
            await visitor.go(address(project=project, runs=",".join(runs), metric=metrics))
            await visitor.settled()
            client.counts["status 200"] += 1
            visitors.append(visitor)
        noting = asyncio.create_task(_note(list(zip(visitors, clients, strict=True))))
        try:
            yield
        finally:
            noting.cancel()
            await asyncio.wait([noting])
            for visitor, client in zip(visitors, clients, strict=True):
                client.counts["status fault"] += len(await visitor.faults())
            await browser.close()


async def _note(pages: Sequence[tuple[Visitor, Client]]) -> None:
    while True:
        for visitor, client in pages:
            seen = await visitor.page.evaluate(_LOOK)
            if seen["live"] != "on":
                client.connected_s = None
            elif client.connected_s is None:
                client.connected_s = time.monotonic()
            for run, metric, through in seen["shown"]:
                client.counts["drawn"] += client.reach((run, metric), through)
        await asyncio.sleep(_LOOK_S)
