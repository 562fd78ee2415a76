"""The upstream, a process of its own: growing runs, on a port that stays the same when it is started again.

Its arguments are the growth's configuration as JSON, and the port. What it has follows from the clock alone: started again it
has what it had.
"""

import asyncio
import json
import sys

from proxy.standin import GrowthConfig
from tests.bench.replay.origin import make_standin


async def _serve(growth: GrowthConfig, port: int) -> None:
    async with make_standin(growth).serve(port=port) as url:
        sys.stderr.write(f"listening on {url}\n")
        sys.stderr.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(GrowthConfig(**json.loads(sys.argv[1])), int(sys.argv[2])))
