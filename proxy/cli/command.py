"""The command line: its arguments are parsed, and one command is run. Only here is the environment read."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from proxy import __version__
from proxy.cli.check import run_check
from proxy.cli.descriptors import open_standard_streams
from proxy.cli.serve import run_server
from proxy.cli.signals import release
from proxy.cli.supervisor import Supervisor
from proxy.cli.token import add_parser, run_token
from proxy.config import LoadedConfig, load
from proxy.errors import ConfigError, StoreError, TokenFileError

_OFFLINE = {"PLUTO_PROXY_UPSTREAM__OFFLINE": "true"}
FAILED = 1
BAD_CONFIGURATION = 2
# These commands decide themselves what signals do.
_SERVING = frozenset({"serve", "demo"})
NO_KEY = (
    "no key for pluto-api: set PLUTO_API_KEY, or PLUTO_API_KEY_FILE to a file that holds it; "
    "`make demo` (pluto-proxy demo) shows the proxy without one"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 0, 1 if it failed, 2 if the configuration or command line is faulty."""
    open_standard_streams()
    arguments = _parser().parse_args(argv)
    if arguments.command not in _SERVING:
        release()
    try:
        match arguments.command:
            case "demo":
                from proxy.cli.demo import run_demo  # noqa: PLC0415 -- importing the stand-in takes a tenth of the start

                return run_demo(arguments.listen)
            case "check":
                return run_check(load(arguments.config, os.environ))
            case "token":
                return run_token(arguments, load(arguments.config, os.environ).config)
            case _:
                return _serve(load(arguments.config, {**os.environ, **(_OFFLINE if arguments.offline else {})}))
    except ConfigError as exc:
        return _fail(exc.faults, BAD_CONFIGURATION)
    except (StoreError, TokenFileError, OSError) as exc:
        return _fail([str(exc)], FAILED)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="pluto-proxy", description="A caching proxy in front of pluto-api.")
    parser.add_argument("--version", action="version", version=f"pluto-proxy {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, help_text in {
        "serve": "serve, with the key from PLUTO_API_KEY or PLUTO_API_KEY_FILE",
        "check": "validate the configuration and print it, secrets as ***",
    }.items():
        command = commands.add_parser(name, help=help_text, description=help_text)
        command.add_argument("--config", type=Path, metavar="FILE", help="a TOML file, such as config/pluto-proxy.toml")
        if name == "serve":
            command.add_argument(
                "--offline",
                action="store_true",
                help="answer from the cache file, however old, and never ask pluto-api; needs no key",
            )
    add_parser(commands)
    help_text = "a stand-in upstream with growing runs and the proxy in front of it; needs no key"
    demo = commands.add_parser("demo", help=help_text, description=help_text)
    demo.add_argument("--listen", default="127.0.0.1:8787", metavar="HOST:PORT", help="where the proxy listens (%(default)s)")
    return parser


def _serve(loaded: LoadedConfig) -> int:
    if loaded.key is None and not loaded.config.upstream.offline:
        raise ConfigError([NO_KEY])
    supervisor = Supervisor(os.environ, os.getpid())
    return run_server(loaded.config, loaded.key, supervisor, ignored=loaded.ignored)


def _fail(messages: Sequence[str], status: int) -> int:
    for message in messages:
        sys.stderr.write(f"pluto-proxy: {message}\n")
    return status
