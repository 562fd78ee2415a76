"""Dashboards of many panels, while few calls may go: a run is asked for as a whole, and what is new of it as well."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from proxy.clock import SystemClock
from proxy.standin import Fault, Row, Standin, StandinConfig
from tests.service.series.test_dashboards import runs_called
from tests.support.oracle import OracleRow
from tests.support.oracle_upstream import right, row, series_world, target
from tests.support.world import METRICS, world

RUNS = range(101, 109)
NAMES = [f"m{number}" for number in range(8)]


async def test_many_runs_at_once_cost_few_calls_each(tmp_path: Path) -> None:
    """Their sizes are waited for as long as the line is, which any other question would have to stand in as well."""
    standin = Standin(StandinConfig())
    standin.rows.insert(
        Row(run_id=run, log_name=name, step=step, value=step) for run in RUNS for name in NAMES for step in range(9)
    )
    async with world(
        tmp_path,
        standin=standin,
        system_clock=SystemClock(),
        series__enabled="true",
        series__shadow_s=0,
        freshness__stale_wait_s=0.4,
        upstream__rate_per_s=16,
        upstream__burst=1,
        upstream__max_concurrency=8,
    ) as running:
        targets = [f"{METRICS}?runId={run}&projectName=demo&logName={name}" for run in RUNS for name in NAMES]
        replies = await asyncio.gather(*map(running.get, targets))
        assert {reply.status for reply in replies} == {200}
        calls = Counter(runs_called(standin))
        assert set(calls) == set(map(str, RUNS))
        assert max(calls.values()) <= 3, calls


async def test_a_size_that_comes_late_is_used_at_once(tmp_path: Path) -> None:
    """Who didn't wait for it any more asks for a single metric, the next one for the whole run."""
    gate = asyncio.Event()
    standin = Standin(StandinConfig())
    standin.rows.insert(Row(run_id=101, log_name=name, step=step, value=step) for name in NAMES for step in range(9))
    standin.faults.add(Fault(path="/api/runs/details/101", gate=gate))
    async with world(
        tmp_path, standin=standin, series__enabled="true", series__shadow_s=0, freshness__stale_wait_s=0.05
    ) as running:
        for name in NAMES[:2]:
            await running.get(f"{METRICS}?runId=101&projectName=demo&logName={name}")
        assert running.metrics_calls == 2
        gate.set()
        await running.settled()
        for name in NAMES[2:]:
            await running.get(f"{METRICS}?runId=101&projectName=demo&logName={name}")
        assert running.metrics_calls == 3
        assert standin.counters.by_path["/api/runs/details/101"] == 1


def logged(steps: Iterable[int]) -> Iterator[OracleRow]:
    """Yield rows of all names, ten seconds from step to step."""
    begun = datetime(2026, 1, 1)  # noqa: DTZ001 -- as the upstream prints it
    return (row(name, step, time=f"{begun + timedelta(seconds=10 * step)}") for name in NAMES for step in steps)


@pytest.mark.parametrize(("max_bytes", "calls"), [(9_000, [2, 1]), (4_500, [9, 8])])
async def test_what_is_new_of_series_kept_one_by_one_comes_at_once(tmp_path: Path, max_bytes: int, calls: list[int]) -> None:
    """Of a run that is too large to be asked for as a whole; where that is too much they are asked for one by one again."""
    async with series_world(tmp_path, series__max_fetch_bytes=max_bytes) as (running, upstream):
        upstream.put(logged(range(40)))
        for name in NAMES:
            await right(running, upstream, f"logName={name}")
        # The second of them found out that the whole is too much, and was asked for as it came: in full only now.
        assert upstream.metrics_calls == len(NAMES) + 1
        for number, most in enumerate(calls):
            upstream.put(logged([40 + number]))
            running.advance(6)
            before = upstream.metrics_calls
            for name in NAMES:
                await running.get(target(f"logName={name}"))
            await running.settled()
            assert upstream.metrics_calls - before == most
            for name in NAMES:
                await right(running, upstream, f"logName={name}")
            assert upstream.metrics_calls - before == most
