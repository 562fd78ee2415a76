"""Two proxies in one process, one of which takes over from the other; and one that takes over step by step."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from proxy.cli.listening import let_go
from proxy.restart.control import control_path, meet
from proxy.restart.link import Link
from proxy.restart.messages import FROM_OLD, FromOld, Hello, Message, Serving
from proxy.restart.restart import Restart, take_over
from tests.support.world import World, world

LOSS = "/api/runs/metrics?runId=1&projectName=demo&logName=loss&limit=2"


@asynccontextmanager
async def old_proxy(folder: Path) -> AsyncIterator[World]:
    """Run a proxy that lets another one take over."""
    async with world(folder, restart=Restart()) as running:
        yield running


@asynccontextmanager
async def new_proxy(folder: Path, old: World) -> AsyncIterator[World]:
    """Run a proxy that takes over from another one. The old one is draining in the body, which ends it."""
    taking = await asyncio.to_thread(take_over, old.parts.store.disk.path)
    assert taking is not None
    async with world(folder, standin=old.standin, upstream=old.upstream, clock=old.clock, restart=Restart(taking)) as running:
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

    def note(self, message: FromOld) -> None:
        self.heard.append(message)
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
            opened.close()
        await found.link.aclose()
        await running


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait until something holds that no event tells."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 -- no event tells it
            await asyncio.sleep(0.005)
