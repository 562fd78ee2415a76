"""The command line: its arguments are parsed, and one command is run. Only here is the environment read."""

import argparse
import asyncio
import gc
import os
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from proxy.cli.arguments import make_parser
from proxy.cli.descriptors import open_standard_streams
from proxy.cli.output import note
from proxy.cli.signals import release
from proxy.config import LoadedConfig, load
from proxy.errors import CommandError, ConfigError, StoreError, TokenFileError

_OFFLINE = {"PLUTO_PROXY_UPSTREAM__OFFLINE": "true"}
FAILED = 1
BAD_CONFIGURATION = 2
# These commands decide themselves what signals do, and when garbage is looked for.
_SERVING = frozenset({"serve", "demo"})
NO_KEY = (
    "no key for pluto-api: set PLUTO_API_KEY, or PLUTO_API_KEY_FILE to a file that holds it; "
    "`make demo` (pluto-proxy demo) shows the proxy without one"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 0, 1 if it failed, 2 if the configuration or command line is faulty."""
    open_standard_streams()
    arguments = make_parser().parse_args(argv)
    if arguments.command not in _SERVING:
        release()
        gc.enable()
    try:
        return _run(arguments, os.environ)
    except ConfigError as exc:
        return _fail(exc.faults, BAD_CONFIGURATION)
    except BrokenPipeError:
        # Whoever read it has enough (`| head`). What is left in Python's buffer must not fail once more at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (CommandError, StoreError, TokenFileError, OSError) as exc:
        return _fail([str(exc)], FAILED)
    except KeyboardInterrupt:
        return _fail(["stopped"], FAILED)


# Each command's modules are imported when it is run: those of the others would take a good part of the time that one takes.
def _run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    match arguments.command:
        case "demo":
            from proxy.cli.demo import run_demo  # noqa: PLC0415 -- see above

            return run_demo(arguments.listen)
        case "completion":
            from proxy.cli.completion import run_completion  # noqa: PLC0415 -- see above

            return run_completion(arguments.shell)
        case "check":
            from proxy.cli.check import run_check  # noqa: PLC0415 -- see above

            return run_check(load(arguments.config, environ), as_json=arguments.json)
        case "token":
            from proxy.cli.token import run_token  # noqa: PLC0415 -- see above

            return run_token(arguments, load(arguments.config, environ).config)
        case "serve":
            environ = {**environ, **(_OFFLINE if arguments.offline else {})}
            return _serve(arguments.config, environ, takeover=arguments.takeover)
        case "doctor":
            from proxy.cli.doctor import run_doctor  # noqa: PLC0415 -- see above

            return run_doctor(arguments, environ)
        case "cache":
            from proxy.cli.cache import run_cache  # noqa: PLC0415 -- see above

            return run_cache(arguments, environ, load(arguments.config, environ).config)
        case _:
            return _ask(arguments, environ)


def _ask(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Run one of the commands that only ask a running proxy."""
    from proxy.cli.place import place_of  # noqa: PLC0415 -- see _run

    place = place_of(
        arguments.url, arguments.token_file, environ, load(arguments.config, environ).config, ca_file=arguments.ca_file
    )
    match arguments.command:
        case "status":
            from proxy.cli.status import is_live, show_status  # noqa: PLC0415 -- see _run

            live = is_live(once=arguments.once, as_json=arguments.json)
            try:
                return asyncio.run(show_status(place, live=live, as_json=arguments.json, every_s=arguments.every))
            except KeyboardInterrupt:
                return 0  # that is how the view is ended
        case "query":
            from proxy.cli.query import run_query  # noqa: PLC0415 -- see _run

            return asyncio.run(run_query(place, arguments))
        case _:
            from proxy.cli.warm import run_warm  # noqa: PLC0415 -- see _run

            return run_warm(place, arguments)


def _serve(path: Path | None, environ: Mapping[str, str], *, takeover: bool) -> int:
    from proxy.cli.serve import run_server  # noqa: PLC0415 -- see _run
    from proxy.cli.supervisor import Supervisor  # noqa: PLC0415 -- see _run

    return run_server(partial(_load_to_serve, path, environ), Supervisor(os.environ, os.getpid()), takeover=takeover)


def _load_to_serve(path: Path | None, environ: Mapping[str, str]) -> LoadedConfig:
    loaded = load(path, environ)
    if loaded.key is None and not loaded.config.upstream.offline:
        raise ConfigError([NO_KEY])
    return loaded


def _fail(messages: Sequence[str], status: int) -> int:
    for message in messages:
        note(message)
    return status
