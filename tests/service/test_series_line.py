"""Dashboards that open all at once, while few calls may go: runs are still asked for as a whole."""

import asyncio
from collections import Counter
from pathlib import Path

from proxy.clock import SystemClock
from proxy.standin import Row, Standin, StandinConfig
from tests.service.test_series_wall import runs_called
from tests.support import METRICS, world

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
        series__shadow_fraction=0,
        freshness__stale_wait_s=0.1,
        upstream__rate_per_s=25,
        upstream__burst=1,
        upstream__max_concurrency=8,
    ) as running:
        targets = [f"{METRICS}?runId={run}&projectName=demo&logName={name}" for run in RUNS for name in NAMES]
        replies = await asyncio.gather(*map(running.get, targets))
        assert {reply.status for reply in replies} == {200}
        calls = Counter(runs_called(standin))
        assert set(calls) == set(map(str, RUNS))
        assert max(calls.values()) <= 3, calls
