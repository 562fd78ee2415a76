"""`pluto-proxy warm`: a running proxy's cache is filled, by asking it for the metrics of a project's runs.

The proxy is asked like by any client, a few requests at a time. Each says that nobody waits for it (`Priority: u=7`), so that
the calls that it takes go after all others. What is fresh is a hit and costs no call: whoever begins again goes on where they
were.
"""

import argparse
import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import quote, urlencode

import msgspec

from proxy.cli.output import counted, note, write_json
from proxy.cli.place import Place
from proxy.cli.running import Reply, RunningProxy, reaching, told
from proxy.core.lone_surrogates import read_json
from proxy.core.question.routes import METRICS
from proxy.errors import CommandError

_LIST, _DETAILS = "/api/runs/list", "/api/runs/details/"
_PAGE = 200
# What one answer can hold of a metric: from as much the proxy computes the others.
_LIMIT = 10_000
_BUSY = frozenset({429, 503})
_REFUSED = frozenset({401, 403, 421})
_MOST_TRIES = 8
_LEAST_WAIT_S, _MOST_WAIT_S = 1.0, 300.0
_MOST_FAULTS_TOLD = 5


class _Run(msgspec.Struct):
    id: int


class _Runs(msgspec.Struct):
    runs: list[_Run]


class _Name(msgspec.Struct):
    logName: str  # noqa: N815 -- pluto-api's name
    logType: str = "METRIC"  # noqa: N815 -- pluto-api's name


class _Details(msgspec.Struct):
    logNames: list[_Name] = []  # noqa: N815 -- pluto-api's name


_runs = msgspec.json.Decoder(_Runs)
_details = msgspec.json.Decoder(_Details)


@dataclass(slots=True)
class Tally:
    """What was asked so far. `planned` grows as metrics are found. `faults`: what went wrong, in sentences."""

    planned: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    @property
    def done(self) -> int:
        """How many questions were answered, or failed for good."""
        return self.outcomes.total()

    def told(self) -> str:
        """Return what was done, in a line."""
        fresh, asked, failed = (self.outcomes[name] for name in ("fresh", "asked", "failed"))
        metrics = counted(self.planned, "metric", "metrics")
        return f"{self.done:,} of {metrics}: {fresh:,} there already, {asked:,} fetched, {failed:,} failed"


def run_warm(place: Place, arguments: argparse.Namespace) -> int:
    """Fill the cache. Return 0, or 1 where something failed or Ctrl-C stopped it. Raises CommandError."""
    tally = Tally()
    stopped = False
    with _progress(tally) as show:
        try:
            asyncio.run(_warm(place, arguments, tally, show))
        except KeyboardInterrupt:
            stopped = True
    if arguments.json:
        write_json({"planned": tally.planned, **tally.outcomes, "stopped": stopped, "faults": tally.faults})
    else:
        for fault in tally.faults[:_MOST_FAULTS_TOLD]:
            note(fault)
        if stopped:
            note(f"stopped at {tally.told()}; the same command goes on from there")
        elif tally.planned or not tally.faults:
            note(tally.told())
    return int(stopped or bool(tally.faults))


async def _warm(place: Place, arguments: argparse.Namespace, tally: Tally, show: Callable[[], None]) -> None:
    async with reaching(place) as proxy:
        asker = _Asker(proxy)
        runs: Sequence[str] = arguments.run or [run async for run in _runs_of(asker, arguments.project, arguments.status)]
        if not runs:
            raise CommandError("the project has no such run, or the token sees none of it")
        questions = _questions(asker, arguments, runs, tally, show)
        lock = asyncio.Lock()

        async def work() -> None:
            while True:
                async with lock:
                    question = await anext(questions, None)
                if question is None:
                    return
                await _fill(asker, question, tally)
                show()

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(arguments.concurrency):
                    group.create_task(work())
        except* CommandError as exc:
            raise exc.exceptions[0] from None


async def _runs_of(asker: "_Asker", project: str, statuses: Sequence[str]) -> AsyncIterator[str]:
    """Yield the numbers of a project's runs. Raises CommandError."""
    offset, seen = 0, set[int]()
    while True:
        named = {"status": ",".join(statuses)} if statuses else {}
        query = urlencode({"projectName": project, "limit": _PAGE, "offset": offset, **named})
        page = _read(_runs, await asker.ask(f"{_LIST}?{query}")).runs
        for run in page:
            # Runs that are made meanwhile move the others to later pages.
            if run.id not in seen:
                seen.add(run.id)
                yield str(run.id)
        if len(page) < _PAGE:
            return
        offset += _PAGE


async def _questions(
    asker: "_Asker", arguments: argparse.Namespace, runs: Sequence[str], tally: Tally, show: Callable[[], None]
) -> AsyncIterator[str]:
    """Yield a target for each metric of some runs: those that are named, or all that a run has."""
    for run in runs:
        names: Sequence[str] = arguments.metric
        if not names:
            reply = await asker.get(f"{_DETAILS}{quote(run, safe='')}")
            if reply.status != 200:
                tally.faults.append(f"run {run}: {told(reply)}")
                continue
            names = [name.logName for name in _read(_details, reply).logNames if name.logType == "METRIC"]
        tally.planned += len(names)
        show()
        for name in names:
            yield _target(run, arguments.project, name)


def _target(run: str, project: str, metric: str) -> str:
    return f"{METRICS.path}?{urlencode({'runId': run, 'projectName': project, 'logName': metric, 'limit': _LIMIT})}"


async def _fill(asker: "_Asker", target: str, tally: Tally) -> None:
    """Ask for a metric, and count what came of it."""
    reply = await asker.get(target)
    if reply.status != 200:
        tally.outcomes["failed"] += 1
        tally.faults.append(told(reply))
    else:
        is_hit = "; hit" in reply.headers.get("cache-status", "")
        tally.outcomes["fresh" if is_hit else "asked"] += 1


class _Asker:
    """Asks a proxy, and leaves it alone for as long as it wants to be."""

    def __init__(self, proxy: RunningProxy) -> None:
        self._proxy = proxy
        self._gate = asyncio.Event()
        self._gate.set()

    async def ask(self, target: str) -> Reply:
        """Request a target; return a 200. Raises CommandError."""
        reply = await self.get(target)
        if reply.status != 200:
            raise CommandError(told(reply))
        return reply

    async def get(self, target: str) -> Reply:
        """Request a target, again where the proxy is busy. Return the response. Raises CommandError where none will do."""
        headers = {"Priority": "u=7"}
        for _ in range(_MOST_TRIES):
            await self._gate.wait()
            reply = await self._proxy.get(target, **headers)
            if reply.status in _REFUSED:
                raise CommandError(told(reply))
            if reply.status == 504 and b'"offline"' in reply.body:
                raise CommandError("the proxy is offline: it fetches nothing (upstream.offline)")
            if reply.status not in _BUSY:
                return reply
            await self._rest(reply)
            # After a rest pluto-api is tried with one call that somebody waits for. Were this alone there, nothing would go.
            headers = {}
        return reply

    async def _rest(self, reply: Reply) -> None:
        """Let nobody ask for as long as a response says."""
        said = reply.headers.get("retry-after", "")
        wait_s = float(said) if said.isascii() and said.isdigit() else _LEAST_WAIT_S
        self._gate.clear()
        try:
            await asyncio.sleep(min(_MOST_WAIT_S, max(_LEAST_WAIT_S, wait_s)))
        finally:
            self._gate.set()


_Shape = TypeVar("_Shape")


def _read(decoder: "msgspec.json.Decoder[_Shape]", reply: Reply) -> _Shape:
    try:
        return read_json(decoder, reply.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise CommandError("an answer has another shape than pluto-api's: is it a pluto-proxy that answers there?") from None


@contextmanager
def _progress(tally: Tally) -> Iterator[Callable[[], None]]:
    """Show how far it is on standard error, where that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console  # noqa: PLC0415 -- takes longer to load than most commands run
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415 -- as above

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("warming", total=None)
        yield lambda: bar.update(task, completed=tally.done, total=tally.planned)
