"""How long the proxy takes from its start to its first answer, against what importing its dependencies alone takes."""

import ast
import asyncio
import importlib.util
import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from structlog.testing import capture_logs

from proxy.clock import SystemClock
from proxy.core.freshness.entry import Coding, Entry, digest_of
from proxy.store.sqlite import SqliteStore
from tests.bench.exchange import ask, get
from tests.bench.processes import end, pinned
from tests.bench.report import Bound, Section, spread
from tests.bench.world import MIB, World
from tests.support.processes import ROOT, environment
from tests.support.world import KEY

_MOST_RATIO = 1.5
_ENTRY_BYTES = 250_000
_FLUSH_EVERY = 100
_STARTED = re.compile(rb"server\.started.*http://127\.0\.0\.1:(\d+)|http://127\.0\.0\.1:(\d+).*server\.started")
_COLUMNS = ("cache file, MB", "imports alone, ms: median (min..max)", "start to first answer, ms", "ratio: median (min..max)")


async def measure(world: World) -> Section:
    """Start it with an empty cache file and with a large one, each time after the imports alone."""
    rows: list[list[str]] = []
    bounds: list[Bound] = []
    with tempfile.TemporaryDirectory(dir=world.folder) as folder:
        imports = Path(folder) / "imports.py"
        imports.write_text("".join(f"{line}\n" for line in dependencies(ROOT / "proxy")))
        for cache_bytes in (0, world.plan.cache_bytes):
            cache = Path(folder) / f"cache-{cache_bytes}" / "cache.sqlite"
            await _fill(cache, cache_bytes)
            size = f"{cache.stat().st_size / 1e6:.0f}"
            alone_ms: list[float] = []
            start_ms: list[float] = []
            with pinned(world.placement.server):
                await _imports_ms(imports)
                await _start_ms(cache)
                for _ in range(world.plan.starts):
                    alone_ms.append(await _imports_ms(imports))
                    start_ms.append(await _start_ms(cache))
            ratios = [start / alone for start, alone in zip(start_ms, alone_ms, strict=True)]
            rows.append([size, spread(alone_ms), spread(start_ms), spread(ratios, 2)])
            ratio = statistics.median(ratios)
            bounds.append(
                Bound(
                    promise=f"{size} MB of cache: the start takes at most {_MOST_RATIO:g} x the imports of the dependencies",
                    measured=f"{ratio:.2f}",
                    held=ratio <= _MOST_RATIO,
                )
            )
    return Section(title="Start", columns=_COLUMNS, rows=rows, bounds=bounds)


def dependencies(package: Path) -> list[str]:
    """Return the statements by which a package imports what it depends on, the standard library left out."""
    lines: set[str] = set()
    for path in package.rglob("*.py"):
        # The stand-in is only for the demo.
        if "standin" not in path.parts:
            lines |= set(_imports(ast.parse(path.read_text())))
    return sorted(lines)


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and _is_foreign(node.module or ""):
            yield ast.unparse(node)
        elif isinstance(node, ast.Import):
            yield from (f"import {alias.name}" for alias in node.names if _is_foreign(alias.name))


def _is_foreign(module: str) -> bool:
    top = module.partition(".")[0]
    return top not in {"proxy", *sys.stdlib_module_names} and importlib.util.find_spec(top) is not None


async def _fill(cache: Path, cache_bytes: int) -> None:
    """Make a cache file with so many bytes of entries, and its tables in any case."""
    store = SqliteStore(cache, max_bytes=2 * cache_bytes + 8 * MIB, clock=SystemClock())
    with capture_logs():
        await store.open()
    for number in range(cache_bytes // _ENTRY_BYTES):
        # What an entry is of is looked at when it is read: here nothing ever is.
        body = os.urandom(_ENTRY_BYTES)
        entry = Entry(body=body, sent_at_s=time.time(), digest=digest_of(body), encoded={Coding.ZSTD: body})
        store.put("bench", f"/api/runs/metrics?runId={number}&projectName=bench&limit=2000", entry)
        if number % _FLUSH_EVERY == 0:
            await store.flush()
    await store.flush()
    await store.aclose()


async def _imports_ms(imports: Path) -> float:
    began_s = time.perf_counter()
    process = await asyncio.create_subprocess_exec(sys.executable, str(imports), env=environment(), cwd=ROOT)
    if await process.wait():
        raise RuntimeError("the dependencies cannot be imported")
    return (time.perf_counter() - began_s) * 1000


async def _start_ms(cache: Path) -> float:
    variables = {
        "PLUTO_API_KEY": KEY,
        "PLUTO_PROXY_LISTEN": "127.0.0.1:0",
        # Nobody listens there, and nothing is asked.
        "PLUTO_PROXY_UPSTREAM": "http://127.0.0.1:9",
        "PLUTO_PROXY_CACHE": str(cache),
        "PLUTO_PROXY_LOG__FORMAT": "json",
    }
    began_s = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "proxy", "serve"),
        env=environment(**variables),
        cwd=ROOT,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stderr is not None
        async for line in process.stderr:
            if (found := _STARTED.search(line)) is not None:
                await ask(int(found[1] or found[2]), get("/livez"))
                return (time.perf_counter() - began_s) * 1000
        raise RuntimeError("the proxy did not start")
    finally:
        await end(process)
