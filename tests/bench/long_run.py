"""Runs of 2,000 metrics of 5,000 rows each, sampled by the upstream's rule: what is asked of them, and what is answered.

Every run of every number is alike, so that each number is a run that nobody has asked for. All rows are of one length, and so
are all answers with as many rows of one metric.
"""

import random
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from tests.bench.bodies import METRICS_PATH

NAMES = 2_000
ROWS = 5_000
IN_A_GROUP = 20
# All steps have as many digits.
FIRST_STEP = 10_000
DEFAULT_LIMIT = 2_000
# How long the upstream takes for each question.
WAIT_MS = 40
_TIMES_MS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """What is asked of a run; None is left out."""

    name: int | None = None
    group: int | None = None
    limit: int = DEFAULT_LIMIT
    first: int | None = None
    last: int | None = None


def target(panel: Panel, run: int) -> str:
    """Return the path and query, as the proxy would ask it."""
    asked = [f"runId={run}", "projectName=bench"]
    if panel.name is not None:
        asked.append(f"logName={name_of(panel.name)}")
    if panel.group is not None:
        asked.append(f"logGroup={group_of(panel.group)}")
    asked.append(f"limit={panel.limit}")
    if panel.first is not None:
        asked.append(f"stepMin={panel.first}")
    if panel.last is not None:
        asked.append(f"stepMax={panel.last}")
    return f"{METRICS_PATH}?{'&'.join(asked)}"


def name_of(number: int) -> str:
    """Return a metric's name; the order of names is that of numbers."""
    return f"{group_of(number // IN_A_GROUP)}/metric-{number:04d}"


def group_of(number: int) -> str:
    """Return a group's name."""
    return f"group-{number:03d}"


def sent_rows(panel: Panel) -> list[int]:
    """Return which rows of each selected metric are sent, counted from 0."""
    steps = range(FIRST_STEP, FIRST_STEP + ROWS)
    begin = 0 if panel.first is None else bisect_left(steps, panel.first)
    end = ROWS if panel.last is None else bisect_right(steps, panel.last)
    total = max(0, end - begin)
    every = max(1, -(-total // panel.limit))
    return [begin + number for number in range(total) if number % every == 0 or number == total - 1]


def pieces(panel: Panel) -> Iterator[bytes]:
    """Yield the rows of one selected metric after the other."""
    rows = sent_rows(panel)
    if rows:
        for name in _names(panel):
            head = f'{{"logName":"{name_of(name)}","logGroup":"{group_of(name // IN_A_GROUP)}",'.encode()
            yield b",".join([head + _tails()[row] for row in rows])


def answer(panel: Panel) -> bytes:
    """Return the whole body."""
    return b'{"metrics":[' + b",".join(pieces(panel)) + b"]}"


def length_of(panel: Panel) -> int:
    """Return how many bytes a body has."""
    one = len(next(pieces(Panel(name=0, limit=panel.limit, first=panel.first, last=panel.last)), b""))
    return len(b'{"metrics":[]}') + max(0, len(_names(panel)) * (one + 1) - 1) if one else len(b'{"metrics":[]}')


def _names(panel: Panel) -> Sequence[int]:
    if panel.name is not None:
        return [panel.name] if panel.group in {None, panel.name // IN_A_GROUP} else []
    if panel.group is not None:
        return range(panel.group * IN_A_GROUP, (panel.group + 1) * IN_A_GROUP)
    return range(NAMES)


@cache
def _tails() -> list[bytes]:
    dice = random.Random(ROWS)  # noqa: S311 -- a noisy curve, the same in every process
    return [_tail(row, 2.5 / (1 + row / 300) + dice.random() / 50, dice.randrange(60)) for row in range(ROWS)]


def _tail(row: int, value: float, jitter_ms: int) -> bytes:
    ms = row * _TIMES_MS + jitter_ms
    time = f"2026-01-01 {ms // 3_600_000:02d}:{ms // 60_000 % 60:02d}:{ms // 1000 % 60:02d}.{ms % 1000:03d}"
    return f'"value":{value:.13f},"valueFlag":"","time":"{time}","step":{FIRST_STEP + row}}}'.encode()
