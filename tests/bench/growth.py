"""What a question costs as its series grows: before the proxy, before Varnish, and asked directly.

One series of each length, of which a window is asked that nobody has asked before, and the same again: of the proxy once it
has the series, of Varnish, and of the upstream itself, with the time that it takes for any call and without. That upstream
computes its rows: pluto-api would read them, which takes longer the more there are.
"""

import statistics
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.exchange import UnexpectedError
from tests.bench.growing.calls import Kind, counted, parameters_of, read_calls, target_of
from tests.bench.growing.history import LongPast
from tests.bench.growing.origin import LATENCY_MS, argument
from tests.bench.growing.questions import zooms
from tests.bench.growing.series import Series
from tests.bench.looking import body_of, metrics_of
from tests.bench.packaged import Lifetimes, opened, versions
from tests.bench.processes import Server, serving
from tests.bench.replay.contest import judged
from tests.bench.replay.judge import Answer, Promise, Verdict
from tests.bench.replay.script import Ask, Question
from tests.bench.replay.viewers import Viewer
from tests.bench.report import Bound, Section
from tests.bench.world import World
from tests.support.world import KEY

_MOST_MS = 8.0
_PROXY, _VARNISH, _AT_ONCE, _DIRECT = "pluto-proxy", "Varnish", "the upstream at once", "the upstream"
_NEW, _AGAIN = "new", "again"
_LONG_S = 3600
# Nothing grows stale meanwhile, and no check asks anything, so that what is asked is what the load takes.
_SETTINGS = {"PLUTO_PROXY_SERIES__ENABLED": "true", "PLUTO_PROXY_SERIES__SHADOW_S": "0"}
_LOADED_AFTER = 3
_COLUMNS = (
    "rows",
    "pluto-proxy: new, ms",
    "again",
    "Varnish: new",
    "again",
    "the upstream, at once",
    f"in {LATENCY_MS:g} ms",
    "calls until it is there",
    "of them windows, probes",
    "rows / 10,000",
    "series in memory, MB",
    "process grew by, MB",
    "cache file, MB",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """What one length came to; `ms` has the medians, by who was asked and which time it was."""

    rows: int
    loaded: bool
    ms: Mapping[tuple[str, str], float]
    calls: Mapping[Kind, int]
    series_bytes: float
    grown_bytes: int | None
    file_bytes: int


async def measure(world: World) -> Section:
    """Measure one length after the other."""
    found = [await _measure(world, rows) for rows in world.plan.lengths]
    return Section(
        title="A series as it grows: a window not asked before, and the same again",
        columns=_COLUMNS,
        rows=[_row(one) for one in found],
        bounds=[_bound(one) for one in found],
        notes=await versions([_VARNISH]),
    )


async def _measure(world: World, rows: int) -> _Found:
    since_s, where = time.time(), world.placement
    series = Series(start_s=float(int(since_s)), rows=rows)
    questions = zooms(series)
    with TemporaryDirectory(dir=world.folder) as own:
        folder, settings = Path(own), _SETTINGS | {"PLUTO_PROXY_CACHE": f"{own}/cache.sqlite"}
        async with (
            serving(folder, "tests.bench.growing.origin", argument([series]), cpu=where.load) as origin,
            serving(folder, "tests.bench.growing.origin", argument([series], latency_ms=0), cpu=where.load) as at_once,
            world.another_proxy(origin, **settings) as proxy,
            opened({_VARNISH} & {*world.plan.fronts}, folder, origin, where.server, _lifetimes()) as packages,
        ):
            empty = await _memory(proxy)
            async with _viewers({_PROXY: proxy, _AT_ONCE: at_once, _DIRECT: origin, **packages}) as viewers:
                asked, loaded = await _load(viewers[_PROXY], questions, world.plan.load_s)
                calls = read_calls(await body_of(origin, "/_standin/calls"), {*map(parameters_of, asked)}, tail_rows=0)
                answers = await _ask(viewers, islice(questions, world.plan.looks))
            series_bytes, full = (await metrics_of(proxy))["series_bytes"], await _memory(proxy)
        file_bytes = sum(path.stat().st_size for path in folder.glob("cache.sqlite*"))
    _check(LongPast([series], since_s=since_s), answers)
    return _Found(
        rows=rows,
        loaded=loaded,
        ms={key: statistics.median(1000 * answer.elapsed_s for answer in given) for key, given in answers.items()},
        calls=counted(calls),
        series_bytes=series_bytes,
        grown_bytes=None if empty is None or full is None else full - empty,
        file_bytes=file_bytes,
    )


async def _load(viewer: Viewer, questions: Iterator[Question], seconds: float) -> tuple[Sequence[Question], bool]:
    """Ask until for some answers in a row nobody had to ask upstream, or for so long; return whether it came to that."""
    asked: list[Question] = []
    ends_s, left = time.monotonic() + seconds, _LOADED_AFTER
    while left and time.monotonic() < ends_s:
        asked.append(next(questions))
        answer = await viewer.ask(_asking(asked[-1]))
        left = _LOADED_AFTER if b"; fwd=" in answer.head else left - 1
    return asked, not left


async def _ask(viewers: Mapping[str, Viewer], questions: Iterator[Question]) -> Mapping[tuple[str, str], Sequence[Answer]]:
    """Ask everybody, one after the other, each twice at once."""
    answers: dict[tuple[str, str], list[Answer]] = {(name, turn): [] for name in viewers for turn in (_NEW, _AGAIN)}
    for question in questions:
        for name, viewer in viewers.items():
            for turn in (_NEW, _AGAIN):
                answers[name, turn].append(await viewer.ask(_asking(question)))
    return answers


def _check(past: LongPast, answers: Mapping[tuple[str, str], Sequence[Answer]]) -> None:
    """Hold every answer to what the upstream said at some moment. Raises UnexpectedError."""
    for who, given in answers.items():
        verdicts = [one.verdict for one in judged(past, given, Promise(age_s=_LONG_S))]
        if any(verdict is not Verdict.RIGHT for verdict in verdicts):
            raise UnexpectedError(f"answers of {who} that never were: {verdicts}")


def _row(found: _Found) -> list[str]:
    def ms(name: str, turn: str = _NEW) -> str:
        return f"{found.ms[name, turn]:.1f}" if (name, turn) in found.ms else "not installed"

    made = [found.calls.get(kind, 0) for kind in (Kind.WINDOW, Kind.PROBE)]
    grown = "" if found.grown_bytes is None else f"{found.grown_bytes / 1e6:.1f}"
    return [
        f"{found.rows:,}",
        ms(_PROXY) if found.loaded else f"{ms(_PROXY)} (not kept)",
        ms(_PROXY, _AGAIN),
        ms(_VARNISH),
        ms(_VARNISH, _AGAIN),
        ms(_AT_ONCE),
        ms(_DIRECT),
        str(sum(found.calls.values())),
        ", ".join(map(str, made)),
        f"{found.rows / 10_000:g}",
        f"{found.series_bytes / 1e6:.1f}",
        grown,
        f"{found.file_bytes / 1e6:.1f}",
    ]


def _bound(found: _Found) -> Bound:
    median_ms = found.ms[_PROXY, _NEW]
    return Bound(
        promise=f"{found.rows:,} rows: a window not asked before takes less than {_MOST_MS:g} ms at the median",
        measured=f"{median_ms:.1f} ms" if found.loaded else "the series is not kept",
        held=found.loaded and median_ms < _MOST_MS,
    )


def _asking(question: Question) -> Ask:
    return Ask(at_s=0, viewer=0, question=question, target=target_of(question))


def _lifetimes() -> Lifetimes:
    return Lifetimes(fresh_s=_LONG_S, stale_s=_LONG_S)


async def _memory(proxy: Server) -> int | None:
    # What is asked first has more loaded.
    await metrics_of(proxy)
    memory = proxy.memory_bytes()
    return None if memory is None else memory[0]


@asynccontextmanager
async def _viewers(servers: Mapping[str, Server]) -> AsyncIterator[Mapping[str, Viewer]]:
    async with AsyncExitStack() as stack:
        viewers = {name: Viewer(server.port, {"Authorization": f"Bearer {KEY}"}) for name, server in servers.items()}
        for viewer in viewers.values():
            stack.push_async_callback(viewer.aclose)
        yield viewers
