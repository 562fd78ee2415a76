"""Who is put in front of the upstream: nobody, nginx, Varnish, the proxy. Each runs by itself, in a folder of its own."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.packaged import PACKAGES, Lifetimes, Package
from tests.bench.processes import Server, serving
from tests.bench.replay.judge import Promise
from tests.support.world import KEY

PROXY = "pluto-proxy"
# series.rewrite_check_s: how long rows that were written again may be kept as they were.
_REWRITE_CHECK_S = 300.0
# The proxy's own defaults for live runs.
_LIFETIMES = Lifetimes(fresh_s=5, stale_s=5)
Open = Callable[[Path, Server, int | None], AbstractAsyncContextManager[int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """Something in front. `open(folder, upstream, cpu)` runs it and yields its port; `headers` are what viewers send to it."""

    open: Open
    promise: Promise = field(default_factory=Promise)
    headers: Mapping[str, str] = field(default_factory=dict)


@asynccontextmanager
async def _nobody(_folder: Path, origin: Server, _cpu: int | None) -> AsyncIterator[int]:
    yield origin.port


def _packaged(package: Package) -> Open:
    @asynccontextmanager
    async def run(folder: Path, origin: Server, cpu: int | None) -> AsyncIterator[int]:
        async with package.open(folder, origin, cpu, _LIFETIMES) as server:
            yield server.port

    return run


@asynccontextmanager
async def _proxy(folder: Path, origin: Server, cpu: int | None) -> AsyncIterator[int]:
    """Run it as it is by default, its budget and its checks included."""
    settings = {
        "PLUTO_API_KEY": KEY,
        "PLUTO_PROXY_LISTEN": "127.0.0.1:0",
        "PLUTO_PROXY_UPSTREAM": f"http://127.0.0.1:{origin.port}",
        "PLUTO_PROXY_CACHE": str(folder / "cache.sqlite"),
        "PLUTO_PROXY_LOG__FORMAT": "json",
    }
    async with serving(folder, "proxy", "serve", cpu=cpu, **settings) as server:
        yield server.port


FRONTS: Mapping[str, Front] = {
    "nothing": Front(open=_nobody, headers={"Authorization": f"Bearer {KEY}"}),
    **{name: Front(open=_packaged(package)) for name, package in PACKAGES.items()},
    PROXY: Front(open=_proxy, promise=Promise(rewrite_s=_REWRITE_CHECK_S)),
}
