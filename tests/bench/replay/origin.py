"""The upstream of a replay, a process of its own: the stand-in with growing runs, which takes its time for every call.

Its arguments are the growth's configuration as JSON, and how many metrics calls it takes: a second and at once, without which
it takes any number.
"""

import asyncio
import json
import sys

from proxy.standin import Fault, FaultKind, GrowthConfig, Standin, StandinConfig
from proxy.standin.faults import ANY_PATH

LATENCY_MS = 40


def make_standin(growth: GrowthConfig, rate_per_s: float | None = None, burst: float = 1) -> Standin:
    """Return a stand-in that has all rows of the past already. Nothing is compressed, so that bytes can be compared."""
    standin = Standin(StandinConfig(growth=growth, gzip=False, rate_per_s=rate_per_s, burst=burst))
    standin.faults.add(Fault(kind=FaultKind.HOLD, times=None, path=ANY_PATH, delay_s=LATENCY_MS / 1000))
    standin.materialise()
    return standin


async def _serve(standin: Standin) -> None:
    async with standin.serve() as url:
        sys.stderr.write(f"listening on {url}\n")
        sys.stderr.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(make_standin(GrowthConfig(**json.loads(sys.argv[1])), *map(float, sys.argv[2:]))))
