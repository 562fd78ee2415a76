"""Whether a client that asks for one series of a run will ask for others, judging by the last runs of its project."""

from collections import OrderedDict

# The weight of one more run, and the share of runs from which on several series are expected.
_WEIGHT, _EXPECTED = 0.25, 0.6
# A second series of a run is expected to be asked for within so many seconds.
_WITHIN_S = 10.0
_MOST = 1_000


class Expecting:
    """The share of a project's runs of which several series were asked for. Times are of the monotonic clock."""

    def __init__(self) -> None:
        # A half, until something is known.
        self._share = 0.5
        self._undecided: OrderedDict[str, float] = OrderedDict()

    @property
    def several(self) -> bool:
        """Whether several series of the next run are expected to be asked for."""
        return self._share >= _EXPECTED

    def begin(self, run: str, now_s: float) -> None:
        """Note the first question about a run."""
        while self._undecided and (len(self._undecided) >= _MOST or next(iter(self._undecided.values())) < now_s - _WITHIN_S):
            self._undecided.popitem(last=False)
            self._decide(0.0)
        self._undecided[run] = now_s

    def note_several(self, run: str) -> None:
        """Note a question about another series of a run."""
        if self._undecided.pop(run, None) is not None:
            self._decide(1.0)

    def _decide(self, outcome: float) -> None:
        self._share += _WEIGHT * (outcome - self._share)
