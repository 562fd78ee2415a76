"""Whether who looks at one of a run's series will look at others, as far as the last runs of its project tell."""

from collections import OrderedDict

# What one more run counts, and from which share on further series are expected.
_WEIGHT, _EXPECTED = 0.25, 0.6
# Who looks at several series of a run does so within this, seconds.
_WITHIN_S = 10.0
_MOST = 1_000


class Expecting:
    """What is expected of the next run of a project. Times are of the monotonic clock."""

    def __init__(self) -> None:
        # Half of the runs, until something is known.
        self._share = 0.5
        self._undecided: OrderedDict[str, float] = OrderedDict()

    @property
    def several(self) -> bool:
        """Whether several series of a run that somebody begins to look at are expected to be asked for."""
        return self._share >= _EXPECTED

    def begin(self, run: str, now_s: float) -> None:
        """Note that somebody looks at a run that nobody looked at before."""
        while self._undecided and (len(self._undecided) >= _MOST or next(iter(self._undecided.values())) < now_s - _WITHIN_S):
            self._undecided.popitem(last=False)
            self._decide(0.0)
        self._undecided[run] = now_s

    def note_several(self, run: str) -> None:
        """Note that another series of a run was asked for."""
        if self._undecided.pop(run, None) is not None:
            self._decide(1.0)

    def _decide(self, outcome: float) -> None:
        self._share += _WEIGHT * (outcome - self._share)
