"""What a process is left with after hostile clients: memory and descriptors."""

import asyncio
import sys
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest
from yarl import URL

from proxy.standin import Row, Standin, StandinConfig
from tests.support.hostile_bytes import CASES, LINE
from tests.support.processes import Running, proxy_process, resident_kb
from tests.support.world import KEY, METRICS

ROUNDS = 9
# Beside what is refused: what is answered, many times over, and not read.
UNREAD = {
    "a large answer": LINE + b"\r\n",
    "thousands of large answers": (LINE + b"\r\n") * 3_000,
    "probes": b"GET /readyz?verbose HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 5_000,
}


def descriptors(running: Running) -> int:
    return len(list(Path(f"/proc/{running.process.pid}/fd").iterdir()))


async def attack(url: URL, raw: bytes) -> None:
    """Send bytes and read nothing, until the proxy ends the connection or everything has been sent; then read until the end."""
    reader, writer = await asyncio.open_connection(url.host, url.port)
    transport = writer.transport
    assert isinstance(transport, asyncio.ReadTransport)
    transport.pause_reading()
    with suppress(ConnectionError, TimeoutError):
        writer.write(raw)
        async with asyncio.timeout(1):
            await writer.drain()
    transport.resume_reading()
    with suppress(ConnectionError, TimeoutError):
        async with asyncio.timeout(1):
            while await reader.read(2**20):
                pass
    transport.abort()


@pytest.mark.skipif(sys.platform != "linux", reason="reads the process's memory and descriptors from /proc")
async def test_nothing_is_left_behind(tmp_path: Path) -> None:
    """The whole list, again and again: memory and descriptors stay what they were, and no call and no fault comes of it."""
    standin = Standin(StandinConfig())
    standin.rows.insert(
        Row(run_id=1, log_name=f"m{name}", step=step, value=step / 7) for name in range(4) for step in range(9_000)
    )
    settings = {
        "PLUTO_API_KEY": KEY,
        "PLUTO_PROXY_CACHE": str(tmp_path / "cache" / "cache.sqlite"),
        "PLUTO_PROXY_FRESHNESS__RUNNING_S": "3600",
        "PLUTO_PROXY_SERIES__ENABLED": "false",
    }
    async with standin.serve() as upstream, proxy_process(PLUTO_PROXY_UPSTREAM=upstream, **settings) as running:
        url, question = URL(running.url), f"{running.url}{METRICS}?runId=1&projectName=demo"
        async with aiohttp.ClientSession() as session:

            async def answered() -> bool:
                async with session.get(question) as reply:
                    return reply.status == 200 and len(await reply.read()) > 2**18

            for _ in range(3):
                assert await answered()
            calls, before_kb = standin.counters.total, resident_kb(running)
            kept_kb: list[int] = []
            kept_descriptors: list[int] = []
            for _ in range(ROUNDS):
                await asyncio.gather(*[attack(url, raw) for raw in (CASES | UNREAD).values()])
                assert await answered()
                async with asyncio.timeout(20):
                    while descriptors(running) > (kept_descriptors or [2**20])[0]:  # noqa: ASYNC110 -- no event tells it
                        await asyncio.sleep(0.01)
                kept_kb.append(resident_kb(running))
                kept_descriptors.append(descriptors(running))
            assert standin.counters.total == calls
        assert max(kept_kb[-3:]) < 1.25 * max(kept_kb[:3]) < 2.5 * before_kb, (before_kb, kept_kb)
        assert await running.terminate() == 0
    assert "crashed" not in running.log
    assert "Traceback" not in running.log
