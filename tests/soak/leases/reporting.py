"""What the soak of the shortcut comes to: a line for each stretch of time, and each promise held against all of it. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.bench.report import Bound, Section
from tests.soak.judging import percentile
from tests.soak.leases.judging import PROMISES, Stretch

_GROWTH_SHARE = 0.1
_BESIDES_DESCRIPTORS = 16
_SHOWN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What the kernel says of the proxy, so many seconds after the beginning; None where there is no /proc."""

    at_s: float
    rss_bytes: int | None
    descriptors: int | None
    cpu_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Everything observed.

    `samples`: one at the beginning, and one at the end of each of the `stretches`. `settled_s`: since when memory is compared.
    `asked` and `broken`: requests that were sent, and connections that ended. `counted` and `told`: what the clients and the
    proxy's metrics counted, by the same names. `happened`: how often what ends leases did.
    """

    title: str
    settled_s: float
    stretches: Sequence[Stretch]
    samples: Sequence[Sample]
    asked: int
    broken: int
    missed: Mapping[str, int]
    faults: Sequence[str]
    slowest_refusal_s: float
    outcomes: Mapping[str, int]
    judged: int
    unjudged: int
    counted: Mapping[str, int]
    told: Mapping[str, float]
    happened: Mapping[str, int]


def judge(run: Run) -> Section:
    """Return the table of a run and its bounds."""
    return Section(
        title=run.title,
        columns=(
            "from, s",
            "answers",
            "a second",
            "200",
            "304",
            "401",
            "502..504",
            "oldest answer, s",
            "ms: median, p99, max",
            "proxy's CPU",
            "RSS, MiB",
            "descriptors",
        ),
        rows=[
            _row(before, after, stretch)
            for before, after, stretch in zip(run.samples[:-1], run.samples[1:], run.stretches, strict=True)
        ],
        notes=[
            "outcomes: " + _listed(run.outcomes),
            "what happened: " + _listed(run.happened),
            f"{run.judged:,} different answers were judged by their rows; {run.unjudged} tags were never seen with a body",
            *run.faults[:_SHOWN],
        ],
        bounds=[*_client_bounds(run), *_counter_bounds(run), *_flat_bounds(run)],
    )


def _row(before: Sample, after: Sample, stretch: Stretch) -> list[str]:
    statuses, length_s = stretch.statuses, after.at_s - before.at_s
    waits = [wait_s * 1000 for wait_s in stretch.waits_s]
    return [
        f"{before.at_s:.0f}",
        f"{statuses.total():,}",
        f"{statuses.total() / length_s:,.0f}",
        *(f"{statuses[status]:,}" for status in (200, 304, 401)),
        f"{sum(statuses[status] for status in (502, 503, 504)):,}",
        str(stretch.oldest_s),
        ", ".join(f"{value:.1f}" for value in (percentile(waits, 0.5), percentile(waits, 0.99), max(waits, default=0))),
        "" if before.cpu_s is None or after.cpu_s is None else f"{(after.cpu_s - before.cpu_s) / length_s:.0%}",
        "" if after.rss_bytes is None else f"{after.rss_bytes / 2**20:.0f}",
        "" if after.descriptors is None else str(after.descriptors),
    ]


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {what}" for what, count in Counter(counts).most_common())


def _client_bounds(run: Run) -> list[Bound]:
    answers = sum(stretch.statuses.total() for stretch in run.stretches)
    bounds = [
        Bound(
            promise="every request is answered, on a connection that stays open",
            measured=f"{answers:,} of {run.asked:,}, {run.broken} connections broke",
            held=0 < answers == run.asked and not run.broken,
        )
    ]
    for promise in PROMISES:
        missed = run.missed.get(promise, 0)
        slowest = f"; the last answer {run.slowest_refusal_s:.2f} s after" if "revoked" in promise else ""
        bounds.append(Bound(promise=promise, measured=f"{missed:,} did not{slowest}", held=not missed))
    return bounds


def _counter_bounds(run: Run) -> list[Bound]:
    names = sorted({*run.counted, *run.told})
    others = [name for name in names if run.counted.get(name, 0) != run.told.get(name, 0)]
    different = "".join(f"; {name}: {run.told.get(name, 0):,.0f} for {run.counted.get(name, 0):,}" for name in others)
    never = [name for name, count in run.happened.items() if not count]
    return [
        Bound(
            promise="the proxy counted what the clients counted",
            measured=f"{len(names) - len(others)} of {len(names)} counters{different}",
            held=bool(names) and not others,
        ),
        Bound(promise="everything that ends leases happened", measured=_listed(run.happened), held=not never),
    ]


def _flat_bounds(run: Run) -> list[Bound]:
    first, last = min(run.samples, key=lambda sample: abs(sample.at_s - run.settled_s)), run.samples[-1]
    bounds: list[Bound] = []
    if first.rss_bytes is not None and last.rss_bytes is not None:
        grown = last.rss_bytes / first.rss_bytes - 1
        bounds.append(
            Bound(
                promise=f"memory is flat: it grows by less than {_GROWTH_SHARE:.0%}",
                measured=f"{grown:.1%} from {first.at_s:.0f} s on, to {last.rss_bytes / 2**20:.0f} MiB",
                held=grown < _GROWTH_SHARE,
            )
        )
    if first.descriptors is not None and last.descriptors is not None:
        more = last.descriptors - first.descriptors
        bounds.append(Bound(promise="nor do descriptors grow", measured=f"by {more}", held=more <= _BESIDES_DESCRIPTORS))
    return bounds
