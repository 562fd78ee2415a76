"""What is asked about a long series: what panels show all the time, and windows that nobody has asked for before."""

import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import cycle, islice

from tests.bench.growing.series import Series
from tests.bench.replay.script import LIMITS, Question

# What the Python client asks for by default: as much as there is.
_CLIENT_LIMIT = 10_000
_LEAST_ROWS = 100


def panels(series: Series, count: int) -> list[Question]:
    """Return what so many panels show: all of it, a fixed part, or what is new since some step, with limits of all sizes."""
    dice = random.Random(17)  # noqa: S311 -- the same panels every time
    whole = Question(run=series.run, name=series.name)
    shown: list[Question] = []
    for kind in islice(cycle(("whole", "since", "window", "whole", "since", "tail", "client")), count):
        first, last = sorted(dice.sample(range(1, max(series.rows, 3)), 2))
        parts = {
            "since": replace(whole, first=series.step(first)),
            "window": replace(whole, first=series.step(first), last=series.step(last)),
            "tail": replace(whole, first=series.step(max(1, series.rows - 5 * _LEAST_ROWS))),
        }
        limit = _CLIENT_LIMIT if kind == "client" else dice.choice(LIMITS)
        shown.append(replace(parts.get(kind, whole), limit=limit))
    return shown


def zooms(series: Series) -> Iterator[Question]:
    """Yield windows of all lengths, some of them up to the newest row: hardly ever the same one twice."""
    dice = random.Random(18)  # noqa: S311 -- the same zooms every time
    most = max(series.rows - 2, 1)
    while True:
        length = min(most, round(_LEAST_ROWS * (max(most / _LEAST_ROWS, 1)) ** dice.random()))
        first = dice.randrange(1, max(2, series.rows - length))
        last = None if dice.random() < 0.25 else series.step(first + length)
        limit = dice.choice((500, 1000, 2000)) + dice.randrange(100)
        yield Question(run=series.run, name=series.name, first=series.step(first), last=last, limit=limit)
