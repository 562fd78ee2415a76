"""What the upstream's SQL permits as an answer, written from its documents alone: apart from `proxy` and from the stand-in.

Rows are filtered, numbered for each name by step, thinned out, and printed. Two rows of one step (of two groups) may come in
either order, and the number that each gets changes with it: then several answers are permitted.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby, islice, permutations, product

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


def permitted(rows: Iterable[OracleRow], asked: Asked) -> Iterator[bytes]:
    """Yield every answer that the upstream may give."""
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
        texts = [row.text for partition in way for row in _thinned(partition, asked.limit)]
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
