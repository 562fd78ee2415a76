"""What the tests of the page need: a browser, with everything that a page may not do told at the end of each test."""

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from playwright.async_api import async_playwright

from proxy.clock import SystemClock
from proxy.standin import Standin
from tests.browser.visitor import Visitor
from tests.support.programs import need, need_drawing
from tests.support.world import World, world

CHROMIUM = shutil.which("chromium")
Serve = Callable[..., Awaitable[World]]


@pytest.fixture(autouse=True)
def _there_is_a_browser() -> None:
    need("chromium")
    need_drawing()


@pytest.fixture
async def visit() -> AsyncIterator[Callable[..., Awaitable[Visitor]]]:
    """Return what opens a page in a browser of its own. In the end none may have broken its policy or asked others."""
    async with async_playwright() as playwright:
        # As root Chromium has no sandbox; a container's shared memory is too small for it.
        arguments = ["--no-sandbox", "--disable-dev-shm-usage"]
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        visitors: list[Visitor] = []

        async def opened(url: str, address: str = "", **options: object) -> Visitor:
            context = await browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})  # type: ignore[arg-type]  # a test's own keywords
            visitor = await Visitor.of(context, url)
            visitors.append(visitor)
            await visitor.go(address)
            return visitor

        try:
            yield opened
            for visitor in visitors:
                assert await visitor.faults() == []
        finally:
            await browser.close()


@pytest.fixture
async def serve(tmp_path: Path) -> AsyncIterator[Serve]:
    """Return what starts a proxy in front of a stand-in, by real time, and with series."""
    running = []

    async def started(standin: Standin, **settings: object) -> World:
        usual = {"series__enabled": True, "freshness__running_s": 1, "system_clock": SystemClock()}
        opening = world(tmp_path, standin=standin, **{**usual, **settings})  # type: ignore[arg-type]  # a test's own keywords
        found = await opening.__aenter__()
        running.append(opening)
        return found

    yield started
    for opening in reversed(running):
        await opening.__aexit__(None, None, None)
