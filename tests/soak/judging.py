"""What a run comes to: figures of both halves, and each promise held against them. Pure."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tests.bench.report import Bound, Section
from tests.soak.clients import Seen

OLDEST_S = 60
WAIT_S = 1.5
REFUSED_SHARE = 0.02
# How near to the limit counts as near.
USED_SHARE = 0.7
# What the way over loopback may move a call's arrival by.
JITTER_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The stand-in's totals and the proxy's pace at one moment (monotonic)."""

    at_s: float
    calls: int
    refused: int
    pace_per_s: float
    waiting: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Everything observed: by the clients, by the stand-in (when each call arrived), and once a second."""

    title: str
    limit_per_s: float
    told: bool
    """Whether the proxy was told the limit."""
    even: bool
    """Whether it was told to send no bursts, so that the limit must hold from the beginning."""
    began_s: float
    seconds: float
    settling_s: float
    """After so long an unknown limit should be known well enough that few calls are refused."""
    seen: Sequence[Seen]
    arrived_s: Sequence[float]
    samples: Sequence[Sample]

    @property
    def half_s(self) -> float:
        """When the second half begins."""
        return self.began_s + self.seconds / 2

    @property
    def ended_s(self) -> float:
        """When it ended."""
        return self.began_s + self.seconds

    def between(self, first_s: float, last_s: float) -> list[Seen]:
        """Return the answers that came in a stretch of time: who waits for long is counted where the waiting ends."""
        return [seen for seen in self.seen if first_s <= seen.began_s + seen.wait_s < last_s]

    def sample(self, at_s: float) -> Sample:
        """Return the sample nearest to a moment."""
        return min(self.samples, key=lambda sample: abs(sample.at_s - at_s))

    def arrivals(self, first_s: float, last_s: float) -> list[float]:
        """Return when calls arrived in a stretch of time, in order."""
        return sorted(at_s for at_s in self.arrived_s if first_s <= at_s < last_s)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the least value that `share` of all don't exceed (nearest rank); 0 where there are none."""
    ordered = sorted(values)
    rank = max(1, -(-len(ordered) * round(share * 1000) // 1000))
    return ordered[rank - 1] if ordered else 0.0


def most_within(times: Sequence[float], length_s: float) -> int:
    """Return how many of the (ordered) times lie within any stretch of a length, its end not included."""
    most = first = 0
    for number, at_s in enumerate(times):
        while times[first] <= at_s - length_s:
            first += 1
        most = max(most, number - first + 1)
    return most


def excess(times: Sequence[float], limit_per_s: float) -> float:
    """Return by how many calls the worst stretch, of any length, goes beyond the limit.

    Calls evenly at the limit come to 0: n calls take the time of n - 1 intervals.
    """
    worst, least = 0.0, 0.0
    for number, at_s in enumerate(times):
        # calls(i..j) - 1 - limit * (t_j - t_i) is a difference of one quantity at j and at i.
        level = number - limit_per_s * at_s
        least = level if number == 0 else min(least, level)
        worst = max(worst, level - least)
    return worst


def judge(run: Run) -> Section:
    """Return the table of a run and its bounds."""
    return Section(
        title=run.title,
        columns=(
            "half",
            "answers",
            "errors",
            "wait with a stale copy, ms: median, p99, max",
            "oldest answer, s",
            "upstream calls",
            "calls/s",
            "429s there",
            "pace at the end",
        ),
        rows=[_row(run, "first", run.began_s, run.half_s), _row(run, "second", run.half_s, run.ended_s)],
        notes=[_statuses(run), _outcomes(run)],
        bounds=[*_client_bounds(run), *_upstream_bounds(run)],
    )


def _row(run: Run, name: str, first_s: float, last_s: float) -> list[str]:
    seen = run.between(first_s, last_s)
    good = [answer for answer in seen if answer.status == 200]
    waits = [answer.wait_s * 1000 for answer in seen if answer.had_copy]
    before, after = run.sample(first_s), run.sample(last_s)
    calls = len(run.arrivals(first_s, last_s))
    return [
        name,
        f"{len(seen):,}",
        str(len(seen) - len(good)),
        ", ".join(f"{value:.0f}" for value in (percentile(waits, 0.5), percentile(waits, 0.99), max(waits, default=0))),
        str(max((answer.age_s for answer in good), default=0)),
        str(calls),
        f"{calls / (last_s - first_s):.2f}",
        str(after.refused - before.refused),
        f"{after.pace_per_s:.2f}/s",
    ]


def _statuses(run: Run) -> str:
    counted = Counter(answer.status for answer in run.seen)
    told = ", ".join(f"{status}: {count:,}" for status, count in sorted(counted.items()))
    late = sum(answer.status != 200 and answer.wait_s > WAIT_S for answer in run.seen)
    return f"statuses that clients saw: {told}; errors after more than {WAIT_S} s: {late}"


def _outcomes(run: Run) -> str:
    seen = [answer for answer in run.between(run.half_s, run.ended_s) if answer.status == 200]
    counted = Counter(_outcome(answer.cache_status) for answer in seen)
    return "in the second half: " + ", ".join(f"{count:,} {what}" for what, count in counted.most_common())


def _outcome(cache_status: str) -> str:
    _, _, detail = cache_status.partition('detail="')
    if detail:
        return detail.rstrip('"')
    return "fresh hits" if "; hit" in cache_status else "fetched"


def _client_bounds(run: Run) -> list[Bound]:
    late = run.between(run.half_s, run.ended_s)
    errors = [answer for answer in late if answer.status != 200]
    refused = [answer for answer in run.seen if answer.status == 429]
    oldest = max((answer.age_s for answer in late if answer.status == 200), default=0)
    waits = [answer.wait_s for answer in late if answer.had_copy]
    slow = percentile(waits, 0.99)
    return [
        Bound(promise="no client sees an error in the second half", measured=str(len(errors)), held=not errors and bool(late)),
        Bound(promise="no client ever sees a 429", measured=str(len(refused)), held=not refused),
        # Age is in whole seconds, rounded down.
        Bound(
            promise=f"no answer is older than {OLDEST_S} s in the second half",
            measured=f"Age {oldest} at most",
            held=oldest < OLDEST_S,
        ),
        Bound(
            promise=f"99 % of the answers with a stale copy take less than {WAIT_S} s",
            measured=f"{slow * 1000:.0f} ms over {len(waits):,} answers",
            held=slow < WAIT_S and bool(waits),
        ),
    ]


def _upstream_bounds(run: Run) -> list[Bound]:
    limit = run.limit_per_s
    if run.told:
        first_s, when = (run.began_s, "from the beginning") if run.even else (run.half_s, "in the second half")
        times = run.arrivals(first_s, run.ended_s)
        refused = run.samples[-1].refused - run.sample(first_s).refused
        beyond = excess(times, limit)
        return [
            Bound(
                promise=f"the stand-in sees no more than {limit:g}/s in any stretch of time {when}",
                measured=f"{len(times)} calls, {most_within(times, 1 - JITTER_S)} at most within {1 - JITTER_S:g} s, "
                f"{beyond:.2f} calls beyond the limit in the worst stretch",
                held=beyond <= limit * JITTER_S and most_within(times, 1 - JITTER_S) <= limit and bool(times),
            ),
            Bound(promise=f"no 429s there {when}", measured=str(refused), held=refused == 0),
        ]
    early, last = run.sample(run.began_s + run.settling_s), run.samples[-1]
    calls, refused = last.calls - early.calls, last.refused - early.refused
    share = refused / calls if calls else 1.0
    times = run.arrivals(run.half_s, run.ended_s)
    good_per_s = (len(times) - (last.refused - run.sample(run.half_s).refused)) / (run.ended_s - run.half_s)
    return [
        Bound(
            promise=f"fewer than {REFUSED_SHARE:.0%} of the calls after the first {run.settling_s:g} s get 429",
            measured=f"{refused} of {calls} = {share:.1%}",
            held=share < REFUSED_SHARE,
        ),
        Bound(
            promise=f"it settles near the limit: between {USED_SHARE:.0%} and 100% of it are used in the second half",
            measured=f"{good_per_s:.2f}/s of {limit:g}/s",
            held=USED_SHARE * limit <= good_per_s <= limit * 1.02,
        ),
    ]
