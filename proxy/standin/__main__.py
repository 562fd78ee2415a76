"""`python -m proxy.standin`: serve a stand-in until SIGINT or SIGTERM; one line on standard output is its URL."""

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from proxy.standin.auth import DEFAULT_KEYS, DEMO, Key
from proxy.standin.config import StandinConfig, StepMode
from proxy.standin.faults import Fault, FaultKind
from proxy.standin.growth import GrowthConfig
from proxy.standin.server import Standin


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, serve, and end with 0."""
    options = _parser().parse_args(arguments)
    asyncio.run(_serve(_standin(options), *options.listen))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m proxy.standin", description="A stand-in for pluto-api.")
    add = parser.add_argument
    add("--listen", type=_address, default=("127.0.0.1", 0), metavar="HOST:PORT", help="default 127.0.0.1:0, any port")
    add("--rows", type=Path, metavar="FILE", help="a CSV file of rows, gzipped or not")
    add("--mode", type=StepMode, choices=list(StepMode), default=StepMode.UNQUOTED, help="how steps are printed")
    add("--live", type=int, default=2, metavar="N", help="growing runs (1001, 1002, ...), default 2")
    add("--finished", type=int, default=1, metavar="N", help="ended runs (2001, 2002, ...), default 1")
    add("--latency-ms", type=float, default=0, metavar="X", help="added to every metrics call")
    add("--rate", type=float, metavar="R", help="metrics calls a second; beyond them 429 with Retry-After 2")
    add("--key", metavar="KEY", help="a further API key of the organization org_demo")
    return parser


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return host or "127.0.0.1", int(port)


def _standin(options: argparse.Namespace) -> Standin:
    own_keys = [Key(text=options.key, organization=DEMO)] if options.key else []
    growth = GrowthConfig(live_runs=options.live, finished_runs=options.finished)
    burst = max(1.0, options.rate or 0)
    keys = (*DEFAULT_KEYS, *own_keys)
    standin = Standin(StandinConfig(mode=options.mode, keys=keys, growth=growth, rate_per_s=options.rate, burst=burst))
    if options.rows:
        standin.rows.load_csv(options.rows)
    if options.latency_ms:
        standin.faults.add(Fault(kind=FaultKind.HOLD, times=None, delay_s=options.latency_ms / 1000))
    standin.materialise()
    return standin


async def _serve(standin: Standin, host: str, port: int) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    async with standin.serve(host, port) as url:
        sys.stdout.write(f"{url}\n")
        sys.stdout.flush()
        await stopped.wait()


if __name__ == "__main__":
    sys.exit(main())
