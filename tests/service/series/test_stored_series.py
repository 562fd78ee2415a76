"""What is known of series on disk: it outlives a restart, and what must not be stored is not there."""

import asyncio
from pathlib import Path

import pytest

from proxy.core.freshness.entry import Entry
from proxy.core.freshness.purge import is_answer
from proxy.core.series import metrics_query
from proxy.service.tenancy import Organization
from tests.store.support import entry, learning, locked
from tests.support.late_disk import late
from tests.support.live_runs import PANEL, PROMPT, WIDE, begin, later, live, since
from tests.support.oracle_upstream import HeldUpstream, OracleUpstream, proxied, right, row, target
from tests.support.world import ManualClock, World, until

pytestmark = pytest.mark.usefixtures("on_time")


async def test_after_a_restart(tmp_path: Path) -> None:
    """A live run costs one call for what is new when the proxy has come back, not all of it again."""
    upstream = OracleUpstream(clock=ManualClock())
    raws = ("logName=a&limit=10", "logName=b&limit=10", "limit=10")
    async with upstream.serve() as url:
        async with proxied(tmp_path, upstream, url, **PROMPT) as running:
            begin(upstream, "a", "b")
            for raw in raws:
                await right(running, upstream, raw)
            await later(running, upstream, *raws, grow=lambda: upstream.log("a", range(100, 110)))
            await running.flushed()
        upstream.clock.advance(20)
        upstream.log("b", [100])
        upstream.log("a", [110])
        upstream.asked.clear()
        async with proxied(tmp_path, upstream, url, **PROMPT) as running:
            await asyncio.gather(*(right(running, upstream, raw) for raw in raws))
            assert upstream.asked == [since(50, None)]
            assert await later(running, upstream, *raws) == [since(50, None)]


async def test_what_is_forgotten_does_not_come_back(tmp_path: Path) -> None:
    """Not even where it could not be read that it is forgotten."""
    upstream = OracleUpstream(clock=ManualClock())
    async with upstream.serve() as url:
        async with proxied(tmp_path, upstream, url, **PROMPT) as running:
            await _keep_one(running, upstream)
            running.parts.shelves.forget()
        async with proxied(tmp_path, upstream, url, **PROMPT) as running:
            with late(lambda key: key == "extents are forgotten"):
                assert await _stored(running) == 0
            assert await _stored(running) == 0


async def test_what_is_forgotten_while_the_disk_takes_nothing(tmp_path: Path) -> None:
    """It is forgotten on disk as soon as that can be written."""
    upstream = OracleUpstream(clock=ManualClock())
    async with upstream.serve() as url:
        async with proxied(tmp_path, upstream, url, **PROMPT) as running:
            await _keep_one(running, upstream)
            path = running.parts.store.disk.path
            async with locked(path):
                running.parts.store.disk.put("ns", "key", entry())
                await running.flushed()
                assert running.parts.store.disk.health is not None
                running.parts.shelves.forget()
            running.advance(60)
            await running.flushed()
            assert running.parts.store.disk.health is None
        async with proxied(tmp_path, upstream, url, **PROMPT) as running:
            assert await _stored(running) == 0


async def test_only_series_that_were_kept_are_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of others the disk says that it has nothing without being read: it is asked for answers alone."""
    upstream = OracleUpstream(clock=ManualClock())
    upstream.put(row("loss", step) for step in range(300))
    async with upstream.serve() as url:
        async with proxied(tmp_path, upstream, url) as running:
            await right(running, upstream, "logName=loss&limit=10")
            await running.flushed()
        async with proxied(tmp_path, upstream, url) as running:
            disk = running.parts.store.disk
            await learning(disk)
            assert "series" in (await right(running, upstream, "logName=loss&limit=9")).cache_status
            looked_for, get = [], disk.get

            async def noting(namespace: str, key: str) -> Entry | None:
                looked_for.append(key)
                return await get(namespace, key)

            monkeypatch.setattr(disk, "get", noting)
            await right(running, upstream, "logName=never&limit=9")
            assert looked_for
            assert all(map(is_answer, looked_for))


async def test_what_must_not_be_stored(tmp_path: Path) -> None:
    """Rows that only requests with no-store brought are not on disk, be it whole or by a delta."""
    upstream = OracleUpstream(clock=ManualClock())
    raw = target("logName=loss&limit=10")
    async with upstream.serve() as url, proxied(tmp_path, upstream, url, **PROMPT) as running:
        begin(upstream)
        for _ in range(3):
            await running.get(raw, Cache_Control="no-store")
            running.advance(6)
            upstream.log("loss", [100 + len(upstream.asked)])
        await running.flushed()
        assert upstream.asked == [WIDE, since(50), since(50)]
        assert await _stored(running) == 0


async def test_what_may_be_stored_after_all(tmp_path: Path) -> None:
    """As soon as another request brings what is new, all that is known is stored."""
    upstream = OracleUpstream(clock=ManualClock())
    raw = target("logName=loss&limit=10")
    async with upstream.serve() as url:
        async with proxied(tmp_path, upstream, url, **PROMPT) as running:
            begin(upstream)
            await running.get(raw, Cache_Control="no-store")
            assert await later(running, upstream) == [since(50)]
            await running.flushed()
        upstream.asked.clear()
        async with proxied(tmp_path, upstream, url, **PROMPT) as running:
            assert await later(running, upstream) == [since(50)]


async def _keep_one(running: World, upstream: OracleUpstream) -> None:
    """Have one series on disk."""
    begin(upstream)
    await right(running, upstream, PANEL)
    await running.flushed()
    assert await _stored(running) == 1


async def _stored(running: World) -> int:
    """Return how many windows of the series another proxy would find on disk."""
    shelves, tenant = running.parts.shelves, running.parts.tenancy.current()
    shelves._shelves.clear()
    shelves._absent.clear()
    loss = metrics_query.MetricsQuery(run="1", project="p", name="loss", group=None, limit=10_000, first=0, last=None)
    return len(await shelves.load(tenant, loss.selections))


async def test_what_must_not_be_stored_moves_to_its_organization_unstored(tmp_path: Path) -> None:
    """That a key's organization becomes known is no reason to write what only requests with no-store brought."""
    async with live(tmp_path) as (running, upstream):
        begin(upstream)
        await running.get(target(PANEL), Cache_Control="no-store")
        tenant = running.parts.tenancy.current()
        old = tenant.namespace
        tenant.move("elsewhere", Organization(id="elsewhere"))
        running.parts.shelves.rename(old, "elsewhere")
        await running.flushed()
        assert running.parts.store.disk.sizes.entries == 0
        running.advance(6)
        upstream.asked.clear()
        await right(running, upstream, PANEL)
        assert upstream.asked[-1:] == [since(50)]


async def test_who_joins_may_let_it_be_stored(tmp_path: Path) -> None:
    """What a request with no-store began to ask for is stored where another request waits for it as well."""
    upstream = HeldUpstream(clock=ManualClock(), holds=lambda path: "stepMin" in path)
    async with upstream.serve() as url, proxied(tmp_path, upstream, url, **PROMPT) as running:
        begin(upstream)
        await running.get(target("logName=loss&limit=10"), Cache_Control="no-store")
        running.advance(6)
        first = asyncio.create_task(running.get(target("logName=loss&limit=10"), Cache_Control="no-store"))
        await until(upstream.arrived)
        second = asyncio.create_task(running.get(target("logName=loss&limit=9")))
        await asyncio.sleep(0.05)
        upstream.gate.set()
        await asyncio.gather(first, second)
        await running.flushed()
        assert upstream.asked == [WIDE, since(50)]
        assert await _stored(running) == 1
