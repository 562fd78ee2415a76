"""An upstream whose runs all have the same rows, a process of its own: that of `growing.origin`, with one series for all runs.

python -m tests.bench.same_rows 200 '{"start_s": 1767225600.0, "rows": 100000}'
"""

import asyncio
import json
import sys
import time
from dataclasses import replace

from proxy.standin import Standin, StandinConfig
from proxy.standin.params import MetricsQuery
from tests.bench.growing.origin import PROJECT, ComputedRows
from tests.bench.growing.series import Series

_TENANT = "org_demo"


class SameRows(ComputedRows):
    """The rows of the series of run 1, for any run."""

    def select(self, tenant: str, query: MetricsQuery, *, quoted_steps: bool) -> list[str]:
        """See Rows."""
        return super().select(tenant, replace(query, run_id=1), quoted_steps=quoted_steps)


async def _serve(runs: int, series: Series) -> None:
    standin = Standin(StandinConfig(gzip=False))
    standin.rows = SameRows([series], time.time)
    for run in range(1, runs + 1):
        standin.catalogue.add(run, project=PROJECT, tenant=_TENANT)
    async with standin.serve() as url:
        sys.stderr.write(f"listening on {url}\n")
        sys.stderr.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), Series(**json.loads(sys.argv[2]))))
