"""Standard error may block, break or be missing: the proxy goes on, says what was lost of its log, and ends when told to."""

import asyncio
import json
import os
import re
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import aiohttp
import pytest

from tests.support.ports import held_port
from tests.support.processes import PATIENCE_S, ROOT, environment
from tests.support.world import KEY

REQUESTS = 1_500
# Its name and the rest of such a line are more than a pipe holds (64 KiB), a thousand times.
LONG = "/" + "long" * 50


@dataclass(slots=True, kw_only=True)
class Unread:
    """A proxy whose standard error is the writing end of a pipe, and the reading end, which nobody reads by itself."""

    process: asyncio.subprocess.Process
    url: str
    errors: BinaryIO

    async def ended(self) -> int:
        async with asyncio.timeout(PATIENCE_S):
            return await self.process.wait()

    async def told(self) -> list[dict[str, Any]]:
        """Read what comes until the end, all lines of it being JSON."""
        raw = await asyncio.to_thread(self.errors.read)
        return [json.loads(line) for line in raw.splitlines()]


@asynccontextmanager
async def unread(tmp_path: Path, command: str = "serve", *, stdout: int = asyncio.subprocess.DEVNULL) -> AsyncIterator[Unread]:
    """Run the proxy until it answers `/livez`."""
    reading, writing = os.pipe()
    with held_port() as port, os.fdopen(reading, "rb") as errors:
        url = f"http://127.0.0.1:{port}"
        variables = {
            "PLUTO_API_KEY": KEY,
            "PLUTO_PROXY_LISTEN": url.removeprefix("http://"),
            "PLUTO_PROXY_UPSTREAM": "http://127.0.0.1:9",
            "PLUTO_PROXY_CACHE": str(tmp_path / "cache" / "cache.sqlite"),
            "TMPDIR": str(tmp_path),
        }
        arguments = [command, "--listen", url.removeprefix("http://")] if command == "demo" else [command]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "proxy", *arguments),
            env=environment(**variables),
            cwd=ROOT,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=writing if stdout == asyncio.subprocess.STDOUT else stdout,
            stderr=writing,
        )
        os.close(writing)
        try:
            async with asyncio.timeout(PATIENCE_S):
                while await livez(url) != 200:
                    assert process.returncode is None
                    await asyncio.sleep(0.02)
            yield Unread(process=process, url=url, errors=errors)
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def livez(url: str) -> int:
    try:
        async with aiohttp.ClientSession() as session, session.get(f"{url}/livez") as reply:
            return reply.status
    except aiohttp.ClientConnectionError:
        return 0


async def ask(running: Unread, count: int) -> None:
    """Ask for what doesn't exist, with a line for each in the log; probe in between."""
    async with asyncio.timeout(PATIENCE_S), aiohttp.ClientSession() as session:

        async def one(number: int) -> None:
            async with session.get(f"{running.url}{LONG}", headers={"X-Request-ID": f"r{number}"}) as reply:
                assert reply.status == 404

        for first in range(0, count, 50):
            await asyncio.gather(*[one(number) for number in range(first, min(first + 50, count))])
            async with session.get(f"{running.url}/livez") as reply:
                assert reply.status == 200


async def dropped(running: Unread) -> int:
    async with aiohttp.ClientSession() as session, session.get(f"{running.url}/metrics") as reply:
        found = re.search(r"^pluto_proxy_log_lines_dropped_total (\S+)$", await reply.text(), re.MULTILINE)
    assert found is not None
    return int(float(found[1]))


@pytest.mark.parametrize("command", ["serve", "demo"])
async def test_nobody_reads_standard_error(tmp_path: Path, command: str) -> None:
    """More than a pipe holds is logged, and everything is answered all the same; SIGTERM ends it as usual."""
    async with unread(tmp_path, command) as running:
        await ask(running, REQUESTS)
        running.process.send_signal(signal.SIGTERM)
        assert await running.ended() == 0


async def test_standard_output_in_the_same_pipe(tmp_path: Path) -> None:
    """`demo 2>&1 | sleep 60`."""
    async with unread(tmp_path, "demo", stdout=asyncio.subprocess.STDOUT) as running:
        await ask(running, REQUESTS)
        running.process.send_signal(signal.SIGTERM)
        assert await running.ended() == 0


async def test_what_was_held_back_comes_when_somebody_reads(tmp_path: Path) -> None:
    """Every line, in order, the last one among them, if there were not too many to be kept."""
    async with unread(tmp_path) as running:
        await ask(running, REQUESTS)
        assert await dropped(running) == 0
        telling = asyncio.create_task(running.told())
        running.process.send_signal(signal.SIGTERM)
        assert await running.ended() == 0
        lines = await telling
    events = [line["event"] for line in lines]
    assert events.index("server.started") < events.index("request.finished")
    assert events[-1] == "server.stopped"
    finished = [line for line in lines if line["event"] == "request.finished"]
    assert Counter(line["request_id"] for line in finished) == {f"r{number}": 1 for number in range(REQUESTS)}
    assert sorted(line["timestamp"] for line in finished) == [line["timestamp"] for line in finished]


async def test_what_was_dropped_is_told(tmp_path: Path) -> None:
    """Lines beyond what is kept are counted, in the metrics, in /readyz and by a line once others get through again."""
    async with unread(tmp_path) as running, aiohttp.ClientSession() as session:
        asked = 0
        while not await dropped(running):
            await ask(running, 1_000)
            asked += 1_000
            assert asked < 50_000
        async with session.get(f"{running.url}/readyz") as reply:
            assert "standard error" in await reply.text()
        telling = asyncio.create_task(running.told())
        async with asyncio.timeout(PATIENCE_S):
            while "standard error" in await (await session.get(f"{running.url}/readyz")).text():  # noqa: ASYNC110 -- no event
                await asyncio.sleep(0.02)
        lost = await dropped(running)
        running.process.send_signal(signal.SIGTERM)
        assert await running.ended() == 0
        lines = await telling
    told = [line for line in lines if line["event"] == "lines.dropped"]
    assert sum(line["lines"] for line in told) == lost
    assert all(line["level"] == "warning" for line in told)
    finished = sum(line["event"] == "request.finished" for line in lines)
    assert asked - lost <= finished < asked


@pytest.mark.parametrize("command", ["serve", "demo"])
async def test_standard_error_breaks(tmp_path: Path, command: str) -> None:
    """A reader that goes away, as `| head -1` does, takes nothing with it but the lines."""
    async with unread(tmp_path, command) as running:
        running.errors.close()
        await ask(running, 100)
        running.process.send_signal(signal.SIGTERM)
        assert await running.ended() == 0


@pytest.fixture
def url() -> Iterator[str]:
    with held_port() as port:
        yield f"http://127.0.0.1:{port}"


@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full", "2</dev/null", "<&- >&- 2>&-"])
async def test_without_a_usable_standard_error(tmp_path: Path, url: str, redirection: str) -> None:
    """Closed, full or not open for writing: the proxy serves, and its files are its own."""
    process = await asyncio.create_subprocess_shell(
        f"exec '{sys.executable}' -m proxy serve {redirection}",
        env=environment(
            PLUTO_API_KEY=KEY,
            PLUTO_PROXY_LISTEN=url.removeprefix("http://"),
            PLUTO_PROXY_UPSTREAM="http://127.0.0.1:9",
            PLUTO_PROXY_CACHE=str(tmp_path / "cache" / "cache.sqlite"),
        ),
        cwd=ROOT,
    )
    try:
        async with asyncio.timeout(PATIENCE_S):
            while await livez(url) != 200:
                assert process.returncode is None
                await asyncio.sleep(0.02)
            async with aiohttp.ClientSession() as session:
                for _ in range(20):
                    async with session.get(f"{url}/nothing") as reply:
                        assert reply.status == 404
            process.terminate()
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
    assert not any(b"request.finished" in path.read_bytes() for path in (tmp_path / "cache").iterdir())
