"""Plays the replay before everyone who is put in front of the upstream, one after the other, and judges every answer."""

import asyncio
import json
import statistics
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from proxy.standin import GrowthConfig
from tests.bench.bodies import METRICS_PATH
from tests.bench.exchange import UnexpectedError, get
from tests.bench.packaged import NotInstalledError, versions
from tests.bench.processes import Server, serving
from tests.bench.replay.fronts import FRONTS, PROXY
from tests.bench.replay.history import History
from tests.bench.replay.judge import Answer, Judged, Past, Promise, Verdict, judge
from tests.bench.replay.origin import LATENCY_MS
from tests.bench.replay.script import PANELS, POLL_S, make_script
from tests.bench.replay.viewers import Wire, play
from tests.bench.report import Bound, Section
from tests.bench.world import Plan, World

_MOST_CALLS, _MOST_MB, _MOST_P50_MS = 130, 20.0, 3.0
_LIVE = 6
# How long the live runs have been growing when it begins: within the minute their metrics grow beyond 1,000 rows, an epoch
# ends, a row of each 500 steps is due, and a metric appears.
_HISTORY_S, _LATE_S = 950.0, 980.0
_FINISHED_S = 940.0
_SPOILT = 20
# What is asked upstream for nobody in particular is over by then.
_SETTLED_S = 0.5
_COLUMNS = (
    "runs",
    "in front",
    "calls",
    "of them other than metrics",
    "rows",
    "MB",
    "client p50, ms",
    "client p99, ms",
    "answers checked",
    "wrong",
    "too old",
    "failed",
)
PLAIN, AWKWARD = "plain", "awkward"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sent:
    """What the upstream was asked and has sent."""

    calls: int
    metric_calls: int
    rows: int
    body_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One replay: what it cost upstream, and every answer with its verdict."""

    sent: _Sent
    answers: Sequence[Answer]
    judged: Sequence[Judged]

    def count(self, verdict: Verdict) -> int:
        """Return how many answers are so."""
        return sum(one.verdict is verdict for one in self.judged)

    def ms(self, percent: int) -> float:
        """Return a percentile of the time that viewers waited."""
        return 1000 * statistics.quantiles([answer.elapsed_s for answer in self.answers], n=100)[percent - 1]


async def measure(world: World) -> Section:
    """Play both kinds of runs before everyone that the plan names."""
    rows: list[list[str]] = []
    bounds: list[Bound] = []
    notes = await versions(world.plan.fronts)
    for kind in (PLAIN, AWKWARD):
        for name in world.plan.fronts:
            try:
                found = await _replay(world, kind, name)
            except NotInstalledError:
                rows.append([kind, name, "not installed", *[""] * (len(_COLUMNS) - 3)])
                continue
            rows.append(_row(kind, name, found))
            notes += _notes(kind, name, found)
            if name == PROXY:
                bounds += _bounds(kind, found)
    plan = world.plan
    title = (
        f"The dashboard replay: {plan.viewers} viewers with {PANELS} panels poll every {POLL_S:g} s for {plan.replay_s:g} s, "
        f"{_LIVE} live runs, {plan.finished} finished, an upstream that takes {LATENCY_MS} ms"
    )
    return Section(title=title, columns=_COLUMNS, rows=rows, bounds=bounds, notes=notes)


def growth_of(kind: str, plan: Plan, now_s: float) -> GrowthConfig:
    """Return the runs of a replay that begins now; they grow at whole seconds of the wall clock."""
    return GrowthConfig(
        live_runs=_LIVE,
        finished_runs=plan.finished,
        start_s=float(int(now_s)) - _HISTORY_S,
        history_s=_HISTORY_S,
        finished_duration_s=_FINISHED_S,
        long_series_rows=25_000 if kind == AWKWARD else 0,
        uncommon=kind == AWKWARD,
        late_s=_LATE_S,
    )


async def _replay(world: World, kind: str, name: str) -> Found:
    """Play it before one, with an upstream of its own."""
    front, since_s = FRONTS[name], time.time()
    growth = growth_of(kind, world.plan, since_s)
    script = make_script(growth, viewers=world.plan.viewers, seconds=world.plan.replay_s)
    where = world.placement
    with TemporaryDirectory(dir=world.folder) as folder:
        told = json.dumps(asdict(growth))
        async with (
            serving(Path(folder), "tests.bench.replay.origin", told, cpu=where.load) as origin,
            front.open(Path(folder), origin, where.server) as port,
        ):
            answers = await play(port, script, dict(front.headers))
            await asyncio.sleep(_SETTLED_S)
            sent = await _sent(origin)
    history = History(growth, since_s=since_s, until_s=time.time())
    return Found(sent=sent, answers=answers, judged=judged(history, answers, front.promise))


def judged(history: Past, answers: Sequence[Answer], promise: Promise) -> list[Judged]:
    """Judge every answer, and the judge. Raises UnexpectedError where it lets something through that was never true."""
    for spoilt in islice(_spoilt(answers), 2 * _SPOILT):
        if judge(history, spoilt, promise).verdict is not Verdict.WRONG:
            raise UnexpectedError(f"a spoilt answer to {spoilt.question} was let through: nothing that was judged counts")
    return [judge(history, answer, promise) for answer in answers]


def _spoilt(answers: Iterable[Answer]) -> Iterator[Answer]:
    """Yield answers with one value changed, and without their first row."""
    for answer in answers:
        first, found, others = answer.body.partition(b"},{")
        if answer.status == 200 and found:
            yield replace(answer, body=answer.body.replace(b'"value":', b'"value":1', 1))
            yield replace(answer, body=first[: first.index(b"{", 1)] + b"{" + others)


async def _sent(origin: Server) -> _Sent:
    _, wire = await asyncio.get_running_loop().create_connection(Wire, "127.0.0.1", origin.port)
    counters: dict[str, Any] = json.loads((await wire.ask(get("/_standin/counters"))).body)
    await wire.aclose()
    return _Sent(
        calls=counters["total"],
        metric_calls=counters["by_path"].get(METRICS_PATH, 0),
        rows=counters["rows_sent"],
        body_bytes=counters["bytes_sent"],
    )


def _row(kind: str, name: str, found: Found) -> list[str]:
    sent = found.sent
    return [
        kind,
        name,
        f"{sent.calls:,}",
        f"{sent.calls - sent.metric_calls:,}",
        f"{sent.rows:,}",
        f"{sent.body_bytes / 1e6:.1f}",
        f"{found.ms(50):.1f}",
        f"{found.ms(99):.1f}",
        f"{len(found.judged):,}",
        *(f"{found.count(verdict):,}" for verdict in (Verdict.WRONG, Verdict.TOO_OLD, Verdict.FAILED)),
    ]


def _notes(kind: str, name: str, found: Found) -> list[str]:
    """Tell what was not as it should be, the first of each kind in full."""
    notes: list[str] = []
    if behind := found.count(Verdict.BEHIND):
        notes.append(f"{kind}, {name}: {behind:,} right answers hold rows that were written again as they were before")
    if old_s := [one.behind_s for one in found.judged if one.verdict is Verdict.TOO_OLD]:
        notes.append(f"{kind}, {name}: what is too old was out of date for {max(old_s):.1f} s at most when it was asked for")
    for verdict in (Verdict.WRONG, Verdict.FAILED):
        bad = [answer for answer, one in zip(found.answers, found.judged, strict=True) if one.verdict is verdict]
        statuses = ", ".join(f"{status}: {count}" for status, count in Counter(answer.status for answer in bad).items())
        notes += [f"{kind}, {name}: {verdict}, statuses {statuses}; such as {bad[0].question}"] if bad else []
    return notes


def _bounds(kind: str, found: Found) -> list[Bound]:
    """Return what is promised of the proxy."""
    wrong, old, failed = (found.count(verdict) for verdict in (Verdict.WRONG, Verdict.TOO_OLD, Verdict.FAILED))
    bounds = [
        Bound(
            promise=f"{kind}: every answer is checked, none is wrong, too old or failed",
            measured=f"{len(found.judged):,} of {len(found.answers):,} checked, {wrong} wrong, {old} too old, {failed} failed",
            held=0 < len(found.judged) == len(found.answers) and not wrong + old + failed,
        )
    ]
    if kind == PLAIN:
        calls, megabytes, p50_ms = found.sent.calls, found.sent.body_bytes / 1e6, found.ms(50)
        bounds += [
            Bound(promise=f"{kind}: at most {_MOST_CALLS} calls upstream", measured=f"{calls:,}", held=calls <= _MOST_CALLS),
            Bound(
                promise=f"{kind}: the upstream sends at most {_MOST_MB:g} MB",
                measured=f"{megabytes:.1f} MB",
                held=megabytes <= _MOST_MB,
            ),
            Bound(
                promise=f"{kind}: viewers wait less than {_MOST_P50_MS:g} ms at the median",
                measured=f"{p50_ms:.1f} ms",
                held=p50_ms < _MOST_P50_MS,
            ),
        ]
    return bounds
