"""`python -m tests.bench`: run the scenarios, print the report, exit with 1 where a bound is missed."""

import argparse
import asyncio
import resource
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace

from tests.bench import growth, herd, hits, large, memory, misses, page, points, series, start, stays, view
from tests.bench.cpu import against, polls
from tests.bench.exchange import UnexpectedError
from tests.bench.machine import describe
from tests.bench.processes import ahead_of_others, pinned, placement
from tests.bench.replay import contest
from tests.bench.report import Section
from tests.bench.world import MIB, Plan, World, world

SCENARIOS: dict[str, Callable[[World], Awaitable[Section]]] = {
    "hits": hits.measure,
    "misses": misses.measure,
    "herd": herd.measure,
    "memory": memory.measure,
    "large": large.measure,
    "points": points.measure,
    "start": start.measure,
    "series": series.measure,
    "replay": contest.measure,
    "stays": stays.measure,
    "growth": growth.measure,
    "view": view.measure,
    "page": page.measure,
    "cpu": against.measure,
    "polls": polls.measure,
}
FULL = Plan()
QUICK = Plan(
    rounds=2,
    seconds=0.2,
    warm_up_s=0.1,
    answers=500,
    large=2,
    starts=2,
    cache_bytes=20 * MIB,
    metrics=10,
    panels=5,
    viewers=4,
    replay_s=2,
    finished=1,
    lengths=(1_000, 10_000),
    load_s=5,
    looks=5,
    charted=10,
    charted_rows=20_000,
    cpu_rounds=2,
    polled=1_000,
    polled_s=1,
)
_FILES = 4096


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit status."""
    options = _parser().parse_args(arguments)
    plan = QUICK if options.quick else FULL
    given = {
        name: value
        for name in ("rounds", "seconds", "cpu_rounds", "cases", "baseline")
        if (value := getattr(options, name)) is not None
    }
    allow_files(_FILES)
    try:
        with ahead_of_others() if options.ahead else nullcontext():
            sections = asyncio.run(run(replace(plan, **given), options.only or list(SCENARIOS)))
    except UnexpectedError as exc:
        sys.stderr.write(f"unexpected, so nothing of this run counts: {exc}\n")
        return 1
    missed = [bound for section in sections for bound in section.bounds if not bound.held]
    _tell(f"bounds missed: {len(missed)}" if missed else "all bounds held")
    return 1 if missed else 0


async def run(plan: Plan, names: Sequence[str]) -> list[Section]:
    """Run scenarios by name, one after the other, printing each one's table as soon as it is there."""
    where = placement()
    sections = []
    with pinned(where.load):
        async with world(plan, where) as started:
            _tell(describe(plan, where, started.proxy.event_loop()))
            for name in names:
                sys.stderr.write(f"measuring {name} ...\n")
                section = await SCENARIOS[name](started)
                _tell(str(section))
                sections.append(section)
    return sections


def allow_files(least: int) -> None:
    """Let this process and those it starts open so many files, as far as the system permits: the herd needs 500 sockets."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = least if hard == resource.RLIM_INFINITY else min(least, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _tell(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description="Measure the proxy against a bare handler and other caches."
    )
    parser.add_argument("--rounds", type=int, metavar="N", help=f"default {FULL.rounds}")
    parser.add_argument("--seconds", type=float, metavar="S", help=f"of each round of hits, default {FULL.seconds:g}")
    parser.add_argument("--cpu-rounds", type=int, metavar="N", help=f"of CPU a request, default {FULL.cpu_rounds}")
    parser.add_argument("--cases", metavar="TEXT", help="of CPU a request only those in whose name this occurs, such as 304")
    parser.add_argument("--baseline", metavar="COMMIT", help="measure CPU a request of an earlier state beside this one")
    parser.add_argument("--only", action="append", choices=SCENARIOS, help="one scenario; may be given again")
    parser.add_argument("--ahead", action="store_true", help="before all else that runs on the machine; takes root")
    parser.add_argument("--quick", action="store_true", help="a minute in all: shows that it works, measures nothing well")
    return parser


if __name__ == "__main__":
    sys.exit(main())
