"""`python -m tests.soak.long`: a live series of 1,000,000 rows, watched; exit with 1 where a promise is missed."""

import argparse
import asyncio
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.growing.history import LongPast
from tests.bench.growing.origin import argument
from tests.bench.growing.series import Series
from tests.bench.processes import Server, serving
from tests.bench.replay.contest import judged
from tests.bench.replay.judge import Promise
from tests.bench.report import Section
from tests.soak.long.judging import Run, judge
from tests.soak.long.watching import Plan, watch
from tests.support.world import KEY

# `series.rewrite_check_s and one refresh`: a lifetime, and the time in which a stale answer is handed out.
_REFRESH_S = 10.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit status."""
    options = vars(_parser().parse_args(arguments))
    log = options.pop("log")
    plan = replace(Plan(), **{name: value for name, value in options.items() if value is not None})
    sys.stderr.write(f"watching a series of {plan.rows:,} rows for {plan.seconds:g} s after its load ...\n")
    section = asyncio.run(soak(plan, log=log))
    missed = [bound for bound in section.bounds if not bound.held]
    sys.stdout.write(f"{section}\n{f'bounds missed: {len(missed)}' if missed else 'all bounds held'}\n")
    return 1 if missed else 0


async def soak(plan: Plan, *, log: Path | None = None) -> Section:
    """Watch, and judge what was seen. `log`: where the proxy's own log is left."""
    since_s = time.time()
    series = Series(
        start_s=float(int(since_s)),
        rows=plan.rows,
        rows_per_s=plan.rows_per_s,
        late_each=plan.late_each,
        rewrite_each_s=plan.rewrite_each_s,
    )
    with TemporaryDirectory(prefix="pluto-proxy-long-") as folder:
        async with _servers(Path(folder), series, plan) as (origin, proxy):
            watched = await watch(plan, series, origin, proxy)
        # Ended, it has put its write-ahead log into the file.
        file_bytes = sum(path.stat().st_size for path in Path(folder).glob("cache.sqlite*"))
        if log is not None:
            log.write_text("".join(path.read_text() for path in Path(folder).glob("proxy-*.log")))
    sys.stderr.write(f"judging {len(watched.answers):,} answers ...\n")
    promise = Promise(rewrite_s=plan.rewrite_check_s + _REFRESH_S)
    verdicts = judged(LongPast([series], since_s=since_s), watched.answers, promise)
    run = Run(
        rows=plan.rows,
        rewrite_check_s=plan.rewrite_check_s,
        watched=watched,
        judged=verdicts,
        file_bytes=file_bytes,
    )
    return judge(run)


@asynccontextmanager
async def _servers(folder: Path, series: Series, plan: Plan) -> AsyncIterator[tuple[Server, Server]]:
    """Run the upstream, and the proxy as it is by default."""
    settings = {
        "PLUTO_API_KEY": KEY,
        "PLUTO_PROXY_LISTEN": "127.0.0.1:0",
        "PLUTO_PROXY_CACHE": str(folder / "cache.sqlite"),
        "PLUTO_PROXY_LOG__FORMAT": "json",
        "PLUTO_PROXY_SERIES__REWRITE_CHECK_S": f"{plan.rewrite_check_s:g}",
    }
    told = argument([series], latency_ms=plan.latency_ms)
    async with (
        serving(folder, "tests.bench.growing.origin", told, cpu=None) as origin,
        serving(
            folder, "proxy", "serve", cpu=None, **settings, PLUTO_PROXY_UPSTREAM=f"http://127.0.0.1:{origin.port}"
        ) as proxy,
    ):
        yield origin, proxy


def _parser() -> argparse.ArgumentParser:
    default = Plan()
    parser = argparse.ArgumentParser(prog="python -m tests.soak.long", description="Watch a long live series.")
    parser.add_argument("--rows", type=int, metavar="N", help=f"default {default.rows}")
    parser.add_argument("--panels", type=int, metavar="N", help=f"default {default.panels}")
    parser.add_argument("--seconds", type=float, metavar="X", help=f"after the load, default {default.seconds:g}")
    parser.add_argument("--load-s", type=float, metavar="X", help=f"for how long it may load, default {default.load_s:g}")
    parser.add_argument("--late-each", type=int, metavar="N", help=f"a row of so many comes late, default {default.late_each}")
    parser.add_argument(
        "--rewrite-each-s", type=float, metavar="X", help=f"how often one is written again, default {default.rewrite_each_s:g}"
    )
    parser.add_argument(
        "--rewrite-check-s", type=float, metavar="X", help=f"the proxy's setting, default {default.rewrite_check_s:g}"
    )
    parser.add_argument("--log", type=Path, metavar="FILE", help="where to leave the proxy's log")
    return parser


if __name__ == "__main__":
    sys.exit(main())
