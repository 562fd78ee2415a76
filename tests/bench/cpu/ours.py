"""The proxy as a team runs it: with a token and the defaults for freshness; and as it was at an earlier commit."""

import asyncio
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.contestants import PROXY, Proxy
from tests.bench.exchange import UnexpectedError
from tests.bench.granted import write_token
from tests.bench.world import World
from tests.support.processes import ROOT


@asynccontextmanager
async def ours(world: World, *, fresh_s: int) -> AsyncIterator[list[Proxy]]:
    """Run the proxy, and that of the baseline where one is named, with answers that are fresh for so many seconds.

    Raises UnexpectedError where there is no such commit.
    """
    with TemporaryDirectory(dir=world.folder) as name:
        folder = Path(name)
        async with _proxy(world, folder, PROXY, fresh_s) as proxy:
            if not (commit := world.plan.baseline):
                yield [proxy]
                return
            code = folder / "code"
            await _check_out(commit, code)
            module = "tests.bench.cpu.earlier"
            async with _proxy(world, folder, f"{PROXY} at {commit}", fresh_s, module=module, code=str(code)) as before:
                yield [proxy, before]


@asynccontextmanager
async def _proxy(
    world: World, folder: Path, name: str, fresh_s: int, *, module: str = "proxy", code: str = ""
) -> AsyncIterator[Proxy]:
    tokens = folder / f"tokens-{module}"
    secret = write_token(tokens)
    async with world.another_proxy(
        module=module,
        BENCH_CODE=code,
        PLUTO_PROXY_ACCESS__TOKENS_FILE=str(tokens),
        PLUTO_PROXY_FRESHNESS__RUNNING_S=str(fresh_s),
    ) as server:
        yield Proxy(server, secret, name)


async def _check_out(commit: str, code: Path) -> None:
    archive = code.with_suffix(".tar")
    process = await asyncio.create_subprocess_exec(
        "git", "archive", "--format=tar", f"--output={archive}", commit, "proxy", cwd=ROOT
    )
    if await process.wait():
        raise UnexpectedError(f"the baseline {commit} is not there")
    with tarfile.open(archive) as packed:
        packed.extractall(code, filter="data")
