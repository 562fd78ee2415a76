"""What the upstream's SQL permits as an answer, written from its documents alone: apart from `proxy` and from the stand-in.

Rows are filtered, numbered for each name by step, thinned out, and printed. Two rows of one step (of two groups) may come in
either order, and the number that each gets changes with it: then several answers are permitted.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import accumulate, groupby, islice, permutations, product

# Every pair of tied rows doubles them.
_MOST_ORDERS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class OracleRow:
    """A row of one run and project; `text` is its JSON as the upstream prints it."""

    name: str
    group: str
    step: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question about one run and project."""

    name: str | None = None
    group: str | None = None
    limit: int = 2000
    first: int = 0
    last: int | None = None


def printed(row: Mapping[str, object]) -> str:
    """Return a row's JSON as the upstream prints it: compact, raw UTF-8."""
    return json.dumps(row, ensure_ascii=False, separators=(",", ":"))


def permitted(rows: Iterable[OracleRow], asked: Asked, cap: "Cap | None" = None) -> Iterator[bytes]:
    """Yield every answer that the upstream may give, where it silently sends no more than a `cap`."""
    selected = [
        row
        for row in rows
        if (asked.name is None or row.name == asked.name)
        and (asked.group is None or row.group == asked.group)
        and row.step >= asked.first
        and (asked.last is None or row.step <= asked.last)
    ]
    by_name: dict[bytes, list[OracleRow]] = {}
    for row in selected:
        by_name.setdefault(row.name.encode(), []).append(row)
    ways = [_orders(by_name[name]) for name in sorted(by_name)]
    for way in product(*ways):
        sent = _sent(way, asked.limit) if cap is None else cap.sent(way, asked.limit)
        texts = [row.text for row in sent]
        yield f'{{"metrics":[{",".join(texts)}]}}'.encode()


def _orders(partition: list[OracleRow]) -> list[list[OracleRow]]:
    """Return the partition in its orders by step: the one in which the rows were given first, and not more than some."""
    ordered = sorted(partition, key=lambda row: row.step)
    ties = [list(permutations(tied)) for _, tied in groupby(ordered, key=lambda row: row.step)]
    return [[row for tied in way for row in tied] for way in islice(product(*ties), _MOST_ORDERS)]


def _thinned(partition: list[OracleRow], limit: int) -> list[OracleRow]:
    total = len(partition)
    if total <= limit:
        return partition
    every = math.ceil(total / limit)
    return [row for number, row in enumerate(partition, start=1) if number % every == 1 or number == total]


def _sent(partitions: Iterable[list[OracleRow]], limit: int) -> list[OracleRow]:
    return [row for partition in partitions for row in _thinned(partition, limit)]


class Of(Enum):
    """What a cap is on: the rows of each name, all rows together, or all bytes of rows."""

    NAME = "name"
    ALL = "all"
    BYTES = "bytes"


class How(Enum):
    """What is sent of more than that: rows at equal distances (shares of the names, one stride), the first or the last."""

    SHARES = "shares"
    STRIDE = "stride"
    FIRST = "first"
    LAST = "last"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cap:
    """A limit that an upstream keeps to without a word. `size`: rows, at least 3; of bytes, as many rows of 150 bytes."""

    of: Of
    how: How
    size: int

    def sent(self, partitions: Sequence[list[OracleRow]], limit: int) -> list[OracleRow]:
        """Return the rows that are sent of all partitions."""
        if self.of is Of.NAME:
            if self.how in {How.SHARES, How.STRIDE}:
                return _sent(partitions, min(limit, self.size))
            return [row for partition in partitions for row in self._cut(_thinned(partition, limit), self.size)]
        if self.how is How.SHARES and self.of is Of.ALL:
            return _sent(partitions, min(limit, max(3, self.size // max(1, len(partitions)))))
        thinned = [_thinned(partition, limit) for partition in partitions]
        rows = [row for partition in thinned for row in partition]
        weights = [1 if self.of is Of.ALL else len(row.text) + 1 for row in rows]
        most = self.size if self.of is Of.ALL else 150 * self.size
        if sum(weights) <= most:
            return rows
        if self.how in {How.SHARES, How.STRIDE}:
            every = math.ceil(sum(weights) / most)
            return [row for partition in thinned for row in _every(partition, every)]
        if self.how is How.LAST:
            return self._within(rows[::-1], weights[::-1], most)[::-1]
        return self._within(rows, weights, most)

    def _cut(self, rows: list[OracleRow], size: int) -> list[OracleRow]:
        return rows[-size:] if self.how is How.LAST else rows[:size]

    @staticmethod
    def _within(rows: Sequence[OracleRow], weights: Sequence[int], most: int) -> list[OracleRow]:
        return [row for row, weight in zip(rows, accumulate(weights), strict=True) if weight <= most]


def _every(partition: list[OracleRow], every: int) -> list[OracleRow]:
    total = len(partition)
    return [row for number, row in enumerate(partition, start=1) if number % every == 1 or number == total]
