"""Whether it pays to load a long series in full, or to go on asking each question about it as it comes.

Both are counted in rows; a call counts as `call_cost_rows` rows. Of a run that has ended, what the questions have cost so far
must reach what the load costs: then more of them are likely to come. The series of a live run must be asked for again and again
as long as it is watched, each question every lifetime, or once loaded what is new for all of them. It is expected to be
watched for `EXPECTED_S` more, and for as long as it has been watched: so what is saved in that time must reach what the load
costs. Where ever new questions come, of which none is asked again, what they have cost counts as for a run that has ended, less
what asking for what is new would have cost meanwhile.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

# For how many seconds what questions have cost counts.
SEEN_S = 300.0
# For how many seconds more a live series that is being watched is expected to be watched, at least.
EXPECTED_S = 240.0
# Of a live series so many questions must have come: one alone may be all that somebody wanted to know.
_LEAST = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """What a call and the rows of an answer cost, and how many rows an answer holds at most."""

    call_cost_rows: int
    limit: int

    def question(self, rows: int) -> int:
        """Return what a question costs as it comes."""
        return self.call_cost_rows + rows

    def load(self, rows: int) -> int:
        """Return what it costs to load so many rows: the windows, what proves the first one, and the check at the end."""
        return (math.ceil(rows / self.limit) + 2) * self.call_cost_rows + rows


def pays(load: int, asked: Sequence[tuple[float, int]], prices: Prices, *, every_s: float | None) -> bool:
    """Tell whether a load that costs so much pays.

    `asked`: the questions about the series in the last `SEEN_S`: how many seconds ago, and what each cost; in any order.
    `every_s`: how often, in seconds, a question about a live series is asked again; None for a run that has ended.
    """
    cost = sum(cost for _, cost in asked)
    if every_s is None:
        return cost >= load
    if len(asked) < _LEAST:
        return False
    watched_s = max(ago_s for ago_s, _ in asked)
    saved_a_second = cost / (watched_s + every_s) - prices.call_cost_rows / every_s
    saved = cost - prices.call_cost_rows * (watched_s / every_s + 1)
    return saved >= load or saved_a_second * (EXPECTED_S + watched_s) >= load
