"""The upstream's sampling rule, and what it proves.

The filters of a question (run, project, name, group, window of steps) select rows. Those of one name, over all its groups,
are one partition of N rows, numbered 1 to N by step. Where N is at most the limit all of them are sent; else those whose
number leaves 1 divided by ceil(N / limit), and the last. It is the same at every call: nothing about it is random.

A sampled partition is longer than half the limit. With s = ceil(N / limit) >= 2 at least N / s rows are sent, and N is at
least limit * (s - 1) + 1, so that N / s is at least limit - (limit - 1) / s, which is at least (limit + 1) / 2. So a
partition that came with half the limit or fewer rows was not sampled: it is complete."""


def is_complete(returned: int, limit: int) -> bool:
    """Tell whether a partition of which `returned` rows came, asked with this limit, proves that there are no others."""
    return 2 * returned <= limit


def stride(rows: int, limit: int) -> int:
    """Return the distance between the rows that are sent of a partition of so many: 1 for all of them."""
    return 1 if rows <= limit else -(-rows // limit)


def sent(rows: int, limit: int) -> int:
    """Return how many rows of a partition of so many are sent: up to limit + 1."""
    every = stride(rows, limit)
    return -(-rows // every) + bool(rows and (rows - 1) % every)


def sampled(rows: int, limit: int) -> list[int]:
    """Return which rows of a partition are sent, counted from 0, in order; up to limit + 1 of them."""
    chosen = list(range(0, rows, stride(rows, limit)))
    if rows and chosen[-1] != rows - 1:
        chosen.append(rows - 1)
    return chosen
