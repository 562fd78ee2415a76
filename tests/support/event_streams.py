"""A client of event streams, which reads by a connection of its own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import msgspec

from tests.support.world import World

EVENTS = "/view/events"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event; a heartbeat has no name."""

    name: str = ""
    id: str | None = None
    data: Any = None

    @property
    def series(self) -> dict[str, tuple[str | None, int | None]]:
        """Version and last step by metric."""
        rows = self.data["series"] if self.name == "state" else [self.data]
        return {row["metric"]: (row["version"], row["through"]) for row in rows}


@dataclass(slots=True, kw_only=True)
class Listener:
    """An open stream. `last_id` is that of the last event."""

    response: aiohttp.ClientResponse
    last_id: str | None = None
    patience_s: float = 5.0
    seen: list[Event] = field(default_factory=list)

    async def next(self) -> Event:
        """Return the next event, heartbeats among them; one without a name and data at the end."""
        lines: list[str] = []
        async with asyncio.timeout(self.patience_s):
            while (line := (await self.response.content.readline()).decode()) not in {"\n", ""}:
                lines.append(line.rstrip("\n"))
        event = parsed(lines)
        self.last_id = event.id or self.last_id
        self.seen.append(event)
        return event

    async def until(self, name: str) -> Event:
        """Return the next event of a name."""
        while (event := await self.next()).name != name:
            assert event.name or event.data == "heartbeat", f"the stream has ended: {self.seen}"
        return event

    async def ended(self) -> None:
        """Wait for the end of the stream."""
        async with asyncio.timeout(self.patience_s):
            assert not (await self.response.content.read()).strip()


def parsed(lines: list[str]) -> Event:
    """Return the event that some lines hold."""
    if lines == [":"]:
        return Event(data="heartbeat")
    fields = dict(line.split(": ", 1) for line in lines)
    data = fields.get("data")
    return Event(name=fields.get("event", ""), id=fields.get("id"), data=None if data is None else msgspec.json.decode(data))


def watching(*metrics: str, project: str = "p", runs: tuple[str, ...] = ("1",)) -> str:
    """Return the target that watches some metrics of some runs."""
    named = [f"run={run}" for run in runs] + [f"metric={metric}" for metric in metrics]
    return f"{EVENTS}?project={project}&{'&'.join(named)}"


@asynccontextmanager
async def listening(url: str, target: str, *, last_id: str | None = None, **headers: str) -> AsyncIterator[Listener]:
    """Open a stream, which must be granted."""
    sent = headers if last_id is None else {"Last-Event-ID": last_id, **headers}
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as session,
        session.get(f"{url}{target}", headers=sent) as response,
    ):
        assert response.status == 200, await response.text()
        yield Listener(response=response)


async def looked(running: World, *, seconds: float = 0.0) -> None:
    """Let time pass, and everything be read that is due then."""
    running.advance(seconds)
    await running.parts.watching.look()
    await running.parts.watching.settled()
    await running.settled()
    # What a refresh brought that nobody waited for.
    await running.parts.watching.look()
    await running.parts.watching.settled()
