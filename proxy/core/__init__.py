"""What a query means and how old an answer may be: pure functions and frozen values.

Nothing in here does I/O, reads a clock, logs, or knows that asyncio exists; the time comes in as an argument.

- `question`: what a query means. `freshness`: what may be done with an answer at its age.
- `series`: what an answer proves, and how others are computed from it. `proof`: what proves an answer whole.
- `access`: who may ask for what. `http`: codings, validators, Retry-After. `budget`: which call to the upstream goes when.
- `run_status`: what proves that a run has ended. `pieces`: long work with breaks. `surrogates`: JSON with lone surrogates.
  `raised`: errors that are kept or handed on.
"""
