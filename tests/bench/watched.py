"""The proxy as `python -m proxy` runs it, with somebody on its event loop who notes when it was held up.

Whenever nothing had its turn for some milliseconds, a line goes into the file that BENCH_GAPS names: when that was over (the
monotonic clock, which all processes share), for how many seconds, and for how many of them the loop's thread was ready to run
without a CPU. The last is the machine's fault, not the proxy's.
"""

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import NamedTuple

from proxy.cli import main, serve
from proxy.cli.reloading import Reread
from proxy.cli.supervisor import NOBODY, Supervisor
from proxy.config import Config, KeySource
from proxy.log.lines import Lines
from proxy.restart.restart import Restart
from tests.bench.exchange import UnexpectedError

_EVERY_S, _LEAST_S = 0.001, 0.004
_SCHEDULED = Path("/proc/thread-self/schedstat")


class Gap(NamedTuple):
    """See above."""

    ended_s: float
    lasted_s: float
    without_cpu_s: float

    @property
    def held_up_s(self) -> float:
        """For how long the process itself held up its event loop."""
        return max(0.0, self.lasted_s - self.without_cpu_s)


def gaps(told: Path, since_s: float) -> list[Gap]:
    """Return what was noted since some moment of the monotonic clock. Raises UnexpectedError where nobody looked."""
    if not told.exists():
        raise UnexpectedError("nobody looked at the event loop")
    noted = [Gap(*map(float, line.split())) for line in told.read_text().splitlines()]
    return [gap for gap in noted if gap.ended_s >= since_s]


class Watch:
    """Looks at the event loop that runs now, from now on; that it began is the first line."""

    def __init__(self, told: Path) -> None:
        self._told = told
        self._loop = asyncio.get_running_loop()
        self._note(Gap(time.monotonic(), 0.0, 0.0))
        self._begin()

    def _begin(self) -> None:
        self._before_s, self._waited_s = time.monotonic(), _waited_s()
        self._loop.call_later(_EVERY_S, self._look)

    def _look(self) -> None:
        lasted_s, waited_s = time.monotonic() - self._before_s, _waited_s()
        if lasted_s >= _LEAST_S:
            self._note(Gap(time.monotonic(), lasted_s, waited_s - self._waited_s))
        self._begin()

    def _note(self, gap: Gap) -> None:
        with self._told.open("a") as file:
            file.write(f"{gap.ended_s} {gap.lasted_s} {gap.without_cpu_s}\n")


async def watched(
    config: Config,
    key: KeySource | None,
    lines: Lines,
    supervisor: Supervisor = NOBODY,
    restart: Restart | None = None,
    *,
    reread: Reread | None = None,
) -> None:
    """Serve, and look at the event loop meanwhile, whatever kind it is of."""
    Watch(Path(os.environ["BENCH_GAPS"]))
    await _serve(config, key, lines, supervisor, restart, reread=reread)


def _waited_s() -> float:
    return int(_SCHEDULED.read_text().split()[1]) / 1e9 if sys.platform == "linux" else 0.0


_serve = serve.serve

if __name__ == "__main__":
    serve.serve = watched
    sys.exit(main())
