"""The clients: each keeps one event stream open, loses it now and then, and knows what it was told of each series."""

import asyncio
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

import aiohttp

from tests.support.event_streams import EVENTS, Event, parsed

Chart = tuple[str, str]
"""A run and a metric."""


@dataclass(slots=True, kw_only=True)
class Client:
    """One client: what it watches and was told of. `connected_s`: since when its stream is open (monotonic), None if it isn't.

    `shown`: the last step of each chart. `backwards`: how often a chart was told an earlier step than before.
    """

    number: int
    charts: Sequence[Chart]
    shown: dict[Chart, int] = field(default_factory=dict)
    last_id: str | None = None
    connected_s: float | None = None
    backwards: int = 0
    counts: Counter[str] = field(default_factory=Counter)

    def note(self, event: Event) -> None:
        """Take in an event."""
        self.counts[event.name or "heartbeat"] += 1
        self.last_id = event.id or self.last_id
        rows = event.data["series"] if event.name == "state" else [event.data] if event.name == "rows" else []
        for row in rows:
            self.reach((row["run"], row["metric"]), row["through"])

    def reach(self, chart: Chart, through: int | None) -> bool:
        """Note the last step of a chart; None: it has none. Return whether it is another one than before."""
        if through is None or through == self.shown.get(chart):
            return False
        self.backwards += through < self.shown.get(chart, through)
        self.shown[chart] = through
        return True


class Listeners:
    """All clients of a proxy."""

    def __init__(self, port: int, clients: Sequence[Client], *, project: str, break_s: float) -> None:
        """`break_s`: after how many seconds a stream breaks off, on average."""
        self._url = f"http://127.0.0.1:{port}{EVENTS}?project={quote(project)}"
        self._break_s = break_s
        self._dice = random.Random(18)  # noqa: S311 -- no secret depends on it
        self.clients = clients

    async def listen(self, seconds: float, *, settling_s: float) -> None:
        """Listen for so long. In the last `settling_s` no stream breaks off."""
        until_s = time.monotonic() + seconds
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._keep_listening(client, until_s - settling_s)) for client in self.clients]
            await asyncio.sleep(seconds)
            for task in tasks:
                task.cancel()

    async def _keep_listening(self, client: Client, until_s: float) -> None:
        while True:
            break_s = self._dice.expovariate(1 / self._break_s)
            lasts = time.monotonic() + break_s >= until_s
            await self._listen(client, break_s=None if lasts else break_s)
            client.counts["breaks"] += 1
            await asyncio.sleep(self._dice.uniform(0, 3))

    async def _listen(self, client: Client, *, break_s: float | None) -> None:
        """Listen until the stream breaks off (None: for good)."""
        # On Linux each client has an address of its own; elsewhere loopback has only the one.
        address = (f"127.0.1.{client.number + 1}", 0) if sys.platform == "linux" else None
        named = "".join(f"&run={run}" for run in dict.fromkeys(run for run, _ in client.charts))
        named += "".join(f"&metric={quote(name, safe='')}" for name in dict.fromkeys(name for _, name in client.charts))
        headers = {} if client.last_id is None else {"Last-Event-ID": client.last_id}
        connector = aiohttp.TCPConnector(local_addr=address)
        patience = aiohttp.ClientTimeout(total=None)
        try:
            async with (
                aiohttp.ClientSession(connector=connector, timeout=patience) as session,
                asyncio.timeout(break_s),
                session.get(self._url + named, headers=headers) as response,
            ):
                client.counts[f"status {response.status}"] += 1
                client.connected_s = time.monotonic()
                lines: list[str] = []
                async for raw in response.content:
                    if (line := raw.decode().rstrip("\n")) or not lines:
                        lines.append(line)
                        continue
                    client.note(parsed(lines))
                    lines = []
        except (TimeoutError, aiohttp.ClientError):
            client.counts["broken"] += 1
        finally:
            client.connected_s = None
