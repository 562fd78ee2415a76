"""Two proxies in one process, one of which takes over from the other; and one that takes over step by step."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from proxy.cli.listening import let_go
from proxy.restart.control import control_path, meet
from proxy.restart.link import Link
from proxy.restart.messages import FROM_OLD, FromOld, Hello, Message, Serving
from proxy.restart.restart import Restart, take_over
from proxy.service.tenancy import Sleep
from tests.support.world import World, world

LOSS = "/api/runs/metrics?runId=1&projectName=demo&logName=loss&limit=2"


class Gate:
    """A sleep that lasts until it is opened. `asked`: for how many seconds it was to be."""

    def __init__(self) -> None:
        self._opened = asyncio.Event()
        self.asked: list[float] = []

    async def __call__(self, seconds: float, /) -> None:
        self.asked.append(seconds)
        await self._opened.wait()

    def open(self) -> None:
        """Let all go that sleep now."""
        self._opened.set()
        self._opened = asyncio.Event()


@asynccontextmanager
async def old_proxy(folder: Path, *, sleep: Sleep = asyncio.sleep, **settings: Any) -> AsyncIterator[World]:
    """Run a proxy that lets another one take over."""
    async with world(folder, restart=Restart(sleep=sleep), **settings) as running:
        yield running


async def taking_over(old: World) -> Restart:
    """Connect to a proxy to take over from it."""
    taking = await asyncio.to_thread(take_over, old.parts.store.disk.path)
    assert taking is not None
    return Restart(taking)


@asynccontextmanager
async def beside(folder: Path, old: World, restart: Restart, **settings: Any) -> AsyncIterator[World]:
    """Run a proxy that takes over from another one, as soon as it may."""
    async with world(
        folder, standin=old.standin, upstream=old.upstream, clock=old.clock, restart=restart, **settings
    ) as running:
        yield running


@asynccontextmanager
async def new_proxy(folder: Path, old: World, **settings: Any) -> AsyncIterator[World]:
    """Run a proxy that takes over from another one. The old one is draining in the body, which ends it."""
    async with beside(folder, old, await taking_over(old), **settings) as running:
        async with asyncio.timeout(10):
            await old.ended.wait()
        old.parts.web.intake.drain()
        await let_go(old.runner)
        assert running.url == old.url
        yield running


@dataclass(slots=True)
class Stranger:
    """A process that takes over step by step, as far as a test wants."""

    link: Link[FromOld]
    hello: Hello
    heard: list[FromOld] = field(default_factory=list)
    news: asyncio.Condition = field(default_factory=asyncio.Condition)
    deaf: bool = False
    """Whether it does nothing that it is asked for."""

    def note(self, message: FromOld) -> None:
        self.heard.append(message)
        if not self.deaf:
            self.link.answer(message, asyncio.sleep(0))

    async def ask(self, message: Message) -> None:
        await self.link.ask(message, within_s=10)

    def serve(self) -> None:
        self.link.send(Serving(pid=4711))


@asynccontextmanager
async def stranger(cache: Path) -> AsyncIterator[Stranger]:
    """Connect to a proxy as a process that takes over does. At the end the connection is closed."""
    met = await asyncio.to_thread(meet, control_path(cache))
    assert met is not None
    connection, hello, sockets = met
    found = Stranger(await Link.over(connection, FROM_OLD), hello)
    running = asyncio.create_task(found.link.run(found.note))
    try:
        yield found
    finally:
        for opened in sockets:
            opened.socket.close()
        await found.link.aclose()
        await running


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait until something holds that no event tells."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 -- no event tells it
            await asyncio.sleep(0.005)
