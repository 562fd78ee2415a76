"""A backup that is restored: an older state of the cache file, under a proxy that goes on."""

import asyncio
from pathlib import Path

from proxy.standin import Fault, FaultKind, Row, Standin, StandinConfig
from proxy.store.sqlite.carrying import Imported, export_file, import_file
from tests.support.world import METRICS, QUESTION, ManualClock, world

OTHER = f"{METRICS}?runId=2&projectName=demo&logName=loss&limit=2"
LATER_S = 600.0


async def restored(folder: Path, copy: Path, clock: ManualClock) -> Imported:
    path = folder / "cache" / "cache.sqlite"
    arguments = {"now_s": clock.now_s(), "max_bytes": 2**30, "replace": True, "progress": lambda _done, _total: None}
    return await asyncio.to_thread(import_file, copy, path, **arguments)  # type: ignore[arg-type]  # their types are mixed in one dictionary


async def test_a_restored_backup(tmp_path: Path) -> None:
    """What it has is as old as it is, so it is asked for again; what was purged since is not handed out even if that fails."""
    clock, standin, copy = ManualClock(), Standin(StandinConfig()), tmp_path / "backup"
    standin.rows.insert(Row(run_id=run, log_name="loss", step=0, value=1.0) for run in (1, 2))
    async with standin.serve() as upstream:
        async with world(tmp_path, standin=standin, clock=clock, upstream=upstream) as running:
            then = {target: await running.get(target) for target in (QUESTION, OTHER)}
            assert (await running.get(OTHER)).is_hit
            await running.flushed()
            await asyncio.to_thread(export_file, tmp_path / "cache" / "cache.sqlite", copy)
            clock.advance(1)
            async with running.session.post(f"{running.url}/admin/purge", json={"run": 1}) as reply:
                assert reply.status == 200
        assert await restored(tmp_path, copy, clock) == Imported(entries=1, purged=1, knows_purges=True)
        clock.advance(LATER_S)
        standin.faults.add(Fault(kind=FaultKind.STATUS, status=500, times=None))
        async with world(tmp_path, standin=standin, clock=clock, upstream=upstream) as running:
            assert (await running.get(QUESTION)).status == 502
            stale = await running.get(OTHER)
            assert (stale.status, stale.body) == (200, then[OTHER].body)
            assert "stale" in stale.cache_status
            assert float(stale.headers["Age"]) >= LATER_S
            standin.faults.clear()
        standin.rows.insert([Row(run_id=2, log_name="loss", step=1, value=2.0)])
        await restored(tmp_path, copy, clock)
        clock.advance(LATER_S)
        async with world(tmp_path, standin=standin, clock=clock, upstream=upstream) as running:
            fresh = await running.get(OTHER)
            assert not fresh.is_hit
            assert fresh.body != then[OTHER].body
