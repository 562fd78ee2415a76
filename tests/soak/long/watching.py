"""Watching: panels poll while the series is loaded, and after that somebody looks closer all the time."""

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tests.bench.growing.calls import Call, parameters_of, read_calls
from tests.bench.growing.questions import panels, zooms
from tests.bench.growing.series import Series
from tests.bench.looking import body_of, metrics_of
from tests.bench.processes import Server
from tests.bench.replay.judge import Answer
from tests.bench.replay.script import Question
from tests.bench.replay.viewers import Viewer
from tests.soak.live.viewers import Seen
from tests.soak.long.panels import Audience, Look

_SAMPLE_S = 1.0
# Twice series.overlap_s and a refresh: what brings no more rows than come in that time asks for what is new.
_TAIL_S = 2 * (60.0 + 10.0)
# So many new forms one after the other for which nobody had to ask: it is loaded.
_LOADED_AFTER = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much is watched. The defaults are what `make soak` does."""

    rows: int = 1_000_000
    seconds: float = 300.0
    """After the load, or after `load_s`."""
    panels: int = 20
    period_s: float = 5.0
    zoom_s: float = 1.0
    """How often somebody looks closer."""
    load_s: float = 120.0
    rows_per_s: float = 5.0
    late_each: int = 100
    rewrite_each_s: float = 20.0
    rewrite_check_s: float = 300.0
    latency_ms: float = 40.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """What happened in a stretch of time: what panels saw, who looked closer, and what the upstream was asked."""

    name: str
    seconds: float
    polled: Sequence[Seen]
    looks: Sequence[Look]
    calls: Sequence[Call]


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """Everything observed. `told` is by how much the proxy's counters grew after the load.

    `load_calls`: how many calls the proxy says that its loads made.
    `series_bytes` and `entries_bytes` (the answers in memory) are the most that the proxy told; `grown_bytes` is by how much
    its process grew, None where there is no /proc.
    """

    loaded: bool
    load_calls: float
    loading: Phase
    watching: Phase
    answers: Sequence[Answer]
    told: Mapping[str, float]
    series_bytes: float
    entries_bytes: float
    grown_bytes: int | None


async def watch(plan: Plan, series: Series, origin: Server, proxy: Server) -> Watched:
    """Watch through both phases."""
    samples = [await metrics_of(proxy)]
    empty = proxy.memory_bytes()
    audience, shown, closer = Audience(proxy.port, proxy.pid), panels(series, plan.panels), _Asked(zooms(series))
    began_s = time.monotonic()
    background = [
        asyncio.create_task(audience.poll(shown, plan.period_s)),
        asyncio.create_task(_sample(proxy, samples)),
    ]
    viewer = Viewer(proxy.port, {})
    try:
        first = await _zoom(audience, viewer, closer, plan, until_s=began_s + plan.load_s, loading=True)
        loaded, loaded_s, polled = _is_loaded(first), time.monotonic(), len(audience.polled)
        before = await metrics_of(proxy)
        second = await _zoom(audience, viewer, closer, plan, until_s=loaded_s + plan.seconds)
        ended_s = time.monotonic()
        after, grown = await metrics_of(proxy), proxy.memory_bytes()
    finally:
        for task in background:
            task.cancel()
        await asyncio.wait(background)
        await viewer.aclose()
    asked = {parameters_of(question) for question in (*shown, *closer.asked)}
    told = await body_of(origin, "/_standin/calls")
    calls = read_calls(told, asked, tail_rows=round(_TAIL_S * series.rows_per_s))
    return Watched(
        loaded=loaded,
        load_calls=before['series_calls_total{reason="load"}'],
        loading=Phase(
            name="until it is loaded",
            seconds=loaded_s - began_s,
            polled=audience.polled[:polled],
            looks=first,
            calls=[call for call in calls if call.at_s < loaded_s],
        ),
        watching=Phase(
            name="after that",
            seconds=ended_s - loaded_s,
            polled=audience.polled[polled:],
            looks=second,
            calls=[call for call in calls if loaded_s <= call.at_s < ended_s],
        ),
        answers=audience.answers,
        told=_grown(before, after),
        series_bytes=max(sample["series_bytes"] for sample in (*samples, after)),
        entries_bytes=max(sample['store_bytes{store="memory"}'] for sample in (*samples, after)),
        grown_bytes=None if empty is None or grown is None else grown[0] - empty[0],
    )


class _Asked(Iterator[Question]):
    """Questions one after the other, those that were given out kept."""

    def __init__(self, questions: Iterator[Question]) -> None:
        self._questions = questions
        self.asked: list[Question] = []

    def __next__(self) -> Question:
        self.asked.append(next(self._questions))
        return self.asked[-1]


async def _zoom(
    audience: Audience, viewer: Viewer, closer: Iterator[Question], plan: Plan, *, until_s: float, loading: bool = False
) -> list[Look]:
    """Look closer again and again up to a moment (monotonic seconds), or where it is `loading` until it is loaded."""
    looks: list[Look] = []
    while (due_s := time.monotonic() + plan.zoom_s) < until_s and not (loading and _is_loaded(looks)):
        looks.append(await audience.zoom(viewer, next(closer)))
        await asyncio.sleep(due_s - time.monotonic())
    if not loading:
        await asyncio.sleep(until_s - time.monotonic())
    return looks


def _is_loaded(looks: Sequence[Look]) -> bool:
    last = looks[-_LOADED_AFTER:]
    return len(last) == _LOADED_AFTER and not any(look.new.forwarded for look in last)


async def _sample(proxy: Server, samples: list[dict[str, float]]) -> None:
    while True:
        await asyncio.sleep(_SAMPLE_S)
        samples.append(await metrics_of(proxy))


def _grown(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """Return by how much the counters grew that are about series, and about what the upstream is asked."""
    return {
        name: value - before.get(name, 0.0)
        for name, value in after.items()
        if name.startswith(("series_", "run_status_")) and "_total" in name and value > before.get(name, 0.0)
    }
