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

from proxy.cli import main

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
    """Return what was noted since some moment of the monotonic clock."""
    lines = told.read_text().splitlines() if told.exists() else []
    noted = [Gap(*map(float, line.split())) for line in lines]
    return [gap for gap in noted if gap.ended_s >= since_s]


class Watch(asyncio.DefaultEventLoopPolicy):
    """Makes event loops that are watched."""

    def __init__(self, told: Path) -> None:
        super().__init__()
        self._told = told
        self._before_s = self._waited_s = 0.0

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        """See the base class."""
        loop = super().new_event_loop()
        loop.call_soon(self._begin, loop)
        return loop

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        self._before_s, self._waited_s = time.monotonic(), _waited_s()
        loop.call_later(_EVERY_S, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        lasted_s, waited_s = time.monotonic() - self._before_s, _waited_s()
        if lasted_s >= _LEAST_S:
            with self._told.open("a") as file:
                file.write(f"{time.monotonic()} {lasted_s} {waited_s - self._waited_s}\n")
        self._begin(loop)


def _waited_s() -> float:
    return int(_SCHEDULED.read_text().split()[1]) / 1e9 if sys.platform == "linux" else 0.0


if __name__ == "__main__":
    asyncio.set_event_loop_policy(Watch(Path(os.environ["BENCH_GAPS"])))
    sys.exit(main())
