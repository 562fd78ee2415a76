"""An upstream with long live series, a process of its own: the stand-in, with rows that are computed when they are asked for.

    python -m tests.bench.growing.origin '{"series": [{"start_s": 1767225600.0, "rows": 1000000}], "latency_ms": 40}'

It answers as the stand-in does, with its counters and its control surface (`/_standin/counters`, `/_standin/calls`), and takes
`latency_ms` for any call. All runs are RUNNING. `metrics/raw` and what the upstream derives from rows (`statistics` and its
relatives) know of no rows: to count and to add up millions of them would take longer than all the rest.
"""

import asyncio
import json
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict

from proxy.standin import Fault, FaultKind, Row, Standin, StandinConfig
from proxy.standin.faults import ANY_PATH
from proxy.standin.params import MetricsQuery
from proxy.standin.rows import Rows, log_group_of
from tests.bench.growing.series import Series, Writing

PROJECT, _TENANT = "demo", "org_demo"
LATENCY_MS = 40.0


class ComputedRows(Rows):
    """The rows of some series. Their table has the first row of each series alone, so that names are found in it."""

    def __init__(self, series: Iterable[Series], clock: Callable[[], float]) -> None:
        super().__init__()
        self._clock = clock
        self._written = [Writing(one) for one in sorted(series, key=lambda one: one.name.encode())]
        self.insert(
            Row(run_id=one.series.run, log_name=one.series.name, step=one.series.first_step, value=1.0) for one in self._written
        )

    def select(self, tenant: str, query: MetricsQuery, *, quoted_steps: bool) -> list[str]:
        """See Rows. Raises ValueError for quoted steps, which nothing here asks for."""
        if quoted_steps:
            raise ValueError("steps are numbers here")
        now_s = self._clock()
        if (tenant, query.project) != (_TENANT, PROJECT):
            return []
        return [
            written.text(place, now_s)
            for written in self._written
            if _is_asked(written.series, query)
            for place in written.sent(now_s, first=query.step_min, last=query.step_max, limit=query.limit)
        ]


def _is_asked(series: Series, query: MetricsQuery) -> bool:
    group = log_group_of(series.name)
    return series.run == query.run_id and query.log_name in ("", series.name) and query.log_group in ("", group)


def make_standin(
    series: Sequence[Series], *, latency_ms: float = LATENCY_MS, clock: Callable[[], float] = time.time
) -> Standin:
    """Return a stand-in that has these series. Nothing is compressed, so that bytes can be compared."""
    standin = Standin(StandinConfig(gzip=False), clock=clock)
    standin.rows = ComputedRows(series, clock)
    for run in sorted({one.run for one in series}):
        standin.catalogue.add(run, project=PROJECT, tenant=_TENANT)
    standin.faults.add(Fault(kind=FaultKind.HOLD, times=None, path=ANY_PATH, delay_s=latency_ms / 1000))
    return standin


def argument(series: Iterable[Series], *, latency_ms: float = LATENCY_MS) -> str:
    """Return what the process is started with."""
    return json.dumps({"series": [asdict(one) for one in series], "latency_ms": latency_ms})


async def _serve(told: str) -> None:
    given = json.loads(told)
    series = [Series(**fields) for fields in given["series"]]
    async with make_standin(series, latency_ms=given.get("latency_ms", LATENCY_MS)).serve() as url:
        sys.stderr.write(f"listening on {url}\n")
        sys.stderr.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1]))
