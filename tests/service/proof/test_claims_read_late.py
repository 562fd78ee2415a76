"""A late disk doesn't tell what an earlier process left to be confirmed: it isn't taken for nothing."""

import asyncio
from contextlib import AbstractContextManager, AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web

from proxy.core.proof.limits import Limits
from proxy.service.tenancy import VALIDATE_TARGET
from tests.service.proof.test_proving import get, look, put_apart, steps
from tests.support.late_disk import late, not_told_whose
from tests.support.oracle import Cap, How, Of
from tests.support.oracle_upstream import OracleUpstream, proxied
from tests.support.world import ManualClock, World, until, world

CLAIMS = "witnesses to be asked"


async def conclude(running: World, upstream: OracleUpstream, long: str, late: str, cap: Cap | None = None) -> None:
    """Have a series taken for whole because of another one, which is still to be confirmed."""
    put_apart(upstream, **{long: 3_000, late: 1_000 if cap is None else 1_500})
    await look(running, long)
    running.advance(20)
    upstream.keep_to(cap)
    await look(running, late)


@pytest.mark.parametrize("which", [late(lambda key: key == CLAIMS), not_told_whose()], ids=["claims", "whose the key is"])
async def test_what_was_concluded_is_read_late(tmp_path: Path, which: AbstractContextManager[None]) -> None:
    """It is confirmed once the disk answers."""
    upstream = OracleUpstream(clock=ManualClock())
    async with upstream.serve() as url, AsyncExitStack() as stack:
        async with proxied(tmp_path, upstream, url, limits=Limits()) as running:
            await conclude(running, upstream, "long", "late", Cap(of=Of.NAME, how=How.SHARES, size=1_000))
        with which:
            running = await stack.enter_async_context(proxied(tmp_path, upstream, url, limits=Limits()))
        for _ in range(2):
            running.advance(1)
            await running.parts.proof.witnesses.settled()
        reply = await get(running, "logName=late&stepMin=1000&stepMax=1009")
        assert steps(reply) == list(range(1_000, 1_010))


async def test_what_was_concluded_is_not_written_over(tmp_path: Path) -> None:
    """While a late disk doesn't tell what is still to be confirmed, that stays there; what was concluded since is forgotten."""
    upstream, first, second, third = OracleUpstream(clock=ManualClock()), Limits(), Limits(), Limits()
    async with upstream.serve() as url:
        async with proxied(tmp_path, upstream, url, limits=first) as running:
            await conclude(running, upstream, "a", "b")
        assert first.pending
        with late(lambda key: key == CLAIMS):
            async with proxied(tmp_path, upstream, url, limits=second) as running:
                await conclude(running, upstream, "c", "d", Cap(of=Of.NAME, how=How.SHARES, size=1_000))
                running.advance(1)
                await running.flushed()
            assert set(second.pending).isdisjoint(first.pending)
            assert second.pending
        async with proxied(tmp_path, upstream, url, limits=third) as running:
            assert third.pending == first.pending
            reply = await get(running, "logName=d&stepMin=1000&stepMax=1009")
            assert steps(reply) == list(range(1_000, 1_010))


@dataclass
class Reticent(OracleUpstream):
    """Says whose a key is only while `tells` is set."""

    tells: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, request: web.Request) -> web.Response:
        if request.path == VALIDATE_TARGET:
            await until(self.tells)
        return await super().handle(request)


async def test_what_was_concluded_before_it_is_known_whose_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While neither the disk nor the upstream has told whose the key is, nothing is written in place of what is there."""
    monkeypatch.setattr("proxy.service.proof.witnesses._PERIOD_S", 3600.0)
    upstream, first, second = Reticent(clock=ManualClock()), Limits(), Limits()
    async with upstream.serve() as url, AsyncExitStack() as stack:
        upstream.tells.set()
        async with proxied(tmp_path, upstream, url, limits=first) as running:
            await conclude(running, upstream, "a", "b")
        upstream.tells.clear()
        with not_told_whose():
            running = await stack.enter_async_context(
                world(tmp_path, upstream=url, clock=upstream.clock, limits=second, series__enabled="true", series__shadow_s=0)
            )
            await conclude(running, upstream, "c", "d")
            own = set(second.pending)
            assert own
            running.advance(1)
            await running.parts.proof.witnesses.settled()
            assert await running.parts.store.disk.get(running.parts.tenancy.current().namespace, CLAIMS) is None
        upstream.tells.set()
        await running.parts.tenancy.settled()
        await running.parts.proof.witnesses.write()
        assert set(second.pending) == {*first.pending, *own}
