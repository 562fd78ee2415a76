"""Tests stand where what they test stands: `proxy/service/series` is tested by `tests/service/series`.

Tests of `core` call functions; those of `service`, `web` and `upstream` mostly ask a running proxy (`support.world`), in front
of a stand-in, through real connections. Beside the rooms:

- `whole`: promises that several rooms keep together, such as the table of stale rules, and every recorded answer.
- `process`: the command as a process of its own, with signals, standard error, and `kill -9`.
- `series_model`: the series engine against an oracle, in any order of events; `python -m tests.series_model` runs it for long.
- `install`: what `make` installs. `bench` and `soak`: programs that measure, and the tests of these.
- `support`: what tests share; `store` and `standin` have a `support` of their own. No test imports from another test.
- `data`: answers that were recorded of the upstream.
"""
