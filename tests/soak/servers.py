"""The stand-in with its limit and the proxy in front of it, each a process of its own on loopback."""

import asyncio
import contextlib
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.processes import PATIENCE_S, ROOT, environment, proxy_process
from tests.support.world import KEY


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """Where the two are reached."""

    standin: str
    proxy: str


@asynccontextmanager
async def servers(*, runs: int, limit_per_s: float, latency_ms: float, **settings: str) -> AsyncIterator[Servers]:
    """Run both; `settings` are the proxy's, written like `UPSTREAM__RATE_PER_S="5"`."""
    options = [f"--live={runs}", "--finished=0", f"--rate={limit_per_s:g}", f"--latency-ms={latency_ms:g}"]
    with tempfile.TemporaryDirectory(prefix="pluto-proxy-soak-") as folder:
        async with _standin(*options) as standin:
            variables = {
                "PLUTO_API_KEY": KEY,
                "PLUTO_PROXY_UPSTREAM": standin,
                "PLUTO_PROXY_CACHE": str(Path(folder) / "cache.sqlite"),
                **{f"PLUTO_PROXY_{name}": value for name, value in settings.items()},
            }
            async with proxy_process(**variables) as proxy:
                yield Servers(standin=standin, proxy=proxy.url)


@asynccontextmanager
async def _standin(*options: str) -> AsyncIterator[str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "proxy.standin",
        *options,
        env=environment(),
        cwd=ROOT,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            url = (await process.stdout.readline()).decode().strip()
        assert url, "the stand-in ended without listening"
        yield url
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()
