"""`pluto-proxy status`: what a running proxy is doing, once or as a view that is renewed until Ctrl-C."""

import asyncio
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

from proxy.cli.output import counted, plain, size, span, write, write_json
from proxy.cli.place import Place
from proxy.cli.running import RunningProxy, reaching
from proxy.errors import CommandError

if TYPE_CHECKING:
    from rich.console import RenderableType

_HITS = ("hit", "series", "stale")
_ANSWERS = (*_HITS, "collapsed", "miss")
_ANSWER_S = 10.0
_BAR_CELLS = 10
_LABEL_CHARACTERS = 11


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What was counted until a moment: requests by how they were answered, and calls to pluto-api."""

    outcomes: Mapping[str, float]
    calls: float

    @property
    def requests(self) -> float:
        """All requests."""
        return sum(self.outcomes.values())

    def share(self, *outcomes: str) -> float:
        """Return which share of the requests had one of some outcomes; 0 where there were none."""
        return sum(self.outcomes.get(name, 0.0) for name in outcomes) / (self.requests or 1.0)

    def since(self, before: "Counts") -> "Counts":
        """Return what was counted after another moment; everything where the proxy was started anew in between."""
        if any(self.outcomes.get(name, 0.0) < count for name, count in before.outcomes.items()):
            return self
        outcomes = {name: count - before.outcomes.get(name, 0.0) for name, count in self.outcomes.items()}
        return Counts(outcomes=outcomes, calls=self.calls - before.calls)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What a proxy says of itself at a moment (monotonic clock). `state` is the document of `/readyz?verbose`."""

    at_s: float
    state: Mapping[str, object]
    counts: Counts
    version: str
    up_s: float | None
    resident_bytes: float


async def show_status(place: Place, *, live: bool, as_json: bool, every_s: float) -> int:
    """Print the state of a proxy, or show it until Ctrl-C. Raises CommandError where it can't be had."""
    async with reaching(place, answer_s=_ANSWER_S) as proxy:
        first = await _look(proxy)
        if as_json:
            write_json(_document(first))
        elif not live:
            for line in _lines(proxy.url, first, None, span_s=None):
                write(line)
        else:
            await _view(proxy, first, every_s)
    return 0


async def _view(proxy: RunningProxy, snapshot: Snapshot, every_s: float) -> None:
    from rich.console import Console  # noqa: PLC0415 -- takes longer to load than most commands run
    from rich.live import Live  # noqa: PLC0415 -- as above

    lines = [*_lines(proxy.url, snapshot, None, span_s=None)]
    with Live(_drawn(lines), console=Console(highlight=False), auto_refresh=False) as live:
        live.refresh()
        while True:
            await asyncio.sleep(every_s)
            before = snapshot
            try:
                snapshot = await _look(proxy)
            except CommandError as exc:
                live.update(_drawn([*lines, f"! {exc}"]), refresh=True)
                continue
            recent = snapshot.counts.since(before.counts)
            lines = [*_lines(proxy.url, snapshot, recent, span_s=snapshot.at_s - before.at_s)]
            live.update(_drawn(lines), refresh=True)


def _drawn(lines: list[str]) -> "RenderableType":
    """Return the lines as rich shows them: a line about a trouble stands out."""
    from rich.text import Text  # noqa: PLC0415 -- as above

    return Text("\n").join(Text(line, style="bold yellow" if line.startswith("!") else "") for line in lines)


async def _look(proxy: RunningProxy) -> Snapshot:
    ready = await proxy.get("/readyz?verbose")
    if ready.status != 503:  # a proxy that is ending says what it does all the same
        ready = await proxy.ask("/readyz?verbose")
    state = ready.document()
    metrics = await proxy.ask("/metrics")
    outcomes: dict[str, float] = {}
    numbers: dict[str, float] = {}
    version = "?"
    try:
        for family in text_string_to_metric_families(metrics.body.decode()):
            for sample in family.samples:
                numbers[sample.name] = numbers.get(sample.name, 0.0) + sample.value
                if sample.name == "pluto_proxy_requests_total":
                    outcome = sample.labels["outcome"]
                    outcomes[outcome] = outcomes.get(outcome, 0.0) + sample.value
                elif sample.name == "pluto_proxy_build_info":
                    version = sample.labels["version"]
    except (ValueError, KeyError, IndexError):
        raise CommandError("the metrics cannot be read: is it a pluto-proxy that answers there?") from None
    began_s = numbers.get("process_start_time_seconds")
    return Snapshot(
        at_s=time.monotonic(),
        state=state,
        counts=Counts(outcomes=outcomes, calls=numbers.get("pluto_proxy_upstream_requests_total", 0.0)),
        version=plain(version),
        up_s=max(0.0, time.time() - began_s) if began_s else None,
        resident_bytes=numbers.get("process_resident_memory_bytes", 0.0),
    )


def _document(snapshot: Snapshot) -> dict[str, object]:
    counts = snapshot.counts
    return {
        **snapshot.state,
        "version": snapshot.version,
        "up_s": snapshot.up_s,
        "resident_bytes": snapshot.resident_bytes,
        "requests": counts.requests,
        "hit_share": counts.share(*_HITS),
        **asdict(counts),
    }


def _lines(url: str, snapshot: Snapshot, recent: Counts | None, *, span_s: float | None) -> Iterator[str]:
    """Yield what is shown: `recent` is what was counted in the last `span_s` seconds, None where there was one look only."""
    state, counts = snapshot.state, snapshot.counts
    ready = "ready" if state.get("ready") else "ending"
    up = "" if snapshot.up_s is None else f", up {span(snapshot.up_s)}"
    yield _line("proxy", f"{plain(url)}, {ready}, version {snapshot.version}{up}")
    yield _line("requests", _requests(snapshot, recent, span_s))
    shown, of = (counts, "since the start") if recent is None or not recent.requests else (recent, "now")
    if shown.requests:
        yield _line("answers", f"{_percent(shown.share(*_HITS))} hits {of}")
        yield _line("", _shares(shown))
    else:
        yield _line("answers", "none yet")
    yield from _upstream_lines(_part(state, "upstream"), recent, span_s)
    yield from _store_lines(_part(state, "store"), snapshot.resident_bytes)
    yield _series_line(_part(state, "series"))
    troubles = state.get("troubles")
    for trouble in troubles if isinstance(troubles, list) else []:
        yield f"! {plain(str(trouble))}"


def _requests(snapshot: Snapshot, recent: Counts | None, span_s: float | None) -> str:
    counts = snapshot.counts
    total = f"{counts.requests:,.0f} since the start"
    if recent is not None and span_s:
        return f"{recent.requests / span_s:.1f} a second now, {total}"
    return f"{counts.requests / snapshot.up_s:.1f} a second, {total}" if snapshot.up_s else total


def _shares(counts: Counts) -> str:
    failed = max(0.0, 1.0 - counts.share(*_ANSWERS)) if counts.requests else 0.0
    parts = [f"{name} {_percent(counts.share(name))}" for name in _ANSWERS]
    return ", ".join([*parts, f"errors {_percent(failed)}"])


def _upstream_lines(upstream: Mapping[str, object], recent: Counts | None, span_s: float | None) -> Iterator[str]:
    rate = f"{recent.calls / span_s:.1f} calls a second now, " if recent is not None and span_s else ""
    calls, retries, flying = (int(_number(upstream, name)) for name in ("calls", "retries", "in_flight"))
    made = f"{counted(calls, 'call', 'calls')}, {counted(retries, 'retry', 'retries')}"
    condition = plain(str(upstream.get("condition", "?")))
    yield _line("pluto-api", f"{condition}, {rate}{made}, {flying} under way")
    tokens, burst = _number(upstream, "tokens"), _number(upstream, "burst")
    bar = _bar(tokens / burst if burst else 0.0)
    yield _line("budget", f"{bar} {tokens:.1f} of {burst:.0f} calls at once, {_number(upstream, 'rate_per_s'):.3g} a second")
    waiting, wait = _part(upstream, "waiting"), _part(upstream, "expected_wait_s")
    line = ", ".join(f"{plain(name)} {_number(waiting, name):.0f}" for name in waiting)
    yield _line("line", f"{line}; a client's call would wait {_number(wait, 'person'):.1f} s")


def _store_lines(store: Mapping[str, object], resident_bytes: float) -> Iterator[str]:
    process = f"; the process takes {size(resident_bytes)}" if resident_bytes else ""
    in_memory = f"{size(_number(store, 'memory_bytes'))}, {_number(store, 'memory_entries'):,.0f} answers"
    yield _line("memory", in_memory + process)
    on_disk = f"{size(_number(store, 'disk_bytes'))}, {_number(store, 'disk_entries'):,.0f} entries"
    yield _line("disk", f"{plain(str(store.get('disk', '?')))}, {on_disk}, log {size(_number(store, 'disk_log_bytes'))}")


def _series_line(series: Mapping[str, object]) -> str:
    trusted = "computed" if series.get("trusted") else "not computed: pluto-api's rule has changed"
    passed, failed = _number(series, "checks_passed"), _number(series, "checks_failed")
    return _line(
        "series", f"{trusted}, {_number(series, 'answers_computed'):,.0f} answers, checks {passed:.0f} ok, {failed:.0f} not"
    )


def _line(label: str, text: str) -> str:
    return f"{label:<{_LABEL_CHARACTERS}}{text}"


def _bar(share: float) -> str:
    full = round(min(1.0, max(0.0, share)) * _BAR_CELLS)
    return "[" + "#" * full + "." * (_BAR_CELLS - full) + "]"


def _percent(share: float) -> str:
    return f"{100 * share:.0f}%"


def _part(document: Mapping[str, object], name: str) -> Mapping[str, object]:
    part = document.get(name)
    return part if isinstance(part, dict) else {}


def _number(document: Mapping[str, object], name: str) -> float:
    value = document.get(name)
    return float(value) if isinstance(value, int | float) else 0.0


def is_live(*, once: bool, as_json: bool) -> bool:
    """Tell whether the view is renewed: on a terminal only, where neither one look nor JSON is asked for."""
    return not once and not as_json and sys.stdout.isatty()
