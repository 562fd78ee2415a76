"""What happened around the clients, and when: what each answer is judged by, beside the rows. Pure; moments are wall seconds.

Each happening has the moments at which it was begun and done. What a promise says of "since" counts from the one that is in the
proxy's favour.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

# A revoked token is refused, and a restored one let in, within so long.
NOTICED_S = 1.0
# For so long after the upstream is back what failed may not have been tried again: the first cool-down, and some calls.
RECOVERY_S = 10.0
# What the clocks of two processes, read one after the other, may differ by.
CLOCKS_S = 0.05


@dataclass(slots=True, kw_only=True)
class Absence:
    """A stretch of time in which something was away: its end is infinite until there is one."""

    going_s: float
    gone_s: float = math.inf
    coming_s: float = math.inf
    back_s: float = math.inf


@dataclass(slots=True)
class Past:
    """Revocations of the one token that is revoked, restarts of the upstream, and the last purge of each run."""

    revocations: list[Absence] = field(default_factory=list)
    outages: list[Absence] = field(default_factory=list)
    rotations: int = 0
    purges: int = 0
    purged_s: dict[int, float] = field(default_factory=dict)
    """By run: when the last purge that was confirmed was asked for."""

    def note_purge(self, runs: Sequence[int], begun_s: float) -> None:
        """Note that a purge of runs was confirmed."""
        self.purges += 1
        self.purged_s.update(dict.fromkeys(runs, begun_s))

    def is_revoked(self, asked_s: float, answered_s: float) -> bool:
        """Tell whether a request of that token had to be refused, whenever in this time it was looked at."""
        return any(one.gone_s + NOTICED_S < asked_s and answered_s < one.coming_s for one in self.revocations[-2:])

    def may_be_refused(self, asked_s: float, answered_s: float) -> bool:
        """Tell whether a request of that token may have been refused."""
        return any(one.going_s <= answered_s and asked_s <= one.back_s + NOTICED_S for one in self.revocations[-2:])

    def slow_to_refuse_s(self, asked_s: float) -> float:
        """Return how long after the last revocation a request was sent, negative where there was none since."""
        last = self.revocations[-1] if self.revocations else None
        return -1.0 if last is None or last.coming_s < math.inf else asked_s - last.gone_s

    def is_troubled(self, asked_s: float, answered_s: float) -> bool:
        """Tell whether the upstream was away, or only just back."""
        return any(one.going_s <= answered_s and asked_s <= one.back_s + RECOVERY_S for one in self.outages[-2:])
