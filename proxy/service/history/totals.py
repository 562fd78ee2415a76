"""What is counted since the process began."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from proxy.telemetry import Telemetry

# Every outcome of an answer (`core.freshness.outcome`); the other outcomes of requests are the codes of errors.
ANSWERS = ("hit", "series", "stale", "collapsed", "miss")


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Counts at one moment.

    `requests` by outcome; `durations` of their answers by bucket. `results`: calls upstream by status, or by the error's code;
    `call_durations` by bucket. `reasons`: calls by what they were made for. `body_bytes`: of the bodies sent.
    """

    requests: Mapping[str, int]
    durations: Sequence[int]
    results: Mapping[str, int]
    call_durations: Sequence[int]
    reasons: Mapping[str, int]
    body_bytes: int

    def since(self, before: "Totals") -> "Totals":
        """Return what was counted since an earlier moment."""
        return Totals(
            requests=_grown(before.requests, self.requests),
            durations=_risen(before.durations, self.durations),
            results=_grown(before.results, self.results),
            call_durations=_risen(before.call_durations, self.call_durations),
            reasons=_grown(before.reasons, self.reasons),
            body_bytes=self.body_bytes - before.body_bytes,
        )

    @property
    def answers(self) -> int:
        """How many queries were answered."""
        return sum(self.requests.get(outcome, 0) for outcome in ANSWERS)

    @property
    def errors(self) -> int:
        """How many requests got an error."""
        return sum(self.requests.values()) - self.answers

    @property
    def calls(self) -> int:
        """How many calls upstream there were."""
        return sum(self.results.values())


def totals(telemetry: Telemetry, reasons: Mapping[str, int]) -> Totals:
    """Return what is counted now; `reasons` as in Totals."""
    requests, durations = telemetry.requests_by_outcome(ANSWERS)
    return Totals(
        requests=requests,
        durations=durations,
        results=dict(telemetry.calls_by_result),
        call_durations=tuple(telemetry.call_durations),
        reasons=reasons,
        body_bytes=sum(used.body_bytes for used in telemetry.usage.by_token.values()),
    )


def _grown(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    return dict(Counter(after) - Counter(before))


def _risen(before: Sequence[int], after: Sequence[int]) -> tuple[int, ...]:
    return tuple(later - earlier for earlier, later in zip(before, after, strict=True))
