"""What the long soak comes to: its figures, and each promise held against them. Pure."""

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tests.bench.growing.calls import MOST, Kind, counted
from tests.bench.replay.judge import Judged, Verdict
from tests.bench.report import Bound, Section
from tests.soak.judging import percentile
from tests.soak.long.panels import Look
from tests.soak.long.watching import Phase, Watched

NEW_FORM_MS = 8.0
LOAD_FACTOR = 1.3
# A stretch has nine tenths of the rows that prove themselves all, without three; all take turns within three quarters of
# `rewrite_check_s`. Some have fewer, and those in which something had changed come twice.
STRETCH_ROWS, ROTATION_SHARE, ROTATION_FACTOR = 4_497, 0.75, 1.15
# 40 MB in memory and 25 MB on disk for 1,000,000 rows; what is there without any rows is allowed besides.
MEMORY_ROW_BYTES, DISK_ROW_BYTES, EMPTY_BYTES = 40, 25, 10**6
# freshness.running_s, series.shadow_s and the ten minutes after which a series is asked for otherwise, with three calls.
LIFETIME_S, SHADOW_S, RULE_S, RULE_CALLS = 5.0, 30.0, 600.0, 3
# A look at which somebody lacked a CPU for longer tells of the machine.
DISTURBED_S = 0.0005
_LEAST_LOOKS = 5
_COLUMNS = ("", "s", "answers", "forwarded", "ms: median, p99", *Kind, "rows", "MB")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What was watched, with a verdict for each answer. `file_bytes`: the cache file after the end."""

    rows: int
    rewrite_check_s: float
    watched: Watched
    judged: Sequence[Judged]
    file_bytes: int


def judge(run: Run) -> Section:
    """Return the table of a run and its bounds."""
    return Section(
        title=f"A live series of {run.rows:,} rows",
        columns=_COLUMNS,
        rows=[_row(run.watched.loading), _row(run.watched.watching)],
        notes=[*_notes(run)],
        bounds=[*_answer_bounds(run), *_call_bounds(run), *_time_bounds(run.watched.watching), *_size_bounds(run)],
    )


def _row(phase: Phase) -> list[str]:
    seen = [*phase.polled, *(one for look in phase.looks for one in (look.new, look.again))]
    kinds = counted(phase.calls)
    return [
        phase.name,
        f"{phase.seconds:.0f}",
        f"{len(seen):,}",
        f"{sum(one.forwarded for one in seen):,}",
        _ms(one.wait_s for one in seen),
        *(f"{kinds[kind]:,}" for kind in Kind),
        f"{sum(call.rows for call in phase.calls):,}",
        f"{sum(call.body_bytes for call in phase.calls) / 1e6:.1f}",
    ]


def _ms(waits_s: Iterable[float]) -> str:
    waits_ms = [1000 * wait_s for wait_s in waits_s]
    return f"{percentile(waits_ms, 0.5):.1f}, {percentile(waits_ms, 0.99):.1f}" if waits_ms else ""


def undisturbed(looks: Iterable[Look]) -> list[Look]:
    """Return the looks at which nobody lacked a CPU."""
    return [look for look in looks if look.disturbed_s is not None and look.disturbed_s < DISTURBED_S]


def _notes(run: Run) -> Iterable[str]:
    watched, looks = run.watched, run.watched.watching.looks
    quiet = undisturbed(looks)
    for what, waits in (("new forms", [look.new.wait_s for look in looks]), ("again", [look.again.wait_s for look in looks])):
        yield f"{what}: {_ms(waits)} ms over {len(waits)}"
    yield f"new forms while nobody lacked a CPU: {_ms(look.new.wait_s for look in quiet)} ms over {len(quiet)}"
    details = Counter(f"{'fetched' if one.forwarded else 'hit'} {one.detail}".strip() for one in watched.watching.polled)
    yield "panels after the load: " + _most(details)
    yield "judged: " + _most(Counter(one.verdict.value for one in run.judged))
    if old_s := [one.behind_s for one in run.judged if one.verdict is Verdict.TOO_OLD]:
        yield f"too old by {statistics.median(old_s):.1f} s at the median, {max(old_s):.1f} s at most"
    yield "the proxy counted after the load: " + ", ".join(f"{value:g} {name}" for name, value in sorted(watched.told.items()))
    if watched.grown_bytes is not None:
        answers_mb = watched.entries_bytes / 1e6
        yield f"the process grew by {watched.grown_bytes / 1e6:.0f} MB, of which {answers_mb:.0f} MB are answers"


def _most(counted: Counter[str]) -> str:
    return ", ".join(f"{count:,} {what}" for what, count in counted.most_common())


def _answer_bounds(run: Run) -> Iterable[Bound]:
    count = Counter(one.verdict for one in run.judged)
    bad = {verdict: count[verdict] for verdict in (Verdict.WRONG, Verdict.TOO_OLD, Verdict.FAILED)}
    yield Bound(
        promise="every answer is what the upstream said: none is wrong, too old or failed",
        measured=", ".join(f"{number} {verdict}" for verdict, number in bad.items()) + f" of {len(run.judged):,}",
        held=not sum(bad.values()) and bool(run.judged),
    )


def _call_bounds(run: Run) -> Iterable[Bound]:
    loading, watching, seconds = (
        counted(run.watched.loading.calls),
        counted(run.watched.watching.calls),
        run.watched.watching.seconds,
    )
    needed = math.ceil(run.rows / MOST)
    # The panels had asked for windows before: the proxy says how many the load did. Who asked for a probe nobody can tell.
    all_calls = loading[Kind.WINDOW] + loading[Kind.PROBE]
    load = run.watched.load_calls + loading[Kind.PROBE]
    yield Bound(
        promise=f"the series is loaded, by at most {LOAD_FACTOR:g} x the {needed} calls that its rows need",
        measured=f"{load} of {all_calls} calls" if run.watched.loaded else f"not loaded after {all_calls} calls",
        held=run.watched.loaded and load <= LOAD_FACTOR * needed and load <= all_calls,
    )
    lifetimes = math.ceil(seconds / LIFETIME_S) + 1
    yield Bound(
        promise=f"after the load at most a call a lifetime ({lifetimes}) for what is new",
        measured=str(watching[Kind.TAIL]),
        held=run.watched.loaded and watching[Kind.TAIL] <= lifetimes,
    )
    stretches = math.ceil(run.rows / STRETCH_ROWS) * seconds / (ROTATION_SHARE * run.rewrite_check_s)
    rotation = math.ceil(ROTATION_FACTOR * stretches) + 2 + RULE_CALLS * math.ceil(seconds / RULE_S)
    yield Bound(
        promise=f"and at most {rotation} for the rotation and the check of the rule",
        measured=str(watching[Kind.WINDOW] + watching[Kind.PROBE]),
        held=run.watched.loaded and watching[Kind.WINDOW] + watching[Kind.PROBE] <= rotation,
    )
    compared = math.ceil(seconds / SHADOW_S) + 1
    yield Bound(
        promise=f"and at most {compared} as clients asked, for comparison",
        measured=str(watching[Kind.AS_ASKED]),
        held=run.watched.loaded and watching[Kind.AS_ASKED] <= compared,
    )


def _time_bounds(watching: Phase) -> Iterable[Bound]:
    looks, quiet = watching.looks, undisturbed(watching.looks)
    forwarded = sum(look.new.forwarded or look.again.forwarded for look in looks) + sum(
        one.forwarded for one in watching.polled
    )
    yield Bound(
        promise="after the load nobody waits for the upstream, neither who asks anew nor who asks again",
        measured=f"{forwarded} did",
        held=not forwarded and bool(looks),
    )
    median_ms = 1000 * percentile([look.new.wait_s for look in quiet], 0.5)
    enough = len(quiet) >= _LEAST_LOOKS
    yield Bound(
        promise=f"a new form takes less than {NEW_FORM_MS:g} ms at the median",
        measured=f"{median_ms:.1f} ms" if enough else "not measured: the machine was disturbed",
        held=median_ms < NEW_FORM_MS or not enough,
    )


def _size_bounds(run: Run) -> Iterable[Bound]:
    memory, disk = (EMPTY_BYTES + run.rows * row_bytes for row_bytes in (MEMORY_ROW_BYTES, DISK_ROW_BYTES))
    yield Bound(
        promise=f"the series takes at most {memory / 1e6:.1f} MB in memory",
        measured=f"{run.watched.series_bytes / 1e6:.1f} MB",
        held=run.watched.series_bytes <= memory,
    )
    yield Bound(
        promise=f"and at most {disk / 1e6:.1f} MB on disk",
        measured=f"{run.file_bytes / 1e6:.1f} MB",
        held=run.file_bytes <= disk,
    )
