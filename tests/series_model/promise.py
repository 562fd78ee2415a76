"""What is promised of live series, judged by what the upstream was from moment to moment: apart from `proxy`.

An answer says how old it is. At that moment, its tail, the upstream must have had these rows at the ends of its series: all
that were appended there, and the last one as it was then. Rows behind the end may be as they were some time earlier: a row that
was written again, came late or was deleted is seen with the next look at all of the series. For every name there must be such
rows that are sampled to what was answered.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

from tests.support.oracle import Asked, OracleRow

State = tuple[OracleRow, ...]
Row = tuple[int, str]


@dataclass(frozen=True, slots=True)
class _Place:
    """What may stand at one step: any of these texts, or nothing."""

    texts: frozenset[str]
    optional: bool


def is_kept(body: bytes, asked: Asked, states: Sequence[State], *, tail: int) -> bool:
    """Tell whether an answer is one of those that are promised.

    `states`: what the upstream had, one after the other until now, the first one as long ago as what is behind the tail may be;
    `tail`: the number of the one that the answer's age speaks of. A name may be newer than that: the age is that of the oldest.
    """
    told: dict[str, list[str]] = {}
    for row in json.loads(body)["metrics"]:
        told.setdefault(row["logName"], []).append(json.dumps(row, ensure_ascii=False, separators=(",", ":")))
    names = {row.name for state in states for row in state if asked.name in {None, row.name}}
    if not set(told) <= names or list(told) != sorted(told, key=str.encode):
        return False
    ends = range(tail + 1, len(states) + 1)
    return all(any(_name_is_kept(name, told.get(name, []), asked, states[:end]) for end in ends) for name in names)


def _name_is_kept(name: str, told: list[str], asked: Asked, states: Sequence[State]) -> bool:
    rows = [_rows(name, asked.group, state) for state in states]
    now = rows[-1]
    if any(_thinned(_within(one, asked), asked.limit) == told for one in rows[-1:]):
        return True
    if not now:
        return False
    if not told and asked.name is None and [] in rows and now[-1][0] < _last_step(states[-1]):
        return True  # a new name, or one that was deleted and came again, that a delta of the others began behind
    places = [(step, _place(step, rows)) for step in sorted({step for one in rows for step, _ in one}) if step < now[-1][0]]
    # Of rows that share a step at most one is known, where they aren't left to the upstream.
    places.append((now[-1][0], _Place(frozenset(text for step, text in now if step == now[-1][0]), optional=False)))
    wanted = [place for step, place in places if step >= asked.first and (asked.last is None or step <= asked.last)]
    least = sum(not place.optional for place in wanted)
    return any(_fits(wanted, total, told, asked.limit) for total in range(least, len(wanted) + 1))


def _rows(name: str, group: str | None, state: State) -> list[Row]:
    chosen = (row for row in state if row.name == name and group in {None, row.group})
    return sorted((row.step, row.text) for row in chosen)


def _last_step(state: State) -> int:
    return max((row.step for row in state), default=-1)


def _place(step: int, rows: list[list[Row]]) -> _Place:
    texts = [frozenset(text for at, text in one if at == step) for one in rows]
    came = next((number for number in range(1, len(rows)) if texts[number] and not texts[number - 1]), None)
    appended = came is not None and bool(rows[came - 1]) and rows[came - 1][-1][0] < step and all(texts[came:])
    return _Place(frozenset().union(*texts), optional=not all(texts) and not appended)


def _within(rows: list[Row], asked: Asked) -> list[Row]:
    return [row for row in rows if row[0] >= asked.first and (asked.last is None or row[0] <= asked.last)]


def _thinned(rows: list[Row], limit: int) -> list[str]:
    every = max(1, math.ceil(len(rows) / limit))
    return [text for number, (_, text) in enumerate(rows, 1) if every == 1 or number % every == 1 or number == len(rows)]


def _fits(places: list[_Place], total: int, told: list[str], limit: int) -> bool:
    """Tell whether so many of the places can be taken that what is sampled of them is what was told."""
    every = max(1, math.ceil(total / limit))
    sampled = [number for number in range(total) if number % every == 0 or number == total - 1]
    if len(sampled) != len(told):
        return False
    wanted = dict(zip(sampled, told, strict=True))
    taken = {0}
    for place in places:
        more = {count + 1 for count in taken if count < total and (count not in wanted or wanted[count] in place.texts)}
        taken = more | taken if place.optional else more
    return total in taken
