"""Two proxies and one cache file: the lock keeps them apart, and who deletes it is told."""

import asyncio
import signal
from pathlib import Path

import aiohttp

from proxy.standin import Row, Standin
from tests.support.processes import PATIENCE_S, Running, on_disk, proxy_process
from tests.support.world import KEY, METRICS

QUESTION = f"{METRICS}?runId=1&projectName=demo&logName=loss&limit=500"


async def test_the_lock_deleted_while_running(tmp_path: Path) -> None:
    """The second is let in; the first lets go of the file, says so while it answers on, and has it back when the other ends."""
    standin = Standin()
    standin.rows.insert(Row(run_id=1, log_name="loss", step=step, value=step / 7) for step in range(50))
    path = tmp_path / "cache" / "c.sqlite"
    async with standin.serve() as upstream, aiohttp.ClientSession() as session:
        variables = {
            "PLUTO_API_KEY": KEY,
            "PLUTO_PROXY_UPSTREAM": upstream,
            "PLUTO_PROXY_CACHE": str(path),
            "PLUTO_PROXY_CACHE__MEMORY_BYTES": "0",
            "PLUTO_PROXY_FRESHNESS__RUNNING_S": "600",
        }

        async def ask(running: Running) -> str:
            async with session.get(running.url + QUESTION) as response:
                assert response.status == 200
                return response.headers["Cache-Status"]

        async def told(running: Running, wanted: str) -> None:
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    async with session.get(f"{running.url}/readyz?verbose") as response:
                        assert response.status == 200
                        if wanted in (await response.json())["store"]["disk"]:
                            return
                    await asyncio.sleep(0.05)

        async with proxy_process(**variables) as first:
            await ask(first)
            await on_disk(path, 1)
            # However long the second takes to begin, the first doesn't notice before.
            first.process.send_signal(signal.SIGSTOP)
            Path(f"{path}.lock").unlink()
            async with proxy_process(**variables) as second:
                first.process.send_signal(signal.SIGCONT)
                await ask(second)
                await told(first, "in use by another pluto-proxy")
                await told(second, "ok")
                await ask(first)
                assert "unlocked" in first.log
                assert await second.terminate() == 0
            await told(first, "ok")
            assert "hit" in await ask(first)
            assert await first.terminate() == 0
        assert "store.recovered" in first.log
        assert "set_aside" not in first.log + second.log
