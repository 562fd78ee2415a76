"""Every command with its arguments, read from the parser of the command line."""

import argparse
from collections.abc import Iterator

from proxy.cli.arguments import make_parser
from tools.reference.markdown import code, page, table

_EXAMPLE = "example: "
_INTRODUCTION = """
The command is `.venv/bin/pluto-proxy` after `make run` or `make test`. [Commands](../how-to/commands.md) tells in more words
what they do, where they find a running proxy, what they print, and their exit statuses.
"""


def commands_page() -> str:
    """Return the page about the command line. Raises ValueError where a command or an argument says nothing of itself."""
    parts = [_INTRODUCTION]
    for name, parser in commands(make_parser()):
        parts += [f"## {name}", f"{_upper(parser.description or '')}.".replace("\n", " ")]
        parts.append(f"```text\n{_usage(name, parser)}\n```")
        if rows := [*_arguments(parser)]:
            parts.append(table(("argument", "meaning"), rows))
        parts.append(f"```sh\n{_example(parser)}\n```")
    return page("Command line", "`proxy/cli/arguments.py` and `proxy/cli/token.py`", *parts)


def commands(parser: argparse.ArgumentParser, before: str = "") -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Yield each command that does something by itself, with its full name."""
    for action in _actions(parser):
        if not isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 -- argparse has no public name
            continue
        for name, command in action.choices.items():
            inner = [*commands(command, f"{before}{name} ")]
            yield from inner or [(f"{before}{name}", command)]


def _actions(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return parser._actions  # noqa: SLF001 -- argparse shows them in no other way


def _usage(name: str, parser: argparse.ArgumentParser) -> str:
    shown = [_shown(action) for action in _actions(parser) if not isinstance(action, argparse._HelpAction)]  # noqa: SLF001 -- argparse has no public name
    optional = [f"[{text}]" if not action.required else text for text, action in shown if action.option_strings]
    others = [text for text, action in shown if not action.option_strings]
    lines, line = [], f"pluto-proxy {name}"
    for text in [*optional, *others]:
        if len(line) + len(text) > 100:
            lines.append(line)
            line = "   "
        line += f" {text}"
    return "\n".join([*lines, line])


def _shown(action: argparse.Action) -> tuple[str, argparse.Action]:
    if not action.option_strings:
        return str(action.metavar or action.dest).upper(), action
    return " ".join([action.option_strings[0], *([_value(action)] if action.nargs != 0 else [])]), action


def _value(action: argparse.Action) -> str:
    return str(action.metavar or action.dest.upper())


def _arguments(parser: argparse.ArgumentParser) -> Iterator[tuple[str, str]]:
    for action in _actions(parser):
        if isinstance(action, argparse._HelpAction):  # noqa: SLF001 -- as above
            continue
        if not action.help:
            raise ValueError(f"{parser.prog}: {action.dest} says nothing of itself")
        text = action.help % {"default": action.default}
        if action.choices:
            text += ": " + ", ".join(code(str(choice)) for choice in action.choices)
        yield code(_shown(action)[0]), _upper(text)


def _example(parser: argparse.ArgumentParser) -> str:
    if not (parser.epilog or "").startswith(_EXAMPLE):
        raise ValueError(f"{parser.prog} has no example")
    return (parser.epilog or "").removeprefix(_EXAMPLE)


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
