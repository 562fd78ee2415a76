"""The command `pluto-proxy`.

- `command` reads the configuration and runs one of the commands; `arguments` has what each of them takes.
- `serve` serves until a signal ends it: with `listening` (the addresses), `socket_files` (those that are files), `supervisor`
  (what systemd hands over and is told), `descriptors` (how many connections there can be) and `signals` (those that end
  nothing).
- `check`, `token`, `demo` and `completion` need no running proxy. Nor does `doctor`, whose checks are in `checkup` and
  `listening_checkup`.
- `status`, `query` (with `plot`) and `warm` ask a running proxy, by `running`; `place` says where it is. `cache` does, too, or
  works on the cache file.
- `output` has what all of them print with.
"""

from proxy.cli.command import main

__all__ = ["main"]
