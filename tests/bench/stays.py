"""How often one request comes to the parts of the service: what is looked up twice shows here, however little time it takes.

A **stay** is a function of `proxy/service` entered from another file, or from outside. What a function calls within its own
file belongs to its stay, and so does a coroutine that goes on after an `await`. The table gives the stays; all functions
entered; frames without a name (lambdas, and comprehensions where they are frames); coroutines and generators resumed; and the
functions entered in all of `proxy`.

Counted is what the event loop's thread does from the arrival of a request until its answer and, behind a stale answer, until
the refresh is over. The world is one run of one metric, and its clock stands still meanwhile: stays and functions entered are
the same each time. Resumptions may vary, since the disk answers from a thread of its own.

`python -m tests.bench.stays --top` also names the functions that are entered most often.
"""

import argparse
import asyncio
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from types import CodeType, FrameType

from structlog.testing import capture_logs

import proxy
from tests.bench.exchange import UnexpectedError
from tests.bench.report import Section
from tests.bench.world import World as Servers
from tests.support.oracle_upstream import series_world
from tests.support.world import METRICS

PACKAGE = Path(proxy.__file__).parent
_TIMES, _MOST = 3, 10
# A little more than the lifetime of what is told of a running run.
_LATER_S = 6.0
_ROWS, _NEW_ROWS, _LOGGED_AGO_S = 100, 10, 3600.0
_DETAILS = "/api/runs/details/1?projectName=p"
_PANEL, _ANOTHER = (f"{METRICS}?runId=1&projectName=p&logName=loss&limit={limit}" for limit in (10, 20))
_NO_STALE = {"freshness__stale_while_revalidate_s": 0, "freshness__stale_wait_s": 30}
_COLUMNS = ("request", "stays", "functions entered", "frames without a name", "resumptions", "functions of all of proxy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A request. `before`: what is asked first; `grows`: after each of these come rows, and the answer grows stale.

    `begins` and `ends` are what the answer's Cache-Status does behind the proxy's name.
    """

    target: str
    begins: str
    ends: str = ""
    before: Sequence[str] = ()
    grows: bool = False
    settings: Mapping[str, object] = field(default_factory=dict)


CASES = {
    "a hit": Case(target=_PANEL, begins="hit; ttl=", before=[_PANEL]),
    "a hit, answered the fast way": Case(target=_PANEL, begins="hit; ttl=", before=[_PANEL] * 3),
    "a plain miss": Case(target=_DETAILS, begins="fwd=uri-miss"),
    "a series hit": Case(target=_ANOTHER, begins="hit; ttl=", ends='"series"', before=[_PANEL]),
    "a series miss": Case(target=_PANEL, begins="fwd=uri-miss", ends='"series"'),
    "a delta": Case(target=_PANEL, begins="fwd=stale", ends='"delta"', before=[_PANEL] * 2, grows=True, settings=_NO_STALE),
    "a delta behind a stale answer": Case(
        target=_PANEL, begins="hit; ttl=-", ends='"stale: revalidating"', before=[_PANEL] * 2, grows=True
    ),
}


@dataclass(slots=True, kw_only=True)
class Calls:
    """Counts calls of Python functions whose file is in a folder, in this thread, while its context is open.

    `stays` are those of the `entered` that came from another file, or from outside of the folder.
    """

    folder: Path
    entered: Counter[CodeType] = field(default_factory=Counter)
    resumed: Counter[CodeType] = field(default_factory=Counter)
    nameless: Counter[CodeType] = field(default_factory=Counter)
    stays: Counter[CodeType] = field(default_factory=Counter)

    def __enter__(self) -> None:
        sys.setprofile(self._note)

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def within(self, folder: Path) -> "Calls":
        """Return those of the calls whose file is in a folder within this one."""
        counters = (self.entered, self.resumed, self.nameless, self.stays)
        entered, resumed, nameless, stays = (
            Counter({code: count for code, count in counter.items() if Path(code.co_filename).is_relative_to(folder)})
            for counter in counters
        )
        return Calls(folder=folder, entered=entered, resumed=resumed, nameless=nameless, stays=stays)

    def top(self) -> Iterator[str]:
        """Yield a line for each of the functions that are entered most often."""
        for code, count in self.entered.most_common(_MOST):
            yield f"{count:7} {self.stays[code]:5}  {code.co_qualname}, {Path(code.co_filename).relative_to(self.folder)}"

    def _note(self, frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event != "call" or not code.co_filename.startswith(f"{self.folder}/"):
            return
        # A call is told at the instruction RESUME, whose argument is 0 where a function begins.
        if code.co_code[frame.f_lasti + 1]:
            self.resumed[code] += 1
        elif code.co_name.startswith("<"):
            self.nameless[code] += 1
        else:
            self.entered[code] += 1
            self.stays[code] += frame.f_back is None or frame.f_back.f_code.co_filename != code.co_filename


async def measure(_: Servers) -> Section:
    """Count each request; of the bench's servers none takes part."""
    return section({what: await _several(case) for what, case in CASES.items()})


def section(found: Mapping[str, Sequence[Calls]]) -> Section:
    """Return the table of what was counted in several worlds each."""
    rows = [[what, *map(_range, zip(*map(_figures, worlds), strict=True))] for what, worlds in found.items()]
    return Section(title="Stays in the service, of one request", columns=_COLUMNS, rows=rows)


async def counted(case: Case) -> Calls:
    """Return the calls within the package that a request makes in a new world."""
    calls = Calls(folder=PACKAGE)
    with TemporaryDirectory() as folder, capture_logs():
        async with series_world(Path(folder), **case.settings) as (world, upstream):
            upstream.log("loss", range(_ROWS), ago_s=_LOGGED_AGO_S)
            for target in case.before:
                await world.get(target)
                await world.settled()
                await world.flushed()
                if case.grows:
                    upstream.log("loss", range(len(upstream.rows), len(upstream.rows) + _NEW_ROWS))
                    world.advance(_LATER_S)
            with calls:
                reply = await world.get(case.target)
            while "revalidating" in case.ends and world.busy:
                # Whether it is over is looked at in between: that is no part of it.
                with calls:
                    await asyncio.sleep(0)
    status = reply.cache_status.removeprefix("pluto-proxy; ")
    if not (status.startswith(case.begins) and status.endswith(case.ends)):
        raise UnexpectedError(f"{status} is not what the case is about: {case}")
    return calls


async def _several(case: Case) -> Sequence[Calls]:
    return [await counted(case) for _ in range(_TIMES)]


def _figures(calls: Calls) -> tuple[int, ...]:
    service, standin = calls.within(PACKAGE / "service"), calls.within(PACKAGE / "standin")
    counters = (service.stays, service.entered, service.nameless, service.resumed, calls.entered - standin.entered)
    return tuple(counter.total() for counter in counters)


def _range(values: Sequence[int]) -> str:
    least, most = min(values), max(values)
    return f"{least:,}" if least == most else f"{least:,}..{most:,}"


async def main() -> None:
    """Print the table, and where it is wanted the functions."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.stays", description="Count the stays of one request.")
    parser.add_argument("--top", action="store_true", help=f"name the {_MOST} functions that are entered most often, too")
    top = parser.parse_args().top
    found = {what: await _several(case) for what, case in CASES.items()}
    sys.stdout.write(f"{section(found)}")
    for what, worlds in found.items() if top else ():
        lines = [f"\n{what}:", "entered stays", *worlds[0].within(PACKAGE / "service").top()]
        sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    asyncio.run(main())
