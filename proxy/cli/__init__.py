"""The command `pluto-proxy`.

- `command` parses the arguments, reads the configuration and runs one of the commands.
- `serve` serves until a signal ends it: with `listening` (the addresses), `supervisor` (what systemd hands over and is told),
  `descriptors` (how many connections there can be) and `signals` (those that end nothing).
- `check`, `token` and `demo` are the other commands.
"""

from proxy.cli.command import main

__all__ = ["main"]
