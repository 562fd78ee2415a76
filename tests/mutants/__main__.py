"""Prints a table of all mutants, and what has caught each. The exit status is 1 if any survived."""

import sys

from tests.mutants.runner import caught_by, results
from tests.mutants.shortcut import MUTANTS, TESTS


def main() -> int:
    """Run them all."""
    wrong = caught_by(None, *TESTS)
    if wrong is not None:
        print(f"without any mutant this fails: {wrong}")  # noqa: T201 -- it is a program
        return 1
    survived = 0
    for mutant, caught in results(MUTANTS):
        survived += caught is None
        print(f"{mutant.name[:120]:120}  {caught or 'SURVIVED'}", flush=True)  # noqa: T201 -- it is a program
    print(f"{len(MUTANTS)} mutants, {survived} survived")  # noqa: T201 -- it is a program
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
