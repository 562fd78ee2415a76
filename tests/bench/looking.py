"""What servers tell of themselves while they are watched, and what the kernel tells of them."""

import asyncio
import re
from pathlib import Path

from tests.bench.exchange import get
from tests.bench.processes import Server
from tests.bench.replay.viewers import Wire

_METRIC = re.compile(r"^pluto_proxy_(\w+(?:\{[^}]*\})?) (\S+)$", re.MULTILINE)


async def body_of(server: Server, target: str) -> bytes:
    """Return the body of an answer, asked for on a connection of its own."""
    _, wire = await asyncio.get_running_loop().create_connection(Wire, "127.0.0.1", server.port)
    try:
        return (await wire.ask(get(target))).body
    finally:
        await wire.aclose()


async def metrics_of(proxy: Server) -> dict[str, float]:
    """Return all of its metrics by name, without `pluto_proxy_` and with labels: `store_bytes{store="memory"}`."""
    return {name: float(value) for name, value in _METRIC.findall((await body_of(proxy, "/metrics")).decode())}


def delayed_s(pid: int | str) -> float | None:
    """Return for how long a process's first thread was ready to run and had no CPU; None where nobody counts it."""
    scheduled = Path(f"/proc/{pid}/schedstat")
    return int(scheduled.read_text().split()[1]) / 1e9 if scheduled.exists() else None
