"""Somebody who looks at the page: opens it, clicks, and reads back what the charts draw."""

from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import urlencode

from playwright.async_api import BrowserContext, ConsoleMessage, Locator, Page, Request

# Nothing is measured by it: a machine that is busy with other tests may take long.
PATIENCE_MS = 120_000
# Runs before anything of the page does.
_LISTENER = """
window.violations = [];
document.addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI }) => {
  window.violations.push(`${violatedDirective} ${blockedURI}`);
});
"""
# What a chart draws: its axis and columns, the scales, and the series behind it.
_DRAWN = """
(plot) => {
  const { chart, slots } = plot.drawn ?? {};
  if (!chart) return null;
  const { x, y } = chart.scales;
  return {
    data: chart.data.map((column) => Array.from(column, (value) => value ?? null)),
    x: [x.min, x.max],
    y: [y.min, y.max],
    slots: slots().map(({ run, metric, label, series }) => ({ run, metric, label, series: series ?? null })),
  };
}
"""
# How many pixels of a part of the plot (in shares of it) have a colour: the grid and the letters are grey.
_COLOURED = """
(plot, [left, top, right, bottom]) => {
  const { chart } = plot.drawn;
  const box = chart.bbox;
  const [x, y] = [Math.floor(box.left + left * box.width), Math.floor(box.top + top * box.height)];
  const size = [Math.max(1, Math.ceil((right - left) * box.width)), Math.max(1, Math.ceil((bottom - top) * box.height))];
  const { data } = chart.ctx.getImageData(x, y, ...size);
  let count = 0;
  for (let at = 0; at < data.length; at += 4) {
    const rgb = [data[at], data[at + 1], data[at + 2]];
    if (data[at + 3] > 40 && Math.max(...rgb) - Math.min(...rgb) > 25) count += 1;
  }
  return count;
}
"""


@dataclass(kw_only=True)  # Playwright puts attributes of its own on those who listen
class Visitor:
    """A page, what it has asked for, and what went wrong in it. `expected`: parts of what may be said on the console,
    such as that these tests read pixels."""

    context: BrowserContext
    page: Page
    url: str
    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=lambda: ["willReadFrequently"])

    @classmethod
    async def of(cls, context: BrowserContext, url: str) -> Self:
        await context.add_init_script(_LISTENER)
        context.set_default_timeout(PATIENCE_MS)
        visitor = cls(context=context, page=await context.new_page(), url=url)
        visitor.listen(visitor.page)
        return visitor

    def listen(self, page: Page) -> None:
        page.on("request", self._asked)
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def _asked(self, request: Request) -> None:
        self.requests.append(request.url)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.errors.append(message.text)

    async def go(self, address: str = "") -> None:
        await self.page.goto(f"{self.url}/{address}")

    async def faults(self) -> list[str]:
        """Return what no page may do."""
        violations = [] if self.page.is_closed() else await self.page.evaluate("window.violations")
        foreign = [url for url in self.requests if not url.startswith((f"{self.url}/", "blob:", "data:"))]
        errors = [text for text in self.errors if not any(part in text for part in self.expected)]
        return [*violations, *foreign, *errors]

    def asked(self, path: str) -> list[str]:
        """Return the requests for a path."""
        return [url for url in self.requests if url.startswith(self.url + path)]

    def chart(self, place: int = 0) -> "ChartOnPage":
        return ChartOnPage(card=self.page.locator(".card:has(.plot)").nth(place), page=self.page)

    async def settled(self) -> None:
        """Wait until every chart has all its series."""
        await self.page.wait_for_selector(".charts[aria-busy=false] .plot")
        await self.page.wait_for_function(
            "() => [...document.querySelectorAll('.plot')].every((plot) => plot.drawn?.slots().every(({ series }) => series))"
        )

    async def until(self, expression: str, argument: object = None) -> None:
        """Wait until a function of JavaScript says true."""
        await self.page.wait_for_function(expression, arg=argument)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartOnPage:
    """A chart, as it is drawn."""

    card: Locator
    page: Page

    @property
    def plot(self) -> Locator:
        return self.card.locator(".plot")

    async def drawn(self) -> Any:
        return await self.plot.evaluate(_DRAWN)

    async def columns(self, slot: int = 0) -> Any:
        """Return the columns of a series."""
        found = await self.drawn()
        return found["slots"][slot]["series"]["columns"]

    async def points(self, column: int = 1) -> list[tuple[float, float]]:
        """Return the points that a line goes through, as (x, y)."""
        data = (await self.drawn())["data"]
        return [(x, y) for x, y in zip(data[0], data[column], strict=True) if y is not None]

    async def coloured(self, left: float, top: float, right: float, bottom: float) -> int:
        """Return how many pixels of a part of the plot have a colour; the part is given in shares of the plot."""
        return int(await self.plot.evaluate(_COLOURED, [left, top, right, bottom]))

    async def words(self) -> str:
        return await self.card.locator(".words").inner_text()

    async def legend(self) -> list[list[str]]:
        """Return the table's cells, row by row."""
        rows = await self.card.locator(".legend tbody tr").all()
        return [[await cell.inner_text() for cell in await row.locator("th, td").all()] for row in rows]

    async def _at(self, share: float) -> tuple[float, float]:
        box = await self.card.locator(".u-over").bounding_box()
        assert box is not None
        return box["x"] + share * box["width"], box["y"] + box["height"] / 2

    async def point_at(self, share: float) -> None:
        """Move the pointer to a place, in shares of the plot's width."""
        await self.page.mouse.move(*await self._at(share))

    async def drag(self, start: float, end: float) -> None:
        """Drag from one place to another."""
        await self.page.mouse.move(*await self._at(start))
        await self.page.mouse.down()
        await self.page.mouse.move(*await self._at(end), steps=4)
        await self.page.mouse.up()


def address(**view: object) -> str:
    """Return the address of a view; a list's elements are parameters of their own, but for runs."""
    pairs = [(name, one) for name, value in view.items() for one in (value if isinstance(value, list) else [value])]
    return f"#/explore?{urlencode(pairs)}"
