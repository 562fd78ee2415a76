"""`pluto-proxy token`: making, listing and revoking the tokens that clients send. A running proxy notices within a second."""

import argparse
import json
import re
import time
from datetime import UTC, datetime
from pathlib import Path

from proxy.cli.output import Table, note, write, write_json, write_table
from proxy.config import Config
from proxy.core.access.grants import digest_of_token
from proxy.errors import ConfigError, TokenFileError
from proxy.store.token_file import Token, TokenList, edit_tokens, new_secret, read_tokens

_NO_FILE = (
    "access.tokens_file is not set: name the file in [access] of the configuration, or in PLUTO_PROXY_ACCESS__TOKENS_FILE"
)
_SPAN = re.compile(r"([0-9]{1,9})([smhdw])")
# The end of the year 9999, the last that can be printed.
_LATEST_S = 253_402_300_799
_UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 7 * 86_400}
_NAME_RULE = "must be at most 64 letters, digits, dots, dashes or underscores, the first one a letter or digit"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `token` and its actions to the command line."""
    help_text = "make, list and revoke the tokens that clients send, in the file that access.tokens_file names"
    actions = commands.add_parser("token", help=help_text, description=help_text).add_subparsers(
        dest="action", required=True, metavar="ACTION"
    )
    help_text = "make a token and print it, this once; only its hash is kept"
    add = actions.add_parser(
        "add", help=help_text, description=help_text, epilog="example: pluto-proxy token add grafana --project demo"
    )
    add.add_argument("name", type=_name, metavar="NAME", help="what the log and `list` call it")
    add.add_argument(
        "--project", action="append", default=[], type=_project, metavar="P", help="see this project only; may be repeated"
    )
    add.add_argument(
        "--expires",
        type=_expiry,
        metavar="WHEN",
        help="after a time such as 12h, 30d or 8w, or at one such as 2030-01-31 or 2030-01-31T12:00Z (UTC unless it says so)",
    )
    add.add_argument("--admin", action="store_true", help="may manage the proxy; sees every project")
    help_text = "list the tokens by name, with what they may see and until when"
    listed = actions.add_parser("list", help=help_text, description=help_text, epilog="example: pluto-proxy token list --json")
    help_text = "revoke a token; it is refused within a second"
    revoke = actions.add_parser(
        "revoke", help=help_text, description=help_text, epilog="example: pluto-proxy token revoke grafana"
    )
    revoke.add_argument("name", metavar="NAME", help="as `list` shows it")
    for action in (add, listed, revoke):
        action.add_argument("--config", type=Path, metavar="FILE", help="a TOML file, such as config/pluto-proxy.toml")
        action.add_argument("--json", action="store_true", help="print JSON")


def run_token(arguments: argparse.Namespace, config: Config) -> int:
    """Run the action and return the exit status. Raises ConfigError, TokenFileError."""
    path = config.access.tokens_file
    if path is None:
        raise ConfigError([_NO_FILE])
    match arguments.action:
        case "add":
            _add(path, arguments)
        case "revoke":
            _revoke(path, arguments.name)
            if arguments.json:
                write_json({"revoked": arguments.name})
        case _ if arguments.json:
            write_json({"tokens": [_document(token) for token in read_tokens(path)]})
        case _:
            _list(read_tokens(path))
    return 0


def _add(path: Path, arguments: argparse.Namespace) -> None:
    if arguments.admin and arguments.project:
        raise ConfigError(["--admin and --project exclude each other: who manages the proxy sees every project"])
    secret, now_s = new_secret(), int(time.time())
    if arguments.expires is not None and arguments.expires <= now_s:
        raise ConfigError([f"--expires: {_moment(arguments.expires)} is over already"])
    token = Token(
        name=arguments.name,
        sha256=digest_of_token(secret),
        projects=sorted(set(arguments.project)) or None,
        admin=arguments.admin,
        created_at_s=now_s,
        expires_at_s=arguments.expires,
    )

    def with_it(tokens: TokenList) -> list[Token]:
        if any(other.name == token.name for other in tokens):
            raise TokenFileError(f"there is a token called {token.name} already; revoke it first, or take another name")
        return [*tokens, token]

    edit_tokens(path, with_it, create=True)
    if arguments.json:
        write_json({"token": secret, **_document(token)})
    else:
        write(secret)
    note(f"{_described(token)}. It is shown this once: {path} has only its hash.")


def _document(token: Token) -> dict[str, object]:
    """Return what is told of a token: neither it nor its hash."""
    return {
        "name": token.name,
        "projects": token.projects,
        "admin": token.admin,
        "created_at_s": token.created_at_s,
        "expires_at_s": token.expires_at_s,
    }


def _revoke(path: Path, name: str) -> None:
    def without_it(tokens: TokenList) -> list[Token]:
        kept = [token for token in tokens if token.name != name]
        if len(kept) == len(tokens):
            raise TokenFileError(f"no token is called {name!a}; `pluto-proxy token list` names those there are")
        return kept

    edit_tokens(path, without_it)
    note(f"the token {name} is revoked")


def _list(tokens: TokenList) -> None:
    now_s = time.time()
    rows: list[list[str]] = []
    for token in tokens:
        over = token.expires_at_s is not None and token.expires_at_s <= now_s
        expires = "never" if token.expires_at_s is None else _moment(token.expires_at_s) + (" (over)" if over else "")
        rows.append([token.name, _moment(token.created_at_s), expires, _seen(token)])
    write_table(Table(headings=["name", "created", "expires", "sees"], rows=rows))


def _described(token: Token) -> str:
    until = "" if token.expires_at_s is None else f", until {_moment(token.expires_at_s)}"
    return f"a token called {token.name}, for {_seen(token)}{until}"


def _seen(token: Token) -> str:
    if token.admin:
        return "all projects, and to manage the proxy"
    # As JSON strings: a project's name may hold any characters, and this is printed to a terminal.
    return "all projects" if token.projects is None else ", ".join(map(json.dumps, token.projects))


def _moment(at_s: int) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(_NAME_RULE)
    return text


def _project(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise argparse.ArgumentTypeError("is not UTF-8") from None
    if not text:
        raise argparse.ArgumentTypeError("must not be empty")
    return text


def _expiry(text: str) -> int:
    """Read a time from now, such as 30d, or a moment. Return seconds since the epoch."""
    if (span := _SPAN.fullmatch(text)) is not None:
        at_s = int(time.time()) + int(span[1]) * _UNITS_S[span[2]]
    else:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is neither a time such as 30d nor a date such as 2030-01-31") from None
        at_s = int((moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp())
    if not 0 <= at_s <= _LATEST_S:
        raise argparse.ArgumentTypeError(f"{text!r} lies before 1970 or after 9999")
    return at_s
