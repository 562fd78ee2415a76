"""`kill -9` under load loses nothing that was on disk and breaks nothing."""

import asyncio
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp

from proxy.standin import Row, Standin
from tests.support.processes import on_disk, proxy_process
from tests.support.world import DATA, KEY, METRICS

QUESTIONS = [f"{METRICS}?runId=1&projectName=demo&logName=loss&limit=500&stepMin={number}" for number in range(1, 41)]


async def read_all(session: aiohttp.ClientSession, url: str) -> list[tuple[str, bytes]]:
    async def read(question: str) -> tuple[str, bytes]:
        async with session.get(url + question) as response:
            assert response.status == 200
            return response.headers["Cache-Status"], await response.read()

    return await asyncio.gather(*map(read, QUESTIONS))


async def test_answers_survive_a_kill(tmp_path: Path) -> None:
    """Killed while answering and writing, then started again without memory: hits, no upstream call, no corruption."""
    standin = Standin()
    standin.rows.load_csv(DATA / "rows.csv.gz")
    path = tmp_path / "cache" / "c.sqlite"
    async with standin.serve() as upstream, aiohttp.ClientSession() as session:
        variables = {
            "PLUTO_API_KEY": KEY,
            "PLUTO_PROXY_UPSTREAM": upstream,
            "PLUTO_PROXY_CACHE": str(path),
            "PLUTO_PROXY_FRESHNESS__RUNNING_S": "600",
            "PLUTO_PROXY_CACHE__MEMORY_BYTES": "0",
            # Each question an entry of its own: many writes to be interrupted.
            "PLUTO_PROXY_SERIES__ENABLED": "false",
        }
        async with proxy_process(**variables) as running:
            before = await read_all(session, running.url)
            await on_disk(path, len(QUESTIONS))
            load = [asyncio.create_task(keep_asking(session, running.url, number)) for number in range(8)]
            await standin.counters.reached(lambda seen: seen.by_path[METRICS] >= len(QUESTIONS) + 60)
            await running.kill()
            await asyncio.gather(*load)
        check = sqlite3.connect(path)
        assert check.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        check.close()
        calls = standin.counters.by_path[METRICS]
        async with proxy_process(**variables) as running:
            after = await read_all(session, running.url)
            assert await running.terminate() == 0
        assert [body for _, body in after] == [body for _, body in before]
        assert all(status.startswith("pluto-proxy; hit") for status, _ in after)
        assert standin.counters.by_path[METRICS] == calls
        assert "set_aside" not in running.log


async def test_series_survive_a_kill(tmp_path: Path) -> None:
    """What was asked wide before a kill answers every panel after it, without a call for as long as it is fresh."""
    standin = Standin()
    standin.rows.load_csv(DATA / "rows.csv.gz")
    path = tmp_path / "cache" / "c.sqlite"
    async with standin.serve() as upstream, aiohttp.ClientSession() as session:
        variables = {
            "PLUTO_API_KEY": KEY,
            "PLUTO_PROXY_UPSTREAM": upstream,
            "PLUTO_PROXY_CACHE": str(path),
            "PLUTO_PROXY_FRESHNESS__RUNNING_S": "600",
        }
        async with proxy_process(**variables) as running:
            before = await read_all(session, running.url)
            # One call for all of them, and the canary's five.
            assert standin.counters.by_path[METRICS] <= 6
            await extents_on_disk(path)
            await running.kill()
        async with proxy_process(**variables) as running:
            after = await read_all(session, running.url)
            assert [body for _, body in after] == [body for _, body in before]
            assert all(status.startswith("pluto-proxy; hit") for status, _ in after)
            assert await running.terminate() == 0


async def test_a_live_series_costs_one_delta_after_a_kill(tmp_path: Path) -> None:
    """What was known of a running run is known again: one call asks for what is new, for every panel, another proves it."""
    standin = Standin()
    begun = datetime(2026, 1, 1, tzinfo=UTC)
    standin.rows.insert(
        Row(
            run_id=1,
            log_name="loss",
            step=step,
            value=step / 7,
            time=f"{begun + timedelta(seconds=step):%Y-%m-%d %H:%M:%S}.000",
        )
        for step in range(800)
    )
    path = tmp_path / "cache" / "c.sqlite"
    async with standin.serve() as upstream, aiohttp.ClientSession() as session:
        variables = {
            "PLUTO_API_KEY": KEY,
            "PLUTO_PROXY_UPSTREAM": upstream,
            "PLUTO_PROXY_CACHE": str(path),
            # So that what was asked for before the kill has grown old by the time of the first question after it.
            "PLUTO_PROXY_FRESHNESS__RUNNING_S": "0.001",
            "PLUTO_PROXY_FRESHNESS__STALE_WHILE_REVALIDATE_S": "0",
            "PLUTO_PROXY_SERIES__OVERLAP_S": "10",
            "PLUTO_PROXY_SERIES__SHADOW_S": "0",
        }
        question = f"{METRICS}?runId=1&projectName=demo&logName=loss&limit=500"
        another = question.replace("500", "501")
        async with proxy_process(**variables) as running:
            # At the second look all of it is asked for.
            for target in (question, another):
                async with session.get(running.url + target) as response:
                    assert response.status == 200
            await extents_on_disk(path)
            await running.kill()
        standin.counters.reset()
        async with proxy_process(**variables) as running:
            async with session.get(running.url + question) as response:
                assert response.headers["Cache-Status"].endswith('detail="delta"')
                assert response.headers["X-Pluto-Complete-Through"] == "799"
            assert await running.terminate() == 0
        asked = [call.query for call in standin.counters.calls if call.path == METRICS]
        assert len(asked) == 2
        assert all("stepMin=7" in str(query) for query in asked)
        assert "limit=10000" in str(asked[0])


async def keep_asking(session: aiohttp.ClientSession, url: str, number: int) -> None:
    """Ask new questions until the proxy is gone."""
    try:
        for step in range(100_000):
            question = f"{METRICS}?runId=1&projectName=demo&logName=loss&stepMin={step}&stepMax={step + number}&limit=9"
            async with session.get(url + question) as response:
                await response.read()
    except aiohttp.ClientError:
        return


async def extents_on_disk(path: Path) -> None:
    """Wait until series are committed, with what lists them, and for a moment nothing more is."""
    check = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    heads: list[tuple[str, float]] = []
    async with asyncio.timeout(20):
        while True:
            before = heads
            heads = check.execute("SELECT key, sent_at_s FROM entries WHERE key LIKE 'extents of %' ORDER BY key").fetchall()
            if heads and heads == before:
                break
            await asyncio.sleep(0.5)
    check.close()
