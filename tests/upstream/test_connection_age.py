"""How long a connection to the upstream is used: a name is looked up anew for each new one alone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from proxy.upstream import pool
from tests.support.raw_upstream import VALID, answer_body, response
from tests.support.world import METRICS, QUESTION, until, world


@dataclass(slots=True)
class Connections:
    """An upstream that counts its connections. `gate` holds up every answer to a question about metrics."""

    begun: int = 0
    ended: int = 0
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.begun += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if METRICS.encode() in head:
                    self.arrived.set()
                    await self.gate.wait()
                writer.write(response(answer_body("loss") if METRICS.encode() in head else VALID))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.ended += 1
            writer.close()

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self.connected, "127.0.0.1", 0)
        try:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()


@pytest.fixture(autouse=True)
def _never_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Idle ones are closed by real time: a slow machine must not."""
    monkeypatch.setattr(pool, "_KEEPALIVE_S", 600.0)


async def test_it_ends_with_its_age(tmp_path: Path) -> None:
    """One that is used all the time ends after `connection_max_age_s`, counted from its beginning, and no sooner."""
    connections = Connections()
    connections.gate.set()
    async with connections.serve() as url, world(tmp_path, upstream=url) as running:
        await running.parts.tenancy.settled()
        begun: list[int] = []
        for number in range(9):
            running.advance(50 if number else 0)
            assert (await running.get(f"{QUESTION}&stepMin={number}")).status == 200
            begun.append(connections.begun)
        assert begun == [1, 1, 1, 1, 1, 1, 2, 2, 2]


@pytest.mark.parametrize("age_s", [1, 1000])
async def test_it_is_configured(tmp_path: Path, age_s: float) -> None:
    """`upstream.connection_max_age_s` says how long."""
    connections = Connections()
    connections.gate.set()
    async with connections.serve() as url, world(tmp_path, upstream=url, upstream__connection_max_age_s=age_s) as running:
        await running.parts.tenancy.settled()
        running.advance(500)
        await running.get()
        assert connections.begun == (2 if age_s == 1 else 1)


async def test_never_in_the_midst_of_a_request(tmp_path: Path) -> None:
    """What grows old while it is being used brings its answer, and ends once that is there, not with the next question."""
    connections = Connections()
    async with connections.serve() as url, world(tmp_path, upstream=url, upstream__deadline_s=1000) as running:
        await running.parts.tenancy.settled()
        asking = asyncio.create_task(running.get())
        await until(connections.arrived)
        running.advance(400)
        connections.gate.set()
        assert (await asking).status == 200
        async with asyncio.timeout(10):
            while not connections.ended:  # noqa: ASYNC110 -- no event tells it
                await asyncio.sleep(0.001)
        assert connections.begun == 1
        assert (await running.get(f"{QUESTION}&stepMin=1")).status == 200
        assert connections.begun == 2
