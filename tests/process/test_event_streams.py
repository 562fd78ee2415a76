"""Event streams of a real process: what its end and a token's end do to them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from proxy.standin import Standin
from tests.support.event_streams import listening, watching
from tests.support.processes import Running, proxy_process, run
from tests.support.world import DATA, KEY

FILE = "PLUTO_PROXY_ACCESS__TOKENS_FILE"
LOSS = watching("loss", project="demo")


@asynccontextmanager
async def serving(tmp_path: Path, **variables: str) -> AsyncIterator[Running]:
    standin = Standin()
    standin.rows.load_csv(DATA / "rows.csv.gz")
    settings = {"PLUTO_API_KEY": KEY, "PLUTO_PROXY_CACHE": str(tmp_path / "cache" / "cache.sqlite")}
    async with standin.serve() as upstream, proxy_process(PLUTO_PROXY_UPSTREAM=upstream, **settings | variables) as running:
        yield running


async def test_sigterm_waits_for_no_stream(tmp_path: Path) -> None:
    """The process has ended long before a request that is stuck would be given up, and streams were told."""
    async with serving(tmp_path) as running, listening(running.url, LOSS) as listener:
        await listener.until("rows")
        assert await running.terminate() == 0
        assert (await listener.until("ended")).data["code"] == "draining"
        await listener.ended()
        assert '"reason": "draining"' in running.log


async def test_a_revoked_token_ends_its_stream(tmp_path: Path) -> None:
    """As the operator revokes it."""
    variables = {FILE: str(tmp_path / "access" / "tokens.json")}
    status, token, _ = await run("token", "add", "charts", **variables)
    assert status == 0
    async with (
        serving(tmp_path, **variables) as running,
        listening(running.url, LOSS, Authorization=f"Bearer {token.strip()}") as listener,
    ):
        await listener.until("rows")
        assert (await run("token", "revoke", "charts", **variables))[0] == 0
        assert (await listener.until("ended")).data["code"] == "unauthorized"
        await listener.ended()
        assert token.strip() not in running.log
