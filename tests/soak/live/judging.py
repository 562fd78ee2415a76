"""What the live soak comes to: a line for each stretch of time, and each promise held against all of it. Pure."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tests.bench.replay.judge import Judged, Verdict
from tests.bench.report import Bound, Section
from tests.soak.judging import excess, percentile
from tests.soak.live.viewers import Seen

# An answer from memory may be held up by one that is being taken apart, written, or collected as garbage.
SLOW_S = 0.05
SLOWEST_S = 0.5
# Lifetime and stale-while-revalidate.
OLDEST_S = 10
# While the stand-in reads a whole run it takes no other call: those that come meanwhile seem to come together.
STALL_S = 0.3
# What the interpreter, its allocator and SQLite may hold beside what is counted.
_BESIDES_BYTES = 64 * 2**20
_BESIDES_DESCRIPTORS = 16
_LINES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The proxy at one moment (wall seconds): what the kernel says it holds, and what it says itself.

    What the kernel says is None where there is no /proc. `delayed_s`: how long its event loop was ready to run and had no CPU.
    """

    at_s: float
    rss_bytes: int | None
    descriptors: int | None
    cpu_s: float | None
    delayed_s: float | None
    entries_bytes: float
    series_bytes: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Everything observed. Moments are wall seconds.

    `warm_s`: from then on every run is loaded; `settled_s`: from then on memory is compared. `arrived_s`: when the upstream's
    calls came (of its own clock, in order); `refused`: how many of them got 429.
    """

    title: str
    rate_per_s: float
    burst: int
    began_s: float
    warm_s: float
    settled_s: float
    ended_s: float
    seen: Sequence[Seen]
    judged: Sequence[Judged]
    arrived_s: Sequence[float]
    refused: int
    samples: Sequence[Sample]
    notes: Sequence[str] = ()

    def sample(self, at_s: float) -> Sample:
        """Return the sample nearest to a moment."""
        return min(self.samples, key=lambda sample: abs(sample.at_s - at_s))


def judge(run: Run) -> Section:
    """Return the table of a run and its bounds."""
    # It ends a moment after the last line's time.
    minutes = [*range(math.ceil((run.ended_s - run.began_s) / _length_s(run) - 0.1))]
    return Section(
        title=run.title,
        columns=(
            "from, s",
            "answers",
            "not 200",
            "waited for the upstream",
            "ms: median, p99, max",
            "oldest answer, s",
            "calls/s",
            "proxy's CPU",
            "loop waits for a CPU",
            "RSS, MiB",
            "of it entries, series",
            "descriptors",
        ),
        rows=[_row(run, run.began_s + number * _length_s(run)) for number in minutes],
        notes=[*run.notes, _outcomes(run), _verdicts(run)],
        bounds=[*_client_bounds(run), *_upstream_bounds(run), *_memory_bounds(run)],
    )


def _length_s(run: Run) -> float:
    """How long a line of the table is: a minute, or a tenth of what is shorter than ten."""
    return min(60.0, (run.ended_s - run.began_s) / _LINES)


def _row(run: Run, first_s: float) -> list[str]:
    last_s = first_s + _length_s(run)
    seen = _between(run, first_s, last_s)
    waits = [one.wait_s * 1000 for one in seen]
    before, after = run.sample(first_s), run.sample(last_s)
    # The stand-in's clock is another one: both are taken to begin together.
    arrived = [at_s for at_s in run.arrived_s if first_s <= at_s < last_s]
    return [
        f"{first_s - run.began_s:.0f}",
        f"{len(seen):,}",
        str(sum(one.status != 200 for one in seen)),
        str(sum(one.forwarded for one in seen)),
        ", ".join(f"{value:.0f}" for value in (percentile(waits, 0.5), percentile(waits, 0.99), max(waits, default=0))),
        str(max((one.age_s for one in seen), default=0)),
        f"{len(arrived) / (last_s - first_s):.2f}",
        _share(before.cpu_s, after.cpu_s, last_s - first_s),
        _share(before.delayed_s, after.delayed_s, last_s - first_s),
        "" if after.rss_bytes is None else f"{after.rss_bytes / 2**20:.0f}",
        f"{after.entries_bytes / 2**20:.0f}, {after.series_bytes / 2**20:.0f}",
        "" if after.descriptors is None else str(after.descriptors),
    ]


def _share(before_s: float | None, after_s: float | None, of_s: float) -> str:
    return "" if before_s is None or after_s is None else f"{(after_s - before_s) / of_s:.0%}"


def _between(run: Run, first_s: float, last_s: float) -> list[Seen]:
    """Return the answers that came in a stretch of time: who waits for long is counted where the waiting ends."""
    return [one for one in run.seen if first_s <= one.asked_s + one.wait_s < last_s]


def _outcomes(run: Run) -> str:
    seen = _between(run, run.warm_s, run.ended_s)
    counted = Counter(f"{'fetched' if one.forwarded else 'hit'} {one.detail}".strip() for one in seen)
    return "after the warm-up: " + ", ".join(f"{count:,} {what}" for what, count in counted.most_common())


def _verdicts(run: Run) -> str:
    counted = Counter(one.verdict.value for one in run.judged)
    return "judged: " + ", ".join(f"{count:,} {what}" for what, count in counted.most_common())


def _client_bounds(run: Run) -> list[Bound]:
    seen = _between(run, run.warm_s, run.ended_s)
    failed = sum(one.status != 200 for one in run.seen)
    forwarded = sum(one.forwarded for one in seen)
    waits = [one.wait_s for one in seen]
    slow, slowest = percentile(waits, 0.99), max(waits, default=math.inf)
    oldest = max((one.age_s for one in seen), default=OLDEST_S)
    bad = sum(one.verdict in {Verdict.WRONG, Verdict.TOO_OLD, Verdict.FAILED} for one in run.judged)
    return [
        Bound(promise="every answer is a 200, from the beginning", measured=f"{failed} others", held=not failed and bool(seen)),
        Bound(
            promise="no client waits: after the warm-up no answer waits for the upstream",
            measured=f"{forwarded} of {len(seen):,}",
            held=not forwarded and bool(seen),
        ),
        Bound(
            promise=f"no client waits: p99 less than {SLOW_S * 1000:.0f} ms, none {SLOWEST_S * 1000:.0f} ms",
            measured=f"{slow * 1000:.0f} ms, {slowest * 1000:.0f} ms",
            held=slow < SLOW_S and slowest < SLOWEST_S,
        ),
        # Age is in whole seconds, rounded down.
        Bound(promise=f"no answer is older than {OLDEST_S} s", measured=f"Age {oldest} at most", held=oldest < OLDEST_S),
        Bound(
            promise="of a sample none is wrong, too old or failed",
            measured=f"{bad} of {len(run.judged):,}",
            held=not bad and bool(run.judged),
        ),
    ]


def _upstream_bounds(run: Run) -> list[Bound]:
    beyond, calls = excess(run.arrived_s, run.rate_per_s), len(run.arrived_s)
    return [
        Bound(
            promise=f"the upstream sees no more than {run.rate_per_s:g}/s and {run.burst} in any stretch of time",
            measured=f"{calls:,} calls, {beyond + 1:.2f} beyond the rate in the worst stretch",
            held=bool(calls) and beyond + 1 <= run.burst + run.rate_per_s * STALL_S,
        ),
        Bound(promise="no 429s there", measured=str(run.refused), held=not run.refused),
    ]


def _memory_bounds(run: Run) -> list[Bound]:
    first, last = run.sample(run.settled_s), run.samples[-1]
    bounds: list[Bound] = []
    if first.rss_bytes is not None and last.rss_bytes is not None:
        grown = last.rss_bytes - first.rss_bytes
        counted = last.entries_bytes - first.entries_bytes + last.series_bytes - first.series_bytes
        since_s = first.at_s - run.began_s
        bounds.append(
            Bound(
                promise=f"memory is flat: it grows by what is kept for longer series and {_BESIDES_BYTES / 2**20:.0f} MiB",
                measured=f"{grown / 2**20:.0f} MiB from {since_s:.0f} s on, of them {counted / 2**20:.0f} kept",
                held=grown <= max(0.0, counted) + _BESIDES_BYTES,
            )
        )
    if first.descriptors is not None and last.descriptors is not None:
        more = last.descriptors - first.descriptors
        bounds.append(Bound(promise="nor do descriptors grow", measured=f"by {more}", held=more <= _BESIDES_DESCRIPTORS))
    return bounds
