"""Tokens on the page: entered once, kept for the tab, and what is said when one is refused."""

from collections.abc import Awaitable, Callable
from pathlib import Path

from playwright.async_api import Page

from tests.browser.conftest import Serve
from tests.browser.visitor import Visitor, address
from tests.support.tokens import OURS, TEAM, filled, token, write
from tests.support.world import World

Visit = Callable[..., Awaitable[Visitor]]


async def guarded(serve: Serve, folder: Path) -> World:
    path = folder / "access" / "tokens.json"
    write(path, token("team", projects=["ours"]), token("root", admin=True))
    running = await serve(filled(), access__tokens_file=path)
    await running.parts.tenancy.settled()
    return running


async def enter(page: Page, text: str) -> None:
    await page.get_by_label("The proxy's token").fill(text)
    await page.get_by_role("button", name="Use it").click()


async def test_a_token_is_entered_once(serve: Serve, visit: Visit, tmp_path: Path) -> None:
    """A bad one is refused in words; a good one shows what it may see; it is kept for this tab, and for no other."""
    running = await guarded(serve, tmp_path)
    visitor = await visit(running.url, address(project="ours", runs=OURS, metric="loss"))
    visitor.expected += ["status of 401"]
    page = visitor.page
    assert "takes" in await page.locator(".dialog").inner_text() or "token" in await page.locator(".dialog").inner_text()
    await enter(page, "ppt_wrong")
    await visitor.until("() => document.querySelector('dialog[open]')?.innerText.includes('not one of this proxy')")
    await enter(page, TEAM)
    await visitor.settled()
    assert len(await visitor.chart().points()) == 5
    projects = await page.get_by_label("Project").locator("option").all_inner_texts()
    assert projects == ["ours"]
    assert TEAM not in page.url
    await page.reload()
    await visitor.settled()
    other = await visitor.context.new_page()
    visitor.listen(other)
    await other.goto(f"{running.url}/")
    await other.locator("dialog[open]").wait_for()
    stored = await page.evaluate("JSON.stringify({ ...localStorage })")
    assert TEAM not in stored


async def test_what_a_token_may_not_see_looks_like_nothing(serve: Serve, visit: Visit, tmp_path: Path) -> None:
    """A link to another project shows no rows of it, and says why in words."""
    running = await guarded(serve, tmp_path)
    visitor = await visit(running.url, address(project="theirs", runs=2, metric="loss"))
    visitor.expected += ["Failed to load resource"]
    await enter(visitor.page, TEAM)
    await visitor.settled()
    drawn = await visitor.chart().drawn()
    assert [slot["series"]["rows"] for slot in drawn["slots"]] == [0]
    await visitor.page.locator("#banners .banner").first.wait_for()


async def test_a_revoked_token_is_told(serve: Serve, visit: Visit, tmp_path: Path) -> None:
    """Its charts stop growing, and the page asks for another one."""
    running = await guarded(serve, tmp_path)
    visitor = await visit(running.url, address(project="ours", runs=OURS, metric="loss"))
    visitor.expected += ["status of 401"]
    await enter(visitor.page, TEAM)
    await visitor.settled()
    await visitor.until("() => document.querySelector('.live').dataset.state === 'on'")
    write(tmp_path / "access" / "tokens.json", token("root", admin=True))
    await visitor.page.locator("dialog[open]").wait_for()


async def test_without_admin_rights_it_is_said(serve: Serve, visit: Visit, tmp_path: Path) -> None:
    """The proxy's view says what it takes; a token that manages sees all of it."""
    running = await guarded(serve, tmp_path)
    visitor = await visit(running.url, "#/proxy")
    visitor.expected += ["Failed to load resource"]
    await enter(visitor.page, TEAM)
    await visitor.until("() => document.querySelector('.tiles')?.innerText.includes('limited to projects')")
    await visitor.page.get_by_role("button", name="Token in use").click()
    await enter(visitor.page, "ppt_root")
    await visitor.page.get_by_role("button", name="Purge everything…").wait_for()
    assert "root" in await visitor.page.locator(".usage").first.inner_text()
