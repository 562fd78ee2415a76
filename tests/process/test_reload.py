"""SIGHUP a hundred times under load: no request fails, and the settings are those that were last good."""

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from pathlib import Path

import aiohttp
import pytest

from proxy.standin import Row, Standin, StandinConfig
from tests.process.test_signals import mask
from tests.support.processes import PATIENCE_S, ROOT, Running, environment, proxy_process
from tests.support.tokens import bearer, token, write
from tests.support.world import KEY, METRICS

TIMES, CLIENTS = 100, 6
QUESTIONS = [f"{METRICS}?runId=1&projectName=demo&logName=loss&limit={limit}" for limit in (2, 50, 1000)]
ORIGIN = "https://one.example"


class Writer:
    """Writes the configuration file: good, faulty, naming a file that isn't there, and not at all, in turns."""

    def __init__(self, path: Path, upstream: str, tokens: Path) -> None:
        self._path = path
        self._upstream = upstream
        self._tokens = tokens
        self.good = 0
        self.write(0)

    def write(self, number: int, *, more: str = "", tokens: Path | None = None) -> None:
        text = f"""
            [server]
            cors_origins = ["{ORIGIN}:{1000 + number}"]
            [access]
            tokens_file = "{tokens or self._tokens}"
            [upstream]
            url = "{self._upstream}"
            rate_per_s = {1000 + number}
            [freshness]
            running_s = {number % 3}
            {more}
        """
        # As an editor does, and as a deployment tool should: nobody reads half of it.
        beside = self._path.with_suffix(".new")
        beside.write_text(text)
        beside.replace(self._path)

    def turn(self, number: int) -> str:
        """Write what the turn of this number has, and return what the log will say."""
        match number % 4:
            case 1:
                self.write(number, more="stale_if_error_s = -1")
            case 2:
                self.write(number, tokens=self._tokens.with_name("none.json"))
            case 3:
                self._path.unlink()
            case _:
                self.write(number)
                self.good = number
                return "config.reloaded"
        return "config.kept"


async def ask_on(session: aiohttp.ClientSession, url: str, seen: Counter[int], stop: asyncio.Event) -> None:
    """Ask as fast as the answers come."""
    number = 0
    while not stop.is_set():
        number += 1
        async with session.get(url + QUESTIONS[number % len(QUESTIONS)], headers=bearer("ppt_team")) as response:
            body = await response.read()
            assert response.status != 200 or json.loads(body)
            seen[response.status] += 1


async def hang_up(running: Running, event: str) -> None:
    """Send SIGHUP, and wait until the log has told once more what became of it."""
    before = running.log.count(event)
    running.process.send_signal(signal.SIGHUP)
    async with asyncio.timeout(PATIENCE_S), running.news:
        await running.news.wait_for(lambda: running.log.count(event) > before)


async def told(session: aiohttp.ClientSession, url: str) -> dict[str, float]:
    """Return the metrics about the configuration, and the rate that the budget keeps to."""
    async with session.get(f"{url}/metrics", headers=bearer("ppt_team")) as response:
        lines = [line.rpartition(" ") for line in (await response.text()).splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines if "config_" in name or "rate_per_second" in name}


async def test_a_hundred_times_under_load(tmp_path: Path) -> None:
    """Good, faulty and vanishing files in turns."""
    standin = Standin(StandinConfig())
    standin.rows.insert(Row(run_id=1, log_name="loss", step=step, value=step) for step in range(1500))
    path, tokens = tmp_path / "proxy.toml", tmp_path / "access" / "tokens.json"
    write(tokens, token("team"))
    async with standin.serve() as upstream:
        writer = Writer(path, upstream, tokens)
        settings = {"PLUTO_API_KEY": KEY, "PLUTO_PROXY_CACHE": str(tmp_path / "cache" / "c.sqlite")}
        async with (
            proxy_process("serve", "--config", str(path), **settings) as running,
            aiohttp.ClientSession() as session,
        ):
            seen, stop = Counter[int](), asyncio.Event()
            asking = [asyncio.create_task(ask_on(session, running.url, seen, stop)) for _ in range(CLIENTS)]
            for number in range(1, TIMES + 1):
                event = writer.turn(number)
                await hang_up(running, event)
                metrics = await told(session, running.url)
                assert metrics["pluto_proxy_config_last_reload_successful"] == (event == "config.reloaded")
                assert metrics["pluto_proxy_budget_rate_per_second"] == 1000 + writer.good
                headers = bearer("ppt_team") | {"Origin": f"{ORIGIN}:{1000 + writer.good}"}
                async with session.get(running.url + QUESTIONS[0], headers=headers) as response:
                    assert response.headers["Access-Control-Allow-Origin"] == headers["Origin"]
            stop.set()
            await asyncio.gather(*asking)
            assert seen.keys() == {200}
            assert seen[200] > TIMES
            assert metrics['pluto_proxy_config_reloads_total{result="done"}'] == TIMES // 4
            assert metrics['pluto_proxy_config_reloads_total{result="failed"}'] == TIMES - TIMES // 4
            assert await running.terminate() == 0


async def test_signals_that_come_at_once(tmp_path: Path) -> None:
    """However many come during a reload, what was written before the last of them holds in the end."""
    path, tokens = tmp_path / "proxy.toml", tmp_path / "access" / "tokens.json"
    write(tokens, token("team"))
    writer = Writer(path, "http://127.0.0.1:9", tokens)
    settings = {"PLUTO_API_KEY": KEY, "PLUTO_PROXY_CACHE": str(tmp_path / "cache" / "c.sqlite")}
    async with proxy_process("serve", "--config", str(path), **settings) as running, aiohttp.ClientSession() as session:
        for number in range(1, 300):
            writer.write(number)
            running.process.send_signal(signal.SIGHUP)
            if number % 30 == 0:
                await asyncio.sleep(0)
        async with asyncio.timeout(PATIENCE_S):
            while (await told(session, running.url))["pluto_proxy_budget_rate_per_second"] != 1299:
                pass
        assert await running.terminate() == 0


@pytest.mark.skipif(sys.platform != "linux", reason="reads what a process does with signals from /proc")
async def test_before_it_serves(tmp_path: Path) -> None:
    """What was written after the file was read at the start, and told of by a signal then, is read once it serves."""
    path, tokens = tmp_path / "proxy.toml", tmp_path / "access" / "tokens.json"
    write(tokens, token("team"))
    writer = Writer(path, "http://127.0.0.1:9", tokens)
    first = path.read_text()
    path.unlink()
    os.mkfifo(path)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "proxy", "serve", "--config", str(path)),
        env=environment(
            PLUTO_API_KEY=KEY, PLUTO_PROXY_CACHE=str(tmp_path / "cache" / "c.sqlite"), PLUTO_PROXY_LISTEN="127.0.0.1:0"
        ),
        cwd=ROOT,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(PATIENCE_S):
            while signal.SIGHUP not in mask(process.pid, "SigBlk"):  # noqa: ASYNC110 -- no event tells it
                await asyncio.sleep(0)
            process.send_signal(signal.SIGHUP)
            await asyncio.to_thread(path.write_text, first)
            writer.write(7)
            while b"config.reloaded" not in (line := await process.stderr.readline()):
                assert line
            assert b"upstream.rate_per_s" in line
            process.terminate()
            assert b"server.stopped" in await process.stderr.read()
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
