"""The upstream's sampling rule, and what it proves.

The filters of a question (run, project, name, group, window of steps) select rows. Those of one name, in all its groups, are
one partition of N rows, numbered 1 to N by step. Where N is at most the limit, all of them are sent. Otherwise those are sent
whose number divided by ceil(N / limit) leaves the remainder 1, and the last row. Nothing about that is random.

A sampled partition has more than half the limit of rows. With s = ceil(N / limit) >= 2 at least N / s rows are sent, and N is
at least limit * (s - 1) + 1, so that N / s is at least limit - (limit - 1) / s, which is at least (limit + 1) / 2. So a
partition of which at most half the limit of rows came was not sampled: it is complete.
"""

from collections.abc import Sequence
from itertools import pairwise

# Series of more rows are not expected.
MOST_ROWS = 2_000_000


def is_complete(returned: int, limit: int) -> bool:
    """Tell whether a partition of which `returned` rows came with this limit is proven to have no others."""
    return 2 * returned <= limit


def stride(rows: int, limit: int) -> int:
    """Return the distance between the rows that are sent of a partition of `rows`; 1 where all of them are."""
    return 1 if rows <= limit else -(-rows // limit)


def sent(rows: int, limit: int) -> int:
    """Return how many rows are sent of a partition of `rows`: up to limit + 1."""
    every = stride(rows, limit)
    return -(-rows // every) + bool(rows and (rows - 1) % every)


def sampled(rows: int, limit: int) -> list[int]:
    """Return the numbers of the rows that are sent of a partition of `rows`, counted from 0, in order; up to limit + 1."""
    chosen = list(range(0, rows, stride(rows, limit)))
    if rows and chosen[-1] != rows - 1:
        chosen.append(rows - 1)
    return chosen


def most_apart(steps: Sequence[int], *, limit: int, most_rows: int = MOST_ROWS) -> int:
    """Return how many rows it is at most from one row of a sampled answer to the next; `steps`: those of its rows.

    `most_rows`: how many rows there are at most. With a stride s more than (s - 1) limit rows were sampled, so that n rows are
    sent only where s (limit - n) < limit. The steps of rows differ, so that those of two rows that are sent differ by s at
    least. The last row comes in addition, and tells nothing.
    """
    rows = len(steps)
    bounds = [max(1, most_rows - 1) // max(1, rows - 2)]
    if rows < limit:
        bounds.append((limit - 1) // (limit - rows))
    bounds += [after - before for before, after in pairwise(steps[:-1])]
    return max(2, min(bounds))
