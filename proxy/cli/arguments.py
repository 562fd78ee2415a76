"""The arguments of every command. Nothing in here reads the environment or a file."""

import argparse
import math
import textwrap
from pathlib import Path
from typing import TypeAlias

from proxy import __version__
from proxy.cli.token import add_parser as add_token

SHELLS = ("bash", "zsh", "tcsh")
_FILE = "a TOML file, such as config/pluto-proxy.toml"
_COLUMNS = 78
_MOST_S, _LEAST_S = 3600.0, 0.2
_Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001 -- argparse has no public name


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(prog="pluto-proxy", description="A caching proxy in front of pluto-api.")
    parser.add_argument("--version", action="version", version=f"pluto-proxy {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_serve(commands)
    _add_check(commands)
    add_token(commands)
    _add_status(commands)
    _add_doctor(commands)
    _add_query(commands)
    _add_warm(commands)
    _add_cache(commands)
    _add_demo(commands)
    _add_completion(commands)
    return parser


def _add(commands: _Commands, name: str, help_text: str, example: str) -> argparse.ArgumentParser:
    return commands.add_parser(
        name,
        help=help_text,
        # Only this is wrapped, and not the example, which is to be copied.
        description=textwrap.fill(help_text, _COLUMNS),
        epilog=f"example: pluto-proxy {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _add_config(command: argparse.ArgumentParser) -> None:
    command.add_argument("--config", type=Path, metavar="FILE", help=_FILE)


def _add_json(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="print JSON")


def _add_place(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--url",
        metavar="URL",
        help="where the proxy is (PLUTO_PROXY_URL), also unix:/PATH; the configuration's server.listen unless it is said",
    )
    command.add_argument(
        "--ca-file",
        type=Path,
        metavar="FILE",
        help="the certificates of who issued the proxy's; the system's (SSL_CERT_FILE) unless it is said",
    )
    command.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="a file with the token to send; PLUTO_PROXY_TOKEN has the token itself",
    )


def _add_serve(commands: _Commands) -> None:
    help_text = "serve, with the key from PLUTO_API_KEY or PLUTO_API_KEY_FILE"
    command = _add(commands, "serve", help_text, "serve --config /etc/pluto-proxy.toml")
    _add_config(command)
    command.add_argument(
        "--offline",
        action="store_true",
        help="answer from the cache file, however old, and never ask pluto-api; needs no key",
    )
    command.add_argument(
        "--takeover",
        action="store_true",
        help="take over from the process that serves with this cache file, if one does, without losing a request",
    )


def _add_check(commands: _Commands) -> None:
    help_text = "validate the configuration and print it, secrets as ***"
    command = _add(commands, "check", help_text, "check --config /etc/pluto-proxy.toml")
    _add_config(command)
    _add_json(command)


def _add_status(commands: _Commands) -> None:
    help_text = "show what a running proxy does; on a terminal until Ctrl-C"
    command = _add(commands, "status", help_text, "status --once --json")
    _add_config(command)
    _add_place(command)
    command.add_argument("--once", action="store_true", help="look once; so it is where standard output is no terminal")
    command.add_argument(
        "--every", type=_interval_s, default=2.0, metavar="SECONDS", help="how often the view is renewed (%(default)g)"
    )
    _add_json(command)


def _add_doctor(commands: _Commands) -> None:
    help_text = "look at everything that serving takes, and say what to do where something is wrong"
    command = _add(commands, "doctor", help_text, "doctor --config /etc/pluto-proxy.toml")
    _add_config(command)
    _add_place(command)
    _add_json(command)


def _add_query(commands: _Commands) -> None:
    help_text = "ask a running proxy for one metric, and print it"
    command = _add(commands, "query", help_text, "query --project demo --run 1001 --metric train/loss --plot")
    _add_config(command)
    _add_place(command)
    command.add_argument("--project", required=True, metavar="P", help="the project")
    command.add_argument("--run", required=True, metavar="R", help="the run's number")
    command.add_argument("--metric", required=True, metavar="M", help="the metric, such as train/loss")
    command.add_argument("--limit", metavar="N", help="how many rows at most, as pluto-api samples them (2000)")
    command.add_argument("--step-min", metavar="STEP", help="the first step")
    command.add_argument("--step-max", metavar="STEP", help="the last step")
    forms = command.add_mutually_exclusive_group()
    forms.add_argument("--csv", action="store_true", help="print CSV")
    forms.add_argument("--plot", action="store_true", help="draw a plot")
    forms.add_argument("--json", action="store_true", help="print JSON")


def _add_warm(commands: _Commands) -> None:
    help_text = "fill the cache of a running proxy with the metrics of a project's runs, within its budget"
    command = _add(commands, "warm", help_text, "warm --project demo --status RUNNING --metric train/loss")
    _add_config(command)
    _add_place(command)
    command.add_argument("--project", required=True, metavar="P", help="the project")
    command.add_argument(
        "--run", action="append", default=[], metavar="R", help="a run's number; may be repeated; all runs unless it is said"
    )
    command.add_argument(
        "--status",
        action="append",
        default=[],
        metavar="S",
        help="runs with this status only, such as RUNNING; may be repeated",
    )
    command.add_argument(
        "--metric",
        action="append",
        default=[],
        metavar="M",
        help="this metric only; may be repeated; all of a run's unless it is said",
    )
    command.add_argument("--concurrency", type=_few, default=2, metavar="N", help="requests at a time, 1 to 8 (%(default)s)")
    _add_json(command)


def _add_cache(commands: _Commands) -> None:
    help_text = "look at what is cached, purge it, or carry it to another machine"
    actions = _add(commands, "cache", help_text, "cache stats").add_subparsers(dest="action", required=True, metavar="ACTION")
    stats = _add(actions, "stats", "how much a running proxy holds, and what its tokens have used", "cache stats")
    listed = _add(actions, "list", "list what the cache file holds; the proxy may be running", "cache list --project demo")
    purge = _add(actions, "purge", "let a running proxy forget something", "cache purge --project demo --run 1001 --soft")
    exported = _add(
        actions, "export", "write a copy of the cache file; the proxy may be running", "cache export /media/stick/pluto.sqlite"
    )
    imported = _add(
        actions, "import", "make a copy the cache file; no proxy may be using it", "cache import /media/stick/pluto.sqlite"
    )
    for action in (stats, listed, purge, exported, imported):
        _add_config(action)
        _add_json(action)
    for action in (stats, purge):
        _add_place(action)
    for action, what in ((listed, "list"), (purge, "purge")):
        action.add_argument("--project", metavar="P", help=f"{what} what belongs to this project")
        action.add_argument("--run", metavar="R", help=f"{what} what belongs to this run")
        action.add_argument("--metric", metavar="M", help=f"{what} what belongs to this metric")
    listed.add_argument("--limit", type=_count, default=100, metavar="N", help="how many entries at most (%(default)s)")
    purge.add_argument("--everything", action="store_true", help="purge all there is")
    purge.add_argument("--soft", action="store_true", help="keep answers for when pluto-api fails")
    exported.add_argument("file", type=Path, metavar="FILE", help="where to write it; there must be no such file")
    imported.add_argument("file", type=Path, metavar="FILE", help="what `cache export` wrote")
    imported.add_argument("--replace", action="store_true", help="set the cache file that is there aside")


def _add_demo(commands: _Commands) -> None:
    help_text = "a stand-in upstream with growing runs and the proxy in front of it; needs no key"
    demo = _add(commands, "demo", help_text, "demo --listen 127.0.0.1:8788")
    demo.add_argument("--listen", default="127.0.0.1:8787", metavar="HOST:PORT", help="where the proxy listens (%(default)s)")


def _add_completion(commands: _Commands) -> None:
    help_text = "print a script that completes commands and options in a shell"
    example = "completion bash > ~/.pluto-proxy-completion"
    _add(commands, "completion", help_text, example).add_argument("shell", choices=SHELLS, help="the shell")


def _interval_s(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number of seconds, not {text!a}") from None
    if not _LEAST_S <= seconds <= _MOST_S or not math.isfinite(seconds):
        raise argparse.ArgumentTypeError(f"must be between {_LEAST_S:g} and {_MOST_S:g} seconds")
    return seconds


def _few(text: str) -> int:
    number = _whole(text)
    if not 1 <= number <= 8:
        raise argparse.ArgumentTypeError("must be between 1 and 8")
    return number


def _count(text: str) -> int:
    number = _whole(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a whole number, not {text!a}") from None
