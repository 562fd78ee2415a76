"""`pluto-proxy demo`: a stand-in upstream with growing runs and the proxy in front of it, in one process, without a trace."""

import asyncio
import sys
import tempfile
from pathlib import Path

from proxy import log
from proxy.cli.serve import serve
from proxy.cli.signals import Hangups, outlasting_signals
from proxy.config import Config, KeySource, load
from proxy.config.addresses import TcpAddress
from proxy.config.model import LogSettings
from proxy.errors import ConfigError
from proxy.log.lines import Lines
from proxy.standin import GrowthConfig, Standin, StandinConfig
from proxy.standin.auth import DEFAULT_KEYS

_GUIDE = """\
pluto-proxy demo: runs 1001 and 1002 of the project "demo" grow by a row a
second, run 2001 has ended.

The page at http://{listen}/ shows them as live charts, and what the
proxy does. Or ask for yourself:

  curl -i 'http://{listen}/api/runs/metrics?runId=1001&projectName=demo&logName=train/loss&limit=5'

Send it twice within 5 seconds, then with other limits or a stepMin, and look at
Cache-Status and Age. At the second request the proxy fetches the whole metric,
and proves that it is whole. From it the other requests are answered.

The other routes of the read API are there as well; /openapi.json lists them:

  curl -i 'http://{listen}/api/runs/list?projectName=demo'

The upstream counts the requests that it gets:

  curl {upstream}/_standin/counters

Ctrl-C ends it.
"""


def run_demo(listen: str) -> int:
    """Run the demo until SIGINT or SIGTERM. Return the exit status. Raises ConfigError or OSError if it cannot begin."""
    settings = LogSettings()
    lines = log.configure(level=settings.level, log_format=settings.format)
    with outlasting_signals(Hangups(kept=False)), tempfile.TemporaryDirectory(prefix="pluto-proxy-demo-") as folder:
        asyncio.run(_demo(listen, Path(folder), lines))
    return 0


async def _demo(listen: str, folder: Path, lines: Lines) -> None:
    standin = Standin(StandinConfig(growth=GrowthConfig(live_runs=2, finished_runs=1)))
    async with standin.serve() as upstream:
        config = _config(listen, upstream, folder)
        sys.stdout.write(_GUIDE.format(listen=config.server.listen[0], upstream=upstream))
        sys.stdout.flush()
        await serve(config, KeySource(value=DEFAULT_KEYS[0].text), lines)


def _config(listen: str, upstream: str, folder: Path) -> Config:
    variables = {
        "PLUTO_PROXY_LISTEN": listen,
        "PLUTO_PROXY_UPSTREAM": upstream,
        "PLUTO_PROXY_CACHE": str(folder / "cache" / "cache.sqlite"),
    }
    config = load(None, variables).config
    if [type(address) for address in config.server.addresses] != [TcpAddress]:
        raise ConfigError(["--listen must be one address, HOST:PORT"])  # the guide names it in URLs
    return config
